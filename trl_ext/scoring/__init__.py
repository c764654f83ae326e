"""Scoring of N responses per prompt with a reward model, each distinct prefix computed once."""

from .scorer import RewardScorer


__all__ = ["RewardScorer"]
