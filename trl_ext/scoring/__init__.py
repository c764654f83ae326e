"""Scoring of N responses per prompt with a reward model, each distinct prefix computed once."""

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from .scorer import RewardScorer as RewardScorer

__all__ = ["RewardScorer"]


def __getattr__(name: str):
    if name != "RewardScorer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .scorer import RewardScorer  # at first use: the command line's --help needs no torch

    return RewardScorer
