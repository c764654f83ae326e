"""What a contract problem is made of, in one place to import from."""

from .effort_functions import EffortFunction, LogFunction, PolynomialFunction, PowerFunction, SaturatingFunction
from .problem import PROFILES, ContractProblem
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
    "ContractProblem",
    "EffortFunction",
    "ExponentialUtility",
    "LogFunction",
    "LogUtility",
    "PolynomialFunction",
    "PowerFunction",
    "PowerUtility",
    "SaturatingFunction",
    "WageUtility",
    "cara_utility",
]
