"""Annotators: how they answer, how to monitor and pay them, and the labels that follow."""

from .bounds import error_lower_bound, kl_divergence, minimax_error_bound, samples_until_error
from .comparison import MonitorComparison, compare_monitors
from .estimation import EtaEstimate, estimate_c, estimate_eta
from .intervals import agreement_interval
from .item_estimation import estimate_eta_items
from .model import (
    agreement_probability,
    expert_c,
    expert_c_items,
    fisher_information,
    preference_label_probability,
    self_consistency_c,
)
from .moments import EstimatorMoments, estimator_moments
from .monitoring import monitor_annotators
from .monitoring_report import MonitoringReport
from .monitoring_test import MonitoringTest, minimal_error_sum, monitoring_test
from .mutual_information import fano_error_bound, maximal_information, most_informative_prior, mutual_information
from .planning import SamplePlan, plan_sample_size


__all__ = [
    "EstimatorMoments",
    "EtaEstimate",
    "MonitorComparison",
    "MonitoringReport",
    "MonitoringTest",
    "SamplePlan",
    "agreement_interval",
    "agreement_probability",
    "compare_monitors",
    "error_lower_bound",
    "estimate_c",
    "estimate_eta",
    "estimate_eta_items",
    "estimator_moments",
    "expert_c",
    "expert_c_items",
    "fano_error_bound",
    "fisher_information",
    "kl_divergence",
    "maximal_information",
    "minimal_error_sum",
    "minimax_error_bound",
    "monitor_annotators",
    "monitoring_test",
    "most_informative_prior",
    "mutual_information",
    "plan_sample_size",
    "preference_label_probability",
    "samples_until_error",
    "self_consistency_c",
]
