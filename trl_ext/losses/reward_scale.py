"""The scale of rewards before training, which frees the settings of win-rate matching of the rewards' unit."""

import math
from dataclasses import dataclass

import numpy as np


# Chosen with benchmarks/calibration_toy.py, which uses both
TEMPERATURE_PER_SD = 0.25
ANCHOR_COEFFICIENT = 0.02

_RESOLUTION = 1e-6  # of float32 rewards, relative to the largest: below, differences are rounding


@dataclass(frozen=True)
class RewardScale:
    r"""
    How far rewards of two sources differ before training, and the settings of [`WinRateMatchingLoss`] and
    [`WithinSourceAnchorLoss`] that follow.

    With rewards and their frozen values multiplied by k, temperature and anchor weight change so that the objective stays
    what it was, and its gradient is divided by k.

    Args:
        variance (`float`):
            Variance of the differences within the groups, pooled, in squared units of reward.

    Example:
        ```python
        >>> from trl_ext.losses import RewardScale
        >>> scale = RewardScale.of([1.0, 3.0, 7.0, 11.0], [0, 0, 1, 1])  # (1 + 1 + 4 + 4) / (1 + 1)
        >>> scale.variance, round(scale.temperature, 4), scale.anchor_weight(0.02)
        (5.0, 0.559, 0.004)

        ```
    """

    variance: float

    @classmethod
    def of(cls, differences: np.ndarray, groups: np.ndarray, weight: np.ndarray | None = None) -> "RewardScale":
        r"""
        Pooled variance \( \sum_g \sum_{i \in g} w_i (d_i - \bar d_g)^2 / \sum_g (W_g - \sum w_i^2 / W_g) \): what the
        sources of a group differ by on average has no part in it.

        Args:
            differences (`np.ndarray` of shape `(N,)`): Frozen reward of a group's first source minus that of its second.
            groups (`np.ndarray` of shape `(N,)`): Group of every difference, integers from 0.
            weight (`np.ndarray` of shape `(N,)`, *optional*): Weights of the pairs, in [0, inf).

        Raises:
            ValueError: Differences are not finite, or do not vary.
        """
        differences, groups = np.asarray(differences, dtype=np.float64), np.asarray(groups)
        weight = np.ones(len(differences)) if weight is None else np.asarray(weight, dtype=np.float64)
        for name, values in (("differences", differences), ("groups", groups), ("weight", weight)):
            if values.shape != (len(differences),):
                raise ValueError(f"{name} must be of shape (N,) = ({len(differences)},), got {values.shape}")
        if (bad := np.flatnonzero(~np.isfinite(differences))).size:
            raise ValueError(
                f"rewards before training are not finite: {bad.size} differences of {len(differences)}; first: number "
                f"{bad[0]}, value {differences[bad[0]]}"
            )
        counted = weight > 0
        differences, groups, weight = differences[counted], groups[counted], weight[counted]
        _, groups, counts = np.unique(groups, return_inverse=True, return_counts=True)
        totals = np.bincount(groups, weight)
        means = np.bincount(groups, weight * differences) / totals
        squares = weight * (differences - means[groups]) ** 2
        freedom = np.where(counts > 1, totals - np.bincount(groups, weight**2) / totals, 0.0).sum()
        largest = float(np.abs(differences).max(initial=0.0))
        variance = float(squares.sum() / freedom) if freedom > 0 else 0.0
        if not variance > (_RESOLUTION * largest) ** 2:
            raise ValueError(
                f"rewards before training have no scale: the differences of {len(differences)} pairs in {len(counts)} "
                f"pairs of models have variance {variance:.3g} within them. Are the scores those of the reward model? "
                "Otherwise set `temperature`, in units of reward, and anchor_coefficient=0, which need no scale."
            )
        return cls(variance)

    @property
    def sd(self) -> float:
        """Standard deviation, in units of reward."""
        return math.sqrt(self.variance)

    @property
    def temperature(self) -> float:
        """T of win rates: a quarter of the standard deviation, so that σ(z/T) nearly counts wins."""
        return TEMPERATURE_PER_SD * self.sd

    def anchor_weight(self, coefficient: float) -> float:
        """Weight of the within-source variance, in 1 / reward², from a coefficient without unit."""
        return coefficient / self.variance
