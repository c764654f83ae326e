"""
Reward models you can trust, trained on people you can't always trust.

| folder | what is in it |
|---|---|
| `annotators`, `reliability` | who labels and why, and how far to believe each label |
| `data`, `losses`, `shared_prefix`, `trainer` | one schema of pairs, one loss per file, prompts computed once, trainers on top of TRL's |
| `scoring`, `completions` | rewards of any prompt and responses; questions to chat models |
| `evaluation`, `rate`, `arena`, `mislabels` | figures with intervals; what rewards pay for an attribute; whom they over-value; labels that look wrong |
| `reporting`, `hub` | figures, reports and model cards; models to and from the Hub |
| `cli`, `doctor` | the command line, and what an installation lacks |
"""

from typing import TYPE_CHECKING

from .lazy_exports import lazy_exports
from .version import __version__


# Public name -> submodule. Resolved on first use, so that `import trl_ext` stays fast and imports no torch.
_EXPORTS = {
    "AnnotatorAwareRewardConfig": "trainer",
    "AnnotatorAwareRewardTrainer": "trainer",
    "CalibrationRewardConfig": "trainer",
    "CalibrationRewardTrainer": "trainer",
    "NoiseAwareRewardConfig": "trainer",
    "NoiseAwareRewardTrainer": "trainer",
    "PairwiseRewardConfig": "trainer",
    "PairwiseRewardTrainer": "trainer",
    "ReliabilityDPOConfig": "trainer",
    "ReliabilityDPOTrainer": "trainer",
    "ReliabilityRewardConfig": "trainer",
    "ReliabilityRewardTrainer": "trainer",
    "RewardScorer": "scoring",
    "load_reward_model": "hub",
    "push_reward_model": "hub",
}

__all__ = ["__version__", *sorted(_EXPORTS)]

if TYPE_CHECKING:
    from .hub import load_reward_model as load_reward_model
    from .hub import push_reward_model as push_reward_model
    from .scoring import RewardScorer as RewardScorer
    from .trainer import AnnotatorAwareRewardConfig as AnnotatorAwareRewardConfig
    from .trainer import AnnotatorAwareRewardTrainer as AnnotatorAwareRewardTrainer
    from .trainer import CalibrationRewardConfig as CalibrationRewardConfig
    from .trainer import CalibrationRewardTrainer as CalibrationRewardTrainer
    from .trainer import NoiseAwareRewardConfig as NoiseAwareRewardConfig
    from .trainer import NoiseAwareRewardTrainer as NoiseAwareRewardTrainer
    from .trainer import PairwiseRewardConfig as PairwiseRewardConfig
    from .trainer import PairwiseRewardTrainer as PairwiseRewardTrainer
    from .trainer import ReliabilityDPOConfig as ReliabilityDPOConfig
    from .trainer import ReliabilityDPOTrainer as ReliabilityDPOTrainer
    from .trainer import ReliabilityRewardConfig as ReliabilityRewardConfig
    from .trainer import ReliabilityRewardTrainer as ReliabilityRewardTrainer

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
