"""Annotators: how they answer, how to monitor and pay them, and the labels that follow."""

from .bounds import error_lower_bound, kl_divergence, minimax_error_bound, samples_until_error
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
from .model import (
    agreement_probability,
    expert_c,
    expert_c_items,
    fisher_information,
    preference_label_probability,
    self_consistency_c,
)
from .mutual_information import fano_error_bound, maximal_information, most_informative_prior, mutual_information


__all__ = [
    "PROFILES",
    "ContractCheck",
    "ContractProblem",
    "ContractRates",
    "ContractSolution",
    "FirstBest",
    "agreement_probability",
    "best_number_of_checks",
    "cara_utility",
    "check_contract",
    "contract_for_budget",
    "contract_rates",
    "error_lower_bound",
    "expert_c",
    "expert_c_items",
    "fano_error_bound",
    "first_best",
    "fisher_information",
    "incentive",
    "kl_divergence",
    "maximal_information",
    "minimax_error_bound",
    "most_informative_prior",
    "mutual_information",
    "preference_label_probability",
    "samples_until_error",
    "self_consistency_c",
    "solve_contract",
]
