"""From ratings to the expected score of one model against another."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit


ELO_SCALE = 400.0  # rating points that multiply the odds by ten


def elo_win_probability(rating: ArrayLike, opponent_rating: ArrayLike) -> np.ndarray | float:
    r"""
    Expected score of a model against another: \( P = 1 / (1 + 10^{(R_\text{opponent} - R) / 400}) \).

    A tie counts half a win, as it does where such ratings come from.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045, equation 2.

    Args:
        rating (`float` or `array_like`):
            Ratings in Elo points.
        opponent_rating (`float` or `array_like`):
            Ratings of the opponents, of a shape that goes with that of `rating`.

    Returns:
        `float` or `np.ndarray`: Probabilities, a `float` for two numbers.

    Raises:
        ValueError: A rating is not finite.

    Example:
        ```python
        >>> from trl_ext.arena import elo_win_probability
        >>> round(elo_win_probability(1216, 1273), 4)
        0.4187

        ```
    """
    rating, opponent = (np.asarray(values, dtype=np.float64) for values in (rating, opponent_rating))
    for name, values in (("rating", rating), ("opponent_rating", opponent)):
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            raise ValueError(f"`{name}` must be finite, got {values.ravel()[bad[0]]} at position {bad[0]}")
    probability = expit((rating - opponent) * (np.log(10) / ELO_SCALE))
    return float(probability) if probability.ndim == 0 else probability


def win_probability_matrix(ratings: ArrayLike) -> np.ndarray:
    """
    Expected score of every model against every other.

    Args:
        ratings (`array_like` of shape `(M,)`):
            Ratings in Elo points.

    Returns:
        `np.ndarray` of shape `(M, M)`: Entry i, j is the expected score of model i against model j; the diagonal is 1/2.

    Example:
        ```python
        >>> from trl_ext.arena import win_probability_matrix
        >>> win_probability_matrix([1216, 1273]).round(4)
        array([[0.5   , 0.4187],
               [0.5813, 0.5   ]])

        ```
    """
    ratings = np.asarray(ratings, dtype=np.float64)
    if ratings.ndim != 1:
        raise ValueError(f"`ratings` must have shape (M,), got {ratings.shape}")
    return np.asarray(elo_win_probability(ratings[:, None], ratings[None, :]))
