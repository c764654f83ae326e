"""Pairwise losses: rewards of chosen and rejected responses in, one loss per pair out."""

from .backward_corrected import BackwardCorrectedLoss
from .base import PairwiseLoss
from .beta_rapl import BetaRAPLLoss
from .bradley_terry import BradleyTerryLoss
from .bradley_terry_ties import BradleyTerryTiesLoss
from .commitment import CommitmentLoss
from .epsilon_rapl import EpsilonRAPLLoss
from .focal import FocalLoss
from .forward_corrected import ForwardCorrectedLoss
from .hinge import HingeLoss
from .label_smoothing import LabelSmoothingLoss
from .margin_rapl import MarginRAPLLoss
from .ordinal import OrdinalLoss
from .scaled_bradley_terry import ScaledBradleyTerryLoss
from .soft_label import SoftLabelLoss
from .symmetric import SymmetricLoss


__all__ = [
    "BackwardCorrectedLoss",
    "BetaRAPLLoss",
    "BradleyTerryLoss",
    "BradleyTerryTiesLoss",
    "CommitmentLoss",
    "EpsilonRAPLLoss",
    "ForwardCorrectedLoss",
    "FocalLoss",
    "HingeLoss",
    "LabelSmoothingLoss",
    "MarginRAPLLoss",
    "OrdinalLoss",
    "PairwiseLoss",
    "ScaledBradleyTerryLoss",
    "SoftLabelLoss",
    "SymmetricLoss",
]
