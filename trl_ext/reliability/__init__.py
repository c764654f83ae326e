"""How far to believe a label, and what a loss makes of it."""

from .commitment import CommitmentEstimate, estimate_commitment
from .conversions import flip_mask, reliability_to_beta, reliability_to_margin, reliability_to_p


__all__ = [
    "CommitmentEstimate",
    "estimate_commitment",
    "flip_mask",
    "reliability_to_beta",
    "reliability_to_margin",
    "reliability_to_p",
]
