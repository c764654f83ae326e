"""Annotators: how they answer, how to monitor and pay them, and the labels that follow."""

from .assignment import AnnotatorAssignment, assign_annotators
from .bounds import error_lower_bound, kl_divergence, minimax_error_bound, samples_until_error
from .comparison import MonitorComparison, compare_monitors
from .corrupted_preferences import CorruptionReport, corrupt_preferences
from .corruption import corrupt_labels, label_levels
from .estimation import EtaEstimate, estimate_c, estimate_eta
from .intervals import agreement_interval
from .item_estimation import estimate_eta_items
from .legacy_corruption import corrupt_preferences_legacy, effective_attenuation
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
from .selection import PairSelection, select_pairs


__all__ = [
    "AnnotatorAssignment",
    "CorruptionReport",
    "EstimatorMoments",
    "EtaEstimate",
    "MonitorComparison",
    "MonitoringReport",
    "MonitoringTest",
    "PairSelection",
    "SamplePlan",
    "agreement_interval",
    "agreement_probability",
    "assign_annotators",
    "compare_monitors",
    "corrupt_labels",
    "corrupt_preferences",
    "corrupt_preferences_legacy",
    "effective_attenuation",
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
    "label_levels",
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
    "select_pairs",
    "self_consistency_c",
]
