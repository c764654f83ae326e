"""Annotators: how they answer, how to monitor and pay them, and the labels that follow."""

from .bounds import error_lower_bound, kl_divergence, minimax_error_bound, samples_until_error
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
    "agreement_probability",
    "error_lower_bound",
    "expert_c",
    "expert_c_items",
    "fano_error_bound",
    "fisher_information",
    "kl_divergence",
    "maximal_information",
    "minimax_error_bound",
    "most_informative_prior",
    "mutual_information",
    "preference_label_probability",
    "samples_until_error",
    "self_consistency_c",
]
