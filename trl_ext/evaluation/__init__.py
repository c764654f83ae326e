"""Evaluation of reward models: figures with an uncertainty."""

from .lie import LIEWeights, lie_weights
from .statistics import (
    Estimate,
    cluster_bootstrap,
    mean_estimate,
    paired_difference,
    proportion_estimate,
    ratio_estimate,
    wilson_interval,
)


__all__ = [
    "Estimate",
    "LIEWeights",
    "cluster_bootstrap",
    "lie_weights",
    "mean_estimate",
    "paired_difference",
    "proportion_estimate",
    "ratio_estimate",
    "wilson_interval",
]
