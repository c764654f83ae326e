"""Uncertainty of every figure the package reports: one form of result, one place that computes it.

Rows that share a question, a prompt or an annotator are not independent. Functions here take `clusters`, an array of
labels, one per row; uncertainty then comes from the variation between clusters. Means, proportions and ratios also take
two labels per row, shape `(N, 2)`, for rows that share either: the same questions put to several trained models.
"""

from .auc import area_under_curve
from .bootstrap import bootstrap_replicates, cluster_bootstrap, cluster_bootstraps
from .estimate import Estimate
from .inputs import as_finite, as_labels, check_level, cluster_codes
from .means import mean_covariance, mean_estimate, paired_difference
from .multiple_testing import CORRECTIONS, adjust_p_values
from .paired_tests import mcnemar_p_values, minimum_detectable_effect, sign_flip_p_value
from .proportions import proportion_estimate, wilson_interval
from .ratios import ratio_estimate
from .stratified import stratified_estimate
from .weighted import weighted_average


__all__ = [
    "CORRECTIONS",
    "Estimate",
    "as_finite",
    "as_labels",
    "check_level",
    "cluster_codes",
    "mean_covariance",
    "adjust_p_values",
    "area_under_curve",
    "bootstrap_replicates",
    "cluster_bootstrap",
    "cluster_bootstraps",
    "mcnemar_p_values",
    "mean_estimate",
    "minimum_detectable_effect",
    "paired_difference",
    "proportion_estimate",
    "ratio_estimate",
    "sign_flip_p_value",
    "stratified_estimate",
    "weighted_average",
    "wilson_interval",
]
