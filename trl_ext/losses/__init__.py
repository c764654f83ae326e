"""Pairwise losses: rewards of chosen and rejected responses in, one loss per pair out."""

from .base import PairwiseLoss
from .beta_rapl import BetaRAPLLoss
from .bradley_terry import BradleyTerryLoss
from .commitment import CommitmentLoss
from .epsilon_rapl import EpsilonRAPLLoss
from .margin_rapl import MarginRAPLLoss
from .scaled_bradley_terry import ScaledBradleyTerryLoss


__all__ = [
    "BetaRAPLLoss",
    "BradleyTerryLoss",
    "CommitmentLoss",
    "EpsilonRAPLLoss",
    "MarginRAPLLoss",
    "PairwiseLoss",
    "ScaledBradleyTerryLoss",
]
