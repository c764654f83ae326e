"""The interval of offsets with which one model wins as many prompts as wanted, exactly as float64 evaluates them."""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .paired_outcomes import paired_outcomes


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
    The offset whose count of wins is nearest to `win_rate * N`.

    The count grows with the offset, one step at each order statistic of `opponent_scores - scores`. Steps are located
    by bisection over the float64 numbers, so that the count holds for `scores + offset > opponent_scores` as it is
    evaluated, whatever the rounding of the differences.
    """
    wanted = win_rate * len(scores)

    def points(offset: float) -> float:
        return paired_outcomes(scores, opponent_scores, offset).points(ties)

    bound = 4 * max(np.abs(scores).max(), np.abs(opponent_scores).max()) + 1
    edge = _last_at_most(points, wanted, -bound, bound)
    below, above = points(edge), points(math.nextafter(edge, math.inf))

    def plateau(value: float) -> ExactOffset:
        if value == below:
            low, high = _last_at_most(points, value - 0.25, -bound, edge) if value else -math.inf, edge
        else:
            low = edge
            high = _last_at_most(points, value, edge, bound) if value < len(scores) else math.inf
        offset = _inside(low, high, _step(scores, opponent_scores), lambda at: points(at) == value)
        return ExactOffset(offset, low, high, value, abs(value - wanted) <= 0.5)

    candidates = [plateau(value) for value in (below, above)]

    def preference(candidate: ExactOffset) -> tuple[bool, float, int, float]:
        tied = paired_outcomes(scores, opponent_scores, candidate.offset).ties
        # a tied pair teaches nothing, so half a win by a tie is taken only where whole wins don't come near
        whole = candidate.attainable and not tied
        return not whole, abs(candidate.points - wanted), tied, abs(candidate.offset)

    return min(candidates, key=preference)


def _inside(low: float, high: float, step: float, is_right: Callable[[float], bool]) -> float:
    if math.isfinite(low) and math.isfinite(high):
        middle = low + (high - low) / 2
        return middle if middle > low else high  # of neighbouring numbers the upper one is in the interval
    start, direction = (high, -1) if math.isfinite(high) else (low, 1)
    while not is_right(start + direction * step):
        step *= 2
    return start + direction * step


def _step(scores: np.ndarray, opponent_scores: np.ndarray) -> float:
    """Mean gap between neighbouring differences; where all are equal, a small part of the largest score, or 1."""
    spread = float(np.ptp(opponent_scores - scores))
    if spread > 0:
        return spread / (len(scores) - 1)
    return _STEP_WITHOUT_SPREAD * float(max(np.abs(scores).max(), np.abs(opponent_scores).max())) or 1.0


def _last_at_most(function: Callable[[float], float], value: float, low: float, high: float) -> float:
    """Last float64 number in [low, high) at which a growing function is at most `value`; it is at `low`."""
    first, last = _rank(low), _rank(high)
    while last - first > 1:
        middle = (first + last) // 2
        if function(_number(middle)) <= value:
            first = middle
        else:
            last = middle
    return _number(first)


def _rank(number: float) -> int:
    """Position among the float64 numbers in their order; 0 has 0."""
    (bits,) = struct.unpack("<Q", struct.pack("<d", abs(number)))
    return -bits if number < 0 else bits


def _number(rank: int) -> float:
    (number,) = struct.unpack("<d", struct.pack("<Q", abs(rank)))
    return -number if rank < 0 else number
