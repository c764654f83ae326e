"""What can't be told apart: models near the best, and responses of nearly equal rewards."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..statistics import Estimate, adjust_p_values, as_finite
from .comparison import PairedComparison, compare_many, compare_paired


RULES = ("p_value", "interval")


@dataclass(frozen=True)
class TieBand:
    """
    The models that can't be told from the best.

    Args:
        best (`str`):
            Model with the highest figure.
        members (`tuple[str, ...]`):
            It and those that can't be told from it, best first.
        rule (`str`):
            When a model is a member, in words.
        scores (`dict[str, Estimate]`):
            Figure of every model, best first.
        comparisons (`dict[str, PairedComparison]`):
            The best against every other model.
        adjusted_p_values (`dict[str, float]`):
            Of these, corrected for their number.
    """

    best: str
    members: tuple[str, ...]
    rule: str
    scores: dict[str, Estimate]
    comparisons: dict[str, PairedComparison]
    adjusted_p_values: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def tie_band(
    scores: Mapping[str, ArrayLike],
    *,
    rule: str = "p_value",
    correction: str = "holm",
    strata: ArrayLike | None = None,
    weights: Mapping[str, float] | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    permutations: int = 9999,
    seed: int = 0,
) -> TieBand:
    """
    The group of models that can't be told from the best one on these rows.

    Being in the band isn't being equal: see the minimum detectable effect of the comparisons.

    Args:
        scores (`Mapping[str, array_like of shape (N,)]`):
            Scores of every model, at least two, as in [`compare_paired`].
        rule (`str`, *optional*, defaults to `"p_value"`):
            A model is in the band if `"p_value"`: its corrected p-value against the best is above 1 − level;
            `"interval"`: the interval of its difference to the best, not corrected, contains 0.
        correction (`str`, *optional*, defaults to `"holm"`):
            See [`compare_many`].
        strata, weights, clusters, level, resamples, permutations, seed:
            As in [`compare_paired`].

    Returns:
        [`TieBand`]

    Example:
        ```python
        >>> rng = np.random.default_rng(0)
        >>> right = {name: rng.random(400) < p for name, p in (("x", 0.9), ("y", 0.88), ("z", 0.7))}
        >>> tie_band(right).members
        ('y', 'x')
        ```
    """
    if rule not in RULES:
        raise ValueError(f"rule must be one of {', '.join(RULES)}, got {rule!r}")
    options = {"strata": strata, "weights": weights, "clusters": clusters, "level": level, "resamples": resamples}
    options |= {"permutations": permutations, "seed": seed}
    # against the first model: checks all, and says which one is the best
    first = compare_many(scores, baseline=next(iter(scores), None), correction=correction, **options)
    best, *others = first.scores
    comparisons = {name: compare_paired(scores[best], scores[name], **options) for name in others}
    adjusted = adjust_p_values([comparison.p_value for comparison in comparisons.values()], correction)
    p_values = dict(zip(others, adjusted.tolist(), strict=True))
    if rule == "p_value":
        members = [name for name in others if p_values[name] > 1 - level]
        description = f"p-value against the best model, corrected for {len(others)} comparisons ({correction}), above {1 - level:g}"
    else:
        members = [
            name for name in others if comparisons[name].difference.ci_low <= 0 <= comparisons[name].difference.ci_high
        ]
        description = f"the {level:g} interval of the difference to the best model contains 0 (not corrected)"
    return TieBand(best, (best, *members), description, first.scores, comparisons, p_values)


@dataclass(frozen=True)
class RewardTieBand:
    """
    Decisions that numerical noise may have made.

    Args:
        n (`int`):
            Number of pairs.
        tolerance (`float`):
            Pairs whose rewards differ by at most this are in the band; in reward units.
        equal (`int`):
            Pairs of equal rewards.
        inside (`int`):
            Pairs in the band, equal ones included.
        right_inside (`int`):
            Pairs in the band whose chosen response has the higher reward.
        accuracy (`float`):
            Share of pairs whose chosen response has the higher reward, as always.
        accuracy_low, accuracy_high (`float`):
            The same if all pairs of the band were lost, or won: the range that noise of this size allows.
        rows (`tuple[int, ...]`):
            The pairs of the band.
    """

    n: int
    tolerance: float
    equal: int
    inside: int
    right_inside: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    rows: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self) | {"rows": list(self.rows)}


def reward_tie_band(rewards_chosen: ArrayLike, rewards_rejected: ArrayLike, tolerance: float) -> RewardTieBand:
    """
    Count the pairs whose rewards differ by no more than numerical noise.

    Args:
        rewards_chosen (`array_like` of shape `(N,)`):
            Rewards of the chosen responses.
        rewards_rejected (`array_like` of shape `(N,)`):
            Rewards of the rejected responses.
        tolerance (`float`):
            At least 0, in reward units. What noise can do to a difference: [`reward_noise`] of two scorings with
            different batch sizes.

    Returns:
        [`RewardTieBand`]

    Example:
        ```python
        >>> band = reward_tie_band([1.0, 0.51, 0.0], [0.0, 0.50, 2.0], tolerance=0.02)
        >>> band.inside, band.right_inside, round(band.accuracy_low, 3), round(band.accuracy_high, 3)
        (1, 1, 0.333, 0.667)
        ```
    """
    if not (np.isfinite(tolerance) and tolerance >= 0):
        raise ValueError(f"tolerance must be finite and at least 0, got {tolerance}")
    chosen, rejected = as_finite(rewards_chosen, "rewards_chosen"), as_finite(rewards_rejected, "rewards_rejected")
    if chosen.shape != rejected.shape:
        raise ValueError(f"rewards must be of the same pairs, got {chosen.size} chosen and {rejected.size} rejected")
    difference = chosen - rejected
    inside, right = np.abs(difference) <= tolerance, difference > 0
    return RewardTieBand(
        n=chosen.size,
        tolerance=float(tolerance),
        equal=int(np.sum(difference == 0)),
        inside=int(inside.sum()),
        right_inside=int(np.sum(inside & right)),
        accuracy=float(right.mean()),
        accuracy_low=float(np.mean(right & ~inside)),
        accuracy_high=float(np.mean(right | inside)),
        rows=tuple(np.flatnonzero(inside).tolist()),
    )


def reward_noise(rewards: ArrayLike, rewards_again: ArrayLike) -> float:
    """
    Largest error of a reward difference that shows between two scorings of the same responses, such as with batch sizes
    1 and 64: twice the largest difference of a reward.

    Args:
        rewards (`array_like` of shape `(M,)`):
            Rewards of responses.
        rewards_again (`array_like` of shape `(M,)`):
            Rewards of the same responses, in the same order.

    Returns:
        `float`: in reward units.

    Example:
        ```python
        >>> reward_noise([0.5, 2.0], [0.5, 2.25])
        0.5
        ```
    """
    first, second = as_finite(rewards, "rewards"), as_finite(rewards_again, "rewards_again")
    if first.shape != second.shape:
        raise ValueError(f"both must be rewards of the same responses, got {first.size} and {second.size}")
    return float(2 * np.abs(first - second).max())
