"""What a reward model puts out: one reward, the rewards of several heads, or a mean and a variance."""

from typing import TYPE_CHECKING

from .anchors import AnchorThresholds
from .base import RewardHead
from .ensemble import EnsembleHead
from .gaussian import GaussianHead


if TYPE_CHECKING:
    from ..reward_config import PairwiseRewardConfig


REWARD_HEADS = ("scalar", "ensemble", "gaussian")


def make_reward_head(args: "PairwiseRewardConfig") -> RewardHead:
    """The head that training arguments ask for."""
    if args.reward_head == "ensemble":
        return EnsembleHead(args.num_reward_heads, args.head_bootstrap, args.bootstrap_column, args.seed)
    if args.reward_head == "gaussian":
        return GaussianHead(
            args.gaussian_anchor_coefficient, args.anchor_learning_rate, args.center_rewards_coefficient
        )
    return RewardHead()


__all__ = [
    "REWARD_HEADS",
    "AnchorThresholds",
    "EnsembleHead",
    "GaussianHead",
    "RewardHead",
    "make_reward_head",
]
