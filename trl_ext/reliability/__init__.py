"""How far to believe a label, and what a loss makes of it."""

from .conversions import (
    flip_mask,
    reliability_to_beta,
    reliability_to_label,
    reliability_to_margin,
    reliability_to_p,
)
from .weights import WeightStatistics, weight_statistics


__all__ = [
    "WeightStatistics",
    "flip_mask",
    "reliability_to_beta",
    "reliability_to_label",
    "reliability_to_margin",
    "reliability_to_p",
    "weight_statistics",
]
