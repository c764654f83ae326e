"""Reward trainers on top of TRL's."""

from .checkpoints import find_checkpoint
from .collator import PreferenceColumnsCollator
from .reliability_config import ReliabilityRewardConfig
from .reliability_dpo_config import ReliabilityDPOConfig
from .reliability_dpo_trainer import ReliabilityDPOTrainer
from .reliability_trainer import ReliabilityRewardTrainer
from .reward_config import PairwiseRewardConfig
from .reward_trainer import PairwiseRewardTrainer
from .stopping import TrainingInterrupted


__all__ = [
    "PairwiseRewardConfig",
    "PairwiseRewardTrainer",
    "PreferenceColumnsCollator",
    "ReliabilityDPOConfig",
    "ReliabilityDPOTrainer",
    "ReliabilityRewardConfig",
    "ReliabilityRewardTrainer",
    "TrainingInterrupted",
    "find_checkpoint",
]
