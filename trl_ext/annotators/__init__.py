"""Annotators: how they answer, how to monitor and pay them, and the labels that follow."""

from .contracts import (
    PROFILES,
    ContractCheck,
    ContractProblem,
    ContractRates,
    ContractSolution,
    FirstBest,
    best_number_of_checks,
    cara_utility,
    check_contract,
    contract_for_budget,
    contract_rates,
    first_best,
    incentive,
    solve_contract,
)


__all__ = [
    "PROFILES",
    "ContractCheck",
    "ContractProblem",
    "ContractRates",
    "ContractSolution",
    "FirstBest",
    "best_number_of_checks",
    "cara_utility",
    "check_contract",
    "contract_for_budget",
    "contract_rates",
    "first_best",
    "incentive",
    "solve_contract",
]
