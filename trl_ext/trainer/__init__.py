"""
Reward trainers on top of TRL's.

`reward_*` is the base: TRL's `RewardTrainer` with rewards in float32, exact metrics and any loss of `trl_ext.losses`. On it,
each with its config: `reliability_*` (weights from reliability, RAPL; also for DPO), `noise_aware_*` and `annotator_*` (labels of
annotators who err), `calibration_*` (win rates of a leaderboard, CHARM). `heads` are outputs beside one reward.
"""

from .annotator_aware_config import AnnotatorAwareRewardConfig
from .annotator_aware_trainer import AnnotatorAwareRewardTrainer
from .annotator_eta import EtaSummary, read_annotator_eta
from .calibration_config import CalibrationRewardConfig
from .calibration_trainer import CalibrationRewardTrainer
from .checkpoints import find_checkpoint
from .collator import PreferenceColumnsCollator
from .cross_fitting import cross_fit_differences
from .noise_aware_config import NoiseAwareRewardConfig
from .noise_aware_trainer import NoiseAwareRewardTrainer
from .reliability_config import ReliabilityRewardConfig
from .reliability_dpo_config import ReliabilityDPOConfig
from .reliability_dpo_trainer import ReliabilityDPOTrainer
from .reliability_trainer import ReliabilityRewardTrainer
from .reward_config import PairwiseRewardConfig
from .reward_trainer import PairwiseRewardTrainer
from .stopping import TrainingInterrupted


__all__ = [
    "AnnotatorAwareRewardConfig",
    "AnnotatorAwareRewardTrainer",
    "CalibrationRewardConfig",
    "CalibrationRewardTrainer",
    "EtaSummary",
    "NoiseAwareRewardConfig",
    "NoiseAwareRewardTrainer",
    "PairwiseRewardConfig",
    "PairwiseRewardTrainer",
    "PreferenceColumnsCollator",
    "ReliabilityDPOConfig",
    "ReliabilityDPOTrainer",
    "ReliabilityRewardConfig",
    "ReliabilityRewardTrainer",
    "TrainingInterrupted",
    "cross_fit_differences",
    "find_checkpoint",
    "read_annotator_eta",
]
