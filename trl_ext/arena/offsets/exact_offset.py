"""The interval of offsets with which one model wins as many prompts as wanted."""

from dataclasses import dataclass

import numpy as np

from ..mismatch.paired_outcomes import paired_outcomes


# Twice float64's epsilon bounds the error of a threshold and of the sum that is compared with it, per unit of the scores:
# |fl(s_R - s_O) - (s_R - s_O)| <= eps m and |fl(s_O + d) - (s_O + d)| <= eps m / 2 with m the larger of |s_O|, |s_R|
_ROUNDING = 2 * np.finfo(np.float64).eps
_STEP_WITHOUT_SPREAD = 1e-3  # of the largest score, beyond the last threshold where all differences are equal


@dataclass(frozen=True)
class ExactOffset:
    """
    Offsets `interval_low < d <= interval_high` that all give the same count, and one of them.

    Args:
        offset (`float`): The midpoint; next to an open end, a step from the other end.
        interval_low (`float`): Excluded lower end, in the unit of the scores; may be `-inf`.
        interval_high (`float`): Included upper end; may be `inf`.
        points (`float`): Wins, with half a win per tie if ties count half.
        attainable (`bool`): Whether the count is within half a win of the one wanted.
    """

    offset: float
    interval_low: float
    interval_high: float
    points: float
    attainable: bool


def exact_offset(scores: np.ndarray, opponent_scores: np.ndarray, win_rate: float, ties: str) -> ExactOffset:
    """
    The offset whose count of wins is nearest to `win_rate * N`; of two as near, the lower one.

    The count grows with the offset by one at each order statistic of `opponent_scores - scores`. Order statistics that
    rounding can't tell apart are tied: between them there is no offset to choose. All others are so far apart that the
    count at the midpoint is that of `scores + offset > opponent_scores` as float64 evaluates it.
    """
    n, wanted = len(scores), win_rate * len(scores)
    differences = opponent_scores - scores
    order = np.argsort(differences, kind="stable")
    thresholds = differences[order]
    error = _ROUNDING * np.maximum(np.abs(scores), np.abs(opponent_scores))[order]
    # with k wins, an offset lies above the first k thresholds and below the others, whatever their rounding
    above = np.concatenate([[-np.inf], np.maximum.accumulate(thresholds + error)])
    below = np.concatenate([np.minimum.accumulate((thresholds - error)[::-1])[::-1], [np.inf]])
    counts = np.flatnonzero(above < below)
    count = int(counts[np.argmin(np.abs(counts - wanted))])
    attainable = abs(count - wanted) <= 0.5
    if ties == "half" and not attainable:
        tied = _at_the_tie(scores, opponent_scores, thresholds, counts, wanted)
        if abs(tied.points - wanted) < abs(count - wanted):
            return tied
    low = float(thresholds[count - 1]) if count else -np.inf
    high = float(thresholds[count]) if count < n else np.inf
    offset = _inside(low, high, _step(scores, opponent_scores, thresholds))
    offset = float(np.clip(offset, above[count], below[count]))
    return ExactOffset(offset, low, high, float(count), bool(attainable))


def _at_the_tie(
    scores: np.ndarray, opponent_scores: np.ndarray, thresholds: np.ndarray, counts: np.ndarray, wanted: float
) -> ExactOffset:
    """The offset that makes the tied differences around the wanted count ties of scores."""
    next_count = np.searchsorted(counts, wanted)
    offset = float(thresholds[(counts[next_count - 1] + counts[next_count]) // 2])
    points = paired_outcomes(scores, opponent_scores, offset).points("half")
    return ExactOffset(offset, offset, offset, points, abs(points - wanted) <= 0.5)


def _inside(low: float, high: float, step: float) -> float:
    if np.isinf(low):
        return high - step
    return low + step if np.isinf(high) else low + (high - low) / 2


def _step(scores: np.ndarray, opponent_scores: np.ndarray, thresholds: np.ndarray) -> float:
    """Mean gap between neighbouring thresholds; where all are equal, a small part of the largest score, or 1."""
    spread = float(thresholds[-1] - thresholds[0])
    if spread > 0:
        return spread / (len(thresholds) - 1)
    return _STEP_WITHOUT_SPREAD * float(max(np.abs(scores).max(), np.abs(opponent_scores).max())) or 1.0
