"""Pairwise losses: rewards of chosen and rejected responses in, one loss per pair out. And objectives on a whole batch."""

from .backward_corrected import BackwardCorrectedLoss
from .base import PairwiseLoss
from .batch_objective import BatchObjective
from .beta_rapl import BetaRAPLLoss
from .bradley_terry import BradleyTerryLoss
from .bradley_terry_ties import BradleyTerryTiesLoss
from .commitment import CommitmentLoss
from .epsilon_rapl import EpsilonRAPLLoss
from .focal import FocalLoss
from .forward_corrected import ForwardCorrectedLoss
from .gaussian_reward import GaussianRewardLoss, ordinal_anchor_loss, preference_probability
from .hinge import HingeLoss
from .label_smoothing import LabelSmoothingLoss
from .margin_rapl import MarginRAPLLoss
from .ordinal import OrdinalLoss
from .reward_scale import RewardScale
from .scaled_bradley_terry import ScaledBradleyTerryLoss
from .soft_label import SoftLabelLoss
from .source_offset import SourceOffsetLoss
from .symmetric import SymmetricLoss
from .win_rate_matching import WinRateMatchingLoss
from .within_source_anchor import WithinSourceAnchorLoss


__all__ = [
    "BackwardCorrectedLoss",
    "BatchObjective",
    "BetaRAPLLoss",
    "BradleyTerryLoss",
    "BradleyTerryTiesLoss",
    "CommitmentLoss",
    "EpsilonRAPLLoss",
    "ForwardCorrectedLoss",
    "FocalLoss",
    "GaussianRewardLoss",
    "HingeLoss",
    "LabelSmoothingLoss",
    "MarginRAPLLoss",
    "OrdinalLoss",
    "PairwiseLoss",
    "RewardScale",
    "ScaledBradleyTerryLoss",
    "SoftLabelLoss",
    "SourceOffsetLoss",
    "SymmetricLoss",
    "WinRateMatchingLoss",
    "WithinSourceAnchorLoss",
    "ordinal_anchor_loss",
    "preference_probability",
]
