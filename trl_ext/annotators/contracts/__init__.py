"""Contracts that pay annotators for effort: exact first best, second best and restricted second best."""

from .first_best import FirstBest, first_best
from .monitor import incentive
from .solution import ContractSolution
from .solve import solve_contract
from .utilities import (
    PROFILES,
    CallableUtility,
    ContractProblem,
    EffortFunction,
    ExponentialUtility,
    LogFunction,
    LogUtility,
    PolynomialFunction,
    PowerFunction,
    PowerUtility,
    SaturatingFunction,
    WageUtility,
    cara_utility,
)


__all__ = [
    "PROFILES",
    "CallableUtility",
    "ContractProblem",
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
    "cara_utility",
    "first_best",
    "incentive",
    "solve_contract",
]
