"""Offsets that bring shares of prompts won, which are step functions of them, nearest to the expected ones."""

import numpy as np


_SMALLEST_GAP = 1e-9  # of the range of the thresholds: a narrower interval does not survive the rounding of the scores
_SMALLEST_GAIN = 1e-12  # relative; below it a move is rounding
_CENTRINGS = 200  # of all offsets; a few tens are enough


def descend(
    table: np.ndarray, start: np.ndarray, expected: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, float]:
    """
    Move one offset at a time to where the weighted squared distance of its model's win rates is least.

    Args:
        table (`np.ndarray` of shape `(N, M)`): Scores.
        start (`np.ndarray` of shape `(M,)`): Offsets to begin from.
        expected (`np.ndarray` of shape `(M, M)`): Expected win rates.
        weight (`np.ndarray` of shape `(M, M)`): Weights of the pairs.

    Returns:
        `tuple[np.ndarray, float]`: Offsets `(M,)` which no move of one alone improves, each in the middle of the interval
        that the others leave it, and the sum over the pairs of weight times squared distance.
    """
    offsets, m = start.astype(np.float64), table.shape[1]
    # whatever the start was worth: it may lie at thresholds, where prompts tie, and moves never end at one
    for model in range(m):
        offsets[model] = _best_offset(table, offsets, expected, weight, model)
    objective = _objective(table, offsets, expected, weight)
    improved = True
    while improved:  # the objective falls with every move and has finitely many values
        improved = False
        for model in range(m):
            candidate = offsets.copy()
            candidate[model] = _best_offset(table, offsets, expected, weight, model)
            value = _objective(table, candidate, expected, weight)
            if value < objective * (1 - _SMALLEST_GAIN):
                offsets, objective, improved = candidate, value, True
    centred = _centred(table, offsets)
    # the same outcomes, unless two thresholds are so near that rounding decides
    return (centred if _objective(table, centred, expected, weight) <= objective else offsets), objective


def _centred(table: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Every offset in the middle of the interval in which no outcome changes; one with an open end stays."""
    m = len(offsets)
    low, high = np.full((m, m), -np.inf), np.full((m, m), np.inf)  # of the differences of offsets
    for i, j in zip(*np.triu_indices(m, k=1), strict=True):
        thresholds, difference = table[:, j] - table[:, i], offsets[i] - offsets[j]
        low[i, j] = np.max(thresholds, where=thresholds < difference, initial=-np.inf)
        high[i, j] = np.min(thresholds, where=thresholds > difference, initial=np.inf)
        low[j, i], high[j, i] = -high[i, j], -low[i, j]
    offsets, close = offsets.copy(), _SMALLEST_GAP * np.ptp(table)
    for _ in range(_CENTRINGS):  # a move shifts the middles of the others, by half as much at most
        before = offsets.copy()
        for model in range(m):
            ends = np.max(low[model] + offsets), np.min(high[model] + offsets)
            if np.isfinite(ends).all():
                offsets[model] = ends[0] + (ends[1] - ends[0]) / 2
        if np.abs(offsets - before).max() <= close:
            break
    return offsets


def _objective(table: np.ndarray, offsets: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> float:
    moved, total = table + offsets, 0.0
    for i in range(table.shape[1] - 1):
        others = moved[:, i + 1 :]
        points = (moved[:, i : i + 1] > others).mean(axis=0) + 0.5 * (moved[:, i : i + 1] == others).mean(axis=0)
        total += float(weight[i, i + 1 :] @ (points - expected[i, i + 1 :]) ** 2)
    return total


def _best_offset(
    table: np.ndarray, offsets: np.ndarray, expected: np.ndarray, weight: np.ndarray, model: int
) -> float:
    """
    The best offset of one model, the others held.

    Its win rate against another rises by 1/N at each of N thresholds. Going through the thresholds of all others in
    order, every step changes one squared distance; the running sum of the changes is the objective.
    """
    n, m = table.shape
    others = [other for other in range(m) if other != model]
    thresholds = np.sort(table[:, others] + offsets[others] - table[:, [model]], axis=0)
    distance = np.arange(n + 1)[:, None] / n - expected[model, others]
    changes = np.diff(weight[model, others] * distance**2, axis=0)
    order = np.argsort(thresholds, axis=None, kind="stable")
    thresholds = thresholds.ravel()[order]
    running = np.concatenate([[0.0], np.cumsum(changes.ravel()[order])])
    gaps = np.diff(thresholds)
    reach = float(np.ptp(thresholds)) or 1.0
    step = reach / len(thresholds)
    # between thresholds k and k + 1 the first k + 1 are passed; before the first none, behind the last all
    running[1:-1][gaps <= _SMALLEST_GAP * reach] = np.inf
    best = int(np.argmin(running))
    if best == 0:
        return float(thresholds[0] - step)
    if best == len(thresholds):
        return float(thresholds[-1] + step)
    return float(thresholds[best - 1] + gaps[best - 1] / 2)
