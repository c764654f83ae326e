"""Elo ratings that are updated battle by battle."""

import numpy as np
from scipy.special import expit

from .win_probability import ELO_SCALE


def run_elo(
    first: np.ndarray, second: np.ndarray, scores: np.ndarray, models: int, k: float, initial: float
) -> np.ndarray:
    """
    Ratings after battles in the order given, for B orders at once.

    Args:
        first (`np.ndarray` of shape `(N, B)`):
            Numbers of the first models.
        second (`np.ndarray` of shape `(N, B)`):
            Numbers of the second models.
        scores (`np.ndarray` of shape `(N, B)`):
            Scores of the first models: 1, 0, or 1/2.
        models (`int`):
            Number M of models.
        k (`float`):
            Points that a win against certain defeat brings.
        initial (`float`):
            Rating of all at the start.

    Returns:
        `np.ndarray` of shape `(B, M)`.
    """
    ratings = np.full((first.shape[1], models), float(initial))
    rows = np.arange(len(ratings))
    for a, b, score in zip(first, second, scores, strict=True):
        gain = k * (score - expit((ratings[rows, a] - ratings[rows, b]) * (np.log(10) / ELO_SCALE)))
        ratings[rows, a] += gain
        ratings[rows, b] -= gain
    return ratings
