"""What calibrators take: scores, labels, and the rows they were fitted on."""

import hashlib
import logging
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


logger = logging.getLogger(__name__)

# As in the conversions of P(correct) to weights: 0 and 1 have no finite logit
_EPSILON = 1e-7


@dataclass(frozen=True)
class FitRecord:
    """
    What a calibrator was fitted on.

    Args:
        fitted_on (`str` or `None`):
            Name of the split, as the caller gave it.
        n (`int`):
            Number of rows.
        data_hash (`str`):
            [`hash_rows`] of scores and labels.
        arm (`str` or `None`):
            Metric behind the scores: a key of [`~trl_ext.reliability.arms.ARMS`].
    """

    fitted_on: str | None
    n: int
    data_hash: str
    arm: str | None


def hash_rows(scores: np.ndarray, labels: np.ndarray) -> str:
    """
    Hash of the rows (score, label), whatever their order: the first 16 hex digits of a SHA-256.

    Args:
        scores (`numpy.ndarray` of shape `(N,)`):
            Scores.
        labels (`numpy.ndarray` of shape `(N,)`):
            Labels.

    Returns:
        `str`
    """
    # adding 0 makes -0.0 and 0.0 the same
    rows = np.column_stack([scores, labels]).astype("<f8") + 0.0
    rows = rows[np.lexsort(rows.T)]
    return hashlib.sha256(np.ascontiguousarray(rows).tobytes()).hexdigest()[:16]


def as_scores(scores: ArrayLike) -> np.ndarray:
    """Finite scores as float64 of shape `(N,)`."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"scores must have shape (N,), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"scores has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array


def as_probabilities(scores: np.ndarray, kind: str) -> np.ndarray:
    """Scores in [0, 1], with exact 0 and 1 moved to 1e-7 and 1 − 1e-7 (their number is logged)."""
    bad = np.flatnonzero((scores < 0) | (scores > 1))
    if bad.size:
        raise ValueError(
            f"{kind} takes scores in [0, 1]; {bad.size} of {scores.size} are not, first: row {bad[0]}, value "
            f"{scores[bad[0]]}. Normalise them, or take a calibrator for scores on any scale (platt, isotonic)."
        )
    certain = int(np.sum((scores < _EPSILON) | (scores > 1 - _EPSILON)))
    if certain:
        logger.warning(
            "%s: %d of %d scores are 0 or 1, which have no finite logit; they count as %g and 1 - %g",
            kind,
            certain,
            scores.size,
            _EPSILON,
            _EPSILON,
        )
    return np.clip(scores, _EPSILON, 1 - _EPSILON)


def equal_mass_starts(values: np.ndarray, n_bins: int) -> np.ndarray:
    """
    Lowest value of each bin but the first, when sorted values are cut into bins whose sizes differ by one at most: the
    first ones are the larger. Bins that would begin with an equal value are one.

    Args:
        values (`numpy.ndarray` of shape `(N,)`):
            Values.
        n_bins (`int`):
            Number of bins asked for.

    Returns:
        `numpy.ndarray` of shape `(K - 1,)`, ascending, K ≤ `n_bins`: values, not numbers between them.
    """
    ordered = np.sort(values)
    sizes = np.full(n_bins, values.size // n_bins)
    sizes[: values.size % n_bins] += 1
    first = np.cumsum(sizes)[:-1]
    starts = np.unique(ordered[first[first < values.size]])
    return starts[starts > ordered[0]]


def as_labels(correct: ArrayLike, scores: np.ndarray, soft: bool) -> np.ndarray:
    """Labels as float64 of the shape of `scores`: 0 and 1, or anything between where `soft`."""
    labels = np.asarray(correct, dtype=np.float64)
    if labels.shape != scores.shape:
        raise ValueError(f"scores and correct must have the same shape (N,), got {scores.shape} and {labels.shape}")
    if soft:
        rule, good = "in [0, 1]", (labels >= 0) & (labels <= 1)
    else:
        rule, good = "0 or 1", (labels == 0) | (labels == 1)
    bad = np.flatnonzero(~good)
    if bad.size:
        raise ValueError(
            f"correct must be {rule}; {bad.size} values are not, first: row {bad[0]}, value {labels[bad[0]]}"
        )
    return labels


def logit_difference(logits: ArrayLike) -> np.ndarray:
    r"""
    One logit per row of a model with one output or two: \( z_1 - z_0 \) of two logits is the logit of the second class,
    as \( \operatorname{softmax}(z)_1 = \sigma(z_1 - z_0) \).

    Args:
        logits (`array_like` of shape `(N,)`, `(N, 1)` or `(N, 2)`):
            Outputs of the head.

    Returns:
        `numpy.ndarray` of shape `(N,)`, float64.

    Example:
        ```python
        >>> logit_difference([[0.5, 2.0], [1.0, -1.0]])
        array([ 1.5, -2. ])
        ```
    """
    array = np.asarray(logits, dtype=np.float64)
    if array.ndim == 1:
        return array
    if array.ndim == 2 and array.shape[1] in (1, 2):
        return array[:, 0] if array.shape[1] == 1 else array[:, 1] - array[:, 0]
    raise ValueError(f"logits must have shape (N,), (N, 1) or (N, 2), got {array.shape}")
