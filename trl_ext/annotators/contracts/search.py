"""Maximisation by repeated grids: robust where functions have flat parts, jumps to -inf and several maxima."""

from collections.abc import Callable

import numpy as np


# Grids are refined until a point is known to this many units of effort
RESOLUTION = 1e-13


def maximise(function: Callable[[np.ndarray], np.ndarray], low: float, high: float, points: int = 33) -> float | None:
    """
    Argument of the largest value of `function` on [low, high], found on a grid that is refined around its best point;
    `-inf` marks what is not allowed. `None` where nothing on the first grid is allowed.
    """
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
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]


def local_maxima(values: np.ndarray, count: int) -> np.ndarray:
    """Indices, per row, of the `count` largest local maxima of `values` (R, m), best first: (R, count)."""
    walls = np.full((values.shape[0], 1), -np.inf)
    padded = np.concatenate([walls, values, walls], axis=1)
    peaks = (values > padded[:, :-2]) & (values >= padded[:, 2:])
    return np.argsort(np.where(peaks, values, -np.inf), axis=1)[:, : -count - 1 : -1]


def refine_rows(
    function: Callable[[np.ndarray], np.ndarray], low: np.ndarray, high: np.ndarray, points: int, levels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """
    [`maximise`] for R brackets at once, a fixed number of levels: `function` maps (R, points) to (R, points).

    Returns:
        Best arguments (R,), their values (R,), and the last brackets (R,), (R,).
    """
    steps = np.linspace(0.0, 1.0, points)
    rows = np.arange(len(low))
    for _ in range(levels):
        grid = low[:, None] * (1 - steps) + high[:, None] * steps
        values = function(grid)
        best = values.argmax(axis=1)
        low, high = grid[rows, np.maximum(best - 1, 0)], grid[rows, np.minimum(best + 1, points - 1)]
    return grid[rows, best], values[rows, best], low, high


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
    arguments, refined, _, _ = refine_rows(function, low, high, points=17, levels=7)
    # the ends of the range are exact, and refinement may lose a tie
    arguments = np.where(values[peaks] >= refined, grid[peaks], arguments)
    refined = np.maximum(values[peaks], refined)
    order = np.argsort(-refined, kind="stable")
    return arguments[order], refined[order]
