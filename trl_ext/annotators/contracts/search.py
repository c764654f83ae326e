"""Maximisation by repeated grids: robust where functions have flat parts, jumps to -inf and several maxima."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


# Grids are refined until a point is known to this many units of effort
RESOLUTION = 1e-13


def maximise(function: Callable[[np.ndarray], np.ndarray], low: float, high: float, points: int = 33) -> float | None:
    """
    Argument of the largest value of `function` on [low, high], found on a grid that is refined around its best point;
    `-inf` marks what is not allowed. `None` where nothing on the first grid is allowed.
    """
    ends = (low, high)
    while True:
        grid = np.linspace(low, high, points)
        values = function(grid)
        best = int(np.argmax(values))
        if values[best] == -np.inf:
            return None
        spacing = grid[1] - grid[0]
        if 0 < best < points - 1 and spacing < 2e-4:
            left, middle, right = values[best - 1 : best + 2]
            bend = left - 2 * middle + right
            if np.isfinite(bend) and bend < 0:
                return float(grid[best] + spacing * (left - right) / (2 * bend))
        if spacing < RESOLUTION:
            return float(grid[best])
        if grid[best] in ends and spacing < 2e-4:
            end, beside, next_beside = values[[0, 1, 2]] if best == 0 else values[[-1, -2, -3]]
            # a parabola through the three still rises at the end
            if next_beside > -np.inf and 3 * (end - beside) > beside - next_beside:
                return float(grid[best])
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]


def local_maxima(values: np.ndarray, count: int) -> np.ndarray:
    """Indices, per row, of the `count` largest local maxima of `values` (R, m), best first: (R, count)."""
    walls = np.full((values.shape[0], 1), -np.inf)
    padded = np.concatenate([walls, values, walls], axis=1)
    peaks = (values > padded[:, :-2]) & (values >= padded[:, 2:])
    return np.argsort(np.where(peaks, values, -np.inf), axis=1)[:, : -count - 1 : -1]


@dataclass(frozen=True)
class Brackets:
    """R brackets around maxima: the best argument seen in each, its value, and how much better it may still get."""

    low: np.ndarray
    high: np.ndarray
    argument: np.ndarray
    value: np.ndarray
    room: np.ndarray


def refine(function: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, points: int) -> Brackets:
    """One level of [`maximise`] for R brackets at once: `function` maps (R, points) to (R, points)."""
    steps = np.linspace(0.0, 1.0, points)
    rows = np.arange(len(low))
    grid = low[:, None] * (1 - steps) + high[:, None] * steps
    values = function(grid)
    best = values.argmax(axis=1)
    left, right = np.maximum(best - 1, 0), np.minimum(best + 1, points - 1)
    value = values[rows, best]
    beside = np.stack([values[rows, left], values[rows, right]])
    with np.errstate(invalid="ignore"):
        fall = np.where(np.isfinite(beside), value - beside, -np.inf).max(axis=0)
    # between the best point and its neighbours a function falls or rises about as fast as just beside them
    room = np.where(np.isfinite(fall), 2 * fall, np.where(value > -np.inf, np.inf, 0.0))
    return Brackets(grid[rows, left], grid[rows, right], grid[rows, best], value, room)


def all_maxima(function: Callable[[np.ndarray], np.ndarray], grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Every local maximum of a continuous `function` that shows on an increasing `grid`, refined between the neighbours.

    Returns:
        Arguments and values, largest value first.
    """
    values = function(grid)
    peaks = np.flatnonzero(
        (values >= np.concatenate([[-np.inf], values[:-1]])) & (values >= np.concatenate([values[1:], [-np.inf]]))
    )
    low, high = grid[np.maximum(peaks - 1, 0)], grid[np.minimum(peaks + 1, len(grid) - 1)]
    for _ in range(7):
        found = refine(function, low, high, points=17)
        low, high = found.low, found.high
    # refinement may lose a tie, and with it the exact ends of the range
    arguments = np.where(values[peaks] >= found.value, grid[peaks], found.argument)
    refined = np.maximum(values[peaks], found.value)
    order = np.argsort(-refined, kind="stable")
    return arguments[order], refined[order]
