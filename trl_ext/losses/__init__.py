"""Pairwise losses: rewards of chosen and rejected responses in, one loss per pair out."""

from .backward_corrected import BackwardCorrectedLoss
from .base import PairwiseLoss
from .beta_rapl import BetaRAPLLoss
from .bradley_terry import BradleyTerryLoss
from .commitment import CommitmentLoss
from .epsilon_rapl import EpsilonRAPLLoss
from .forward_corrected import ForwardCorrectedLoss
from .label_smoothing import LabelSmoothingLoss
from .margin_rapl import MarginRAPLLoss
from .scaled_bradley_terry import ScaledBradleyTerryLoss
from .soft_label import SoftLabelLoss


__all__ = [
    "BackwardCorrectedLoss",
    "BetaRAPLLoss",
    "BradleyTerryLoss",
    "CommitmentLoss",
    "EpsilonRAPLLoss",
    "ForwardCorrectedLoss",
    "LabelSmoothingLoss",
    "MarginRAPLLoss",
    "PairwiseLoss",
    "ScaledBradleyTerryLoss",
    "SoftLabelLoss",
]
