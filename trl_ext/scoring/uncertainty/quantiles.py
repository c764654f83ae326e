"""The quantile of split-conformal prediction, and the pairs it may be taken over."""

import math
import numbers
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


CLUSTER_RULES = ("one_per_cluster", "cluster_maximum")
WHOLE = ""  # the group of all pairs where no groups are told apart


def conformal_quantile(scores: np.ndarray, alpha: float, what: str = "") -> float:
    r"""
    The \( \lceil (1-\alpha)(n+1) \rceil \)-th smallest of n scores: a further exchangeable score is at most that with
    probability 1−α or more.

    Raises:
        ValueError: n < 1/α − 1, where only an infinite number would do.
    """
    n = len(scores)
    # (1 - alpha)(n + 1) is often a whole number, which rounding must not push over
    rank = math.ceil((1 - alpha) * (n + 1) - 1e-9)
    if rank > n:
        needed = math.ceil(1 / alpha - 1 - 1e-9)
        raise ValueError(
            f"{n} calibration {'pair' if n == 1 else 'pairs'}{what} can't give an interval with alpha={alpha:g}: it needs at "
            f"least {needed} (clusters count once). Hold out more pairs, raise alpha, or join groups."
        )
    return float(np.partition(scores, rank - 1)[rank - 1])


def check_alpha(alpha: float) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, numbers.Real) or not 0 < alpha < 1:
        raise ValueError(f"`alpha` must lie strictly between 0 and 1, got {alpha!r}")
    return float(alpha)


def as_numbers(values: ArrayLike, name: str, size: int | None = None) -> np.ndarray:
    """Finite float64 values `(N,)`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or (size is not None and array.size != size):
        wanted = "(N,)" if size is None else f"({size},)"
        raise ValueError(f"{name} must have shape {wanted}, got {array.shape}")
    wrong = np.flatnonzero(~np.isfinite(array))
    if wrong.size:
        raise ValueError(
            f"{name} has {wrong.size} values that are not finite; first: row {wrong[0]}, value {array[wrong[0]]}"
        )
    return array


def as_spreads(sds: ArrayLike | None, size: int) -> np.ndarray:
    """Standard deviations `(N,)`, at least 0, as of a pair of equal responses; ones where there are none."""
    if sds is None:
        return np.ones(size)
    array = as_numbers(sds, "sds", size)
    wrong = np.flatnonzero(array < 0)
    if wrong.size:
        raise ValueError(f"sds has {wrong.size} values below 0; first: row {wrong[0]}, value {array[wrong[0]]}")
    return array


def in_spreads(values: np.ndarray, spreads: np.ndarray) -> np.ndarray:
    """Values in their standard deviations `(N,)`: 0 where both are 0, infinite where only the standard deviation is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values == 0, 0.0, values / spreads)


def as_groups(groups: Sequence[Hashable] | None, size: int) -> list[str]:
    """Name of the group of every pair, as text: that is how a model's configuration keeps it."""
    if groups is None:
        return [WHOLE] * size
    names = list(groups)
    if len(names) != size:
        raise ValueError(f"groups must have one label per pair, ({size},), got {len(names)}")
    for row, name in enumerate(names):
        if name is None or name != name or str(name) == WHOLE:
            raise ValueError(f"groups must name a group for every pair; first without: row {row}, value {name!r}")
    return [str(name) for name in names]


def scores_by_group(
    scores: np.ndarray, groups: Sequence[str], clusters: Sequence[Hashable] | None, rule: str, seed: int
) -> dict[str, np.ndarray]:
    """
    Scores of every group, in which no two are of the same cluster: a random one of each, or the largest.

    Pairs of one prompt resemble each other, so that they are not exchangeable with a pair of a new prompt, and n of them
    are worth less than n.
    """
    if rule not in CLUSTER_RULES:
        raise ValueError(f"`cluster_rule` must be one of {', '.join(CLUSTER_RULES)}, got {rule!r}")
    by_group: dict[str, dict[Any, list[float]]] = {}
    labels = range(len(scores)) if clusters is None else list(clusters)
    if len(labels) != len(scores):
        raise ValueError(f"clusters must have one label per pair, ({len(scores)},), got {len(labels)}")
    for row, label in enumerate(labels):
        if label is None or label != label:
            raise ValueError(f"clusters must name a cluster for every pair; first without: row {row}, value {label!r}")
    generator = np.random.default_rng(seed)
    for row in generator.permutation(len(scores)):
        by_group.setdefault(groups[row], {}).setdefault(labels[row], []).append(float(scores[row]))
    choose = max if rule == "cluster_maximum" else lambda values: values[0]
    return {name: np.array([choose(values) for values in found.values()]) for name, found in sorted(by_group.items())}


def of_groups(values: Mapping[str, float], groups: Sequence[Hashable] | None, size: int) -> np.ndarray:
    """The value of the group of every pair `(N,)`."""
    if groups is None and WHOLE not in values:
        raise ValueError(f"this was fitted by group, {', '.join(map(repr, values))}: give the `groups` of the pairs")
    if groups is not None and WHOLE in values:
        raise ValueError("this was fitted without groups: leave `groups` out, or fit it with them")
    names = as_groups(groups, size)
    for row, name in enumerate(names):
        if name not in values:
            raise ValueError(
                f"row {row} is of group {name!r}, of which no pair was there to fit: known are {', '.join(map(repr, values))}"
            )
    return np.array([values[name] for name in names], dtype=np.float64)


def describe_exchangeability(rule: str, clustered: bool) -> str:
    """For whom a guarantee holds."""
    if not clustered:
        return (
            "for a new pair that is exchangeable with the calibration pairs, which pairs that share a prompt or a response "
            "with others are not: fit with `clusters` then"
        )
    if rule == "cluster_maximum":
        return "for all pairs at once of a new cluster (prompt) that is exchangeable with those of the calibration"
    return "for a pair drawn at random from a new cluster (prompt) that is exchangeable with those of the calibration"
