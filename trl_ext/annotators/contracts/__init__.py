"""Contracts that pay annotators for effort: exact first best, second best and restricted second best."""

from .budget import ChecksChoice, best_number_of_checks, contract_for_budget
from .check import ContractCheck, check_contract
from .effort_functions import EffortFunction, LogFunction, PolynomialFunction, PowerFunction, SaturatingFunction
from .first_best import FirstBest, first_best
from .monitor import incentive
from .problem import PROFILES, ContractProblem
from .rates import ContractRates, contract_rates
from .solution import ContractSolution
from .solve import solve_contract
from .wage_utilities import (
    CallableUtility,
    ExponentialUtility,
    LogUtility,
    PowerUtility,
    WageUtility,
    cara_utility,
)


__all__ = [
    "PROFILES",
    "CallableUtility",
    "ChecksChoice",
    "ContractCheck",
    "ContractProblem",
    "ContractRates",
    "ContractSolution",
    "EffortFunction",
    "ExponentialUtility",
    "FirstBest",
    "LogFunction",
    "LogUtility",
    "PolynomialFunction",
    "PowerFunction",
    "PowerUtility",
    "SaturatingFunction",
    "WageUtility",
    "best_number_of_checks",
    "cara_utility",
    "check_contract",
    "contract_for_budget",
    "contract_rates",
    "first_best",
    "incentive",
    "solve_contract",
]
