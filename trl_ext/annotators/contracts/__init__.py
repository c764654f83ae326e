"""Contracts that pay annotators for effort: exact first best, second best and restricted second best."""

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
