"""Soft win rates of every response of one model against every response of another: the original's objective."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from ..ratings.win_probability import win_probability_matrix


REFERENCE_TEMPERATURE = 0.1
REFERENCE_BLOCK_SIZE = 1000
_CELLS = 2**21  # comparisons held in memory at once: 16 MB each of differences and win rates


def soft_unpaired_win_rates(
    scores: ArrayLike,
    offsets: ArrayLike,
    *,
    temperature: float = REFERENCE_TEMPERATURE,
    block_size: int = REFERENCE_BLOCK_SIZE,
) -> np.ndarray:
    r"""
    Mean of \( \sigma((s_{ia} + o_i - s_{jc} - o_j) / T) \) over all rows a and c of the same block of consecutive rows.

    The prompts of a and c differ, so this is not the rate at which a model wins on a prompt: where the scores of a prompt
    are correlated, an offset that is right for it over-corrects. It is here to reproduce the original.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045: what the published
          code minimises, in place of equation 3.

    Args:
        scores (`array_like` of shape `(N, M)`):
            Rewards: row by prompt, column by model.
        offsets (`array_like` of shape `(M,)`):
            Added to the scores of each model, in their unit.
        temperature (`float`, *optional*, defaults to `0.1`):
            T, in the unit of the scores.
        block_size (`int`, *optional*, defaults to `1000`):
            Rows of a block; the last one may have fewer. Blocks count by their rows.

    Returns:
        `np.ndarray` of shape `(M, M)`: Entry i, j is the win rate of model i against model j; the diagonal is 0, as in the
        original.

    Raises:
        ValueError: Shapes don't agree, a number is not finite, or temperature or block size are not positive.

    Example:
        ```python
        >>> from trl_ext.arena import soft_unpaired_win_rates
        >>> soft_unpaired_win_rates([[0.0, 0.1], [0.2, 0.1]], [0.0, 0.0]).round(3)
        array([[0. , 0.5],
               [0.5, 0. ]])

        ```
    """
    scores, offsets = _check_scores_and_offsets(scores, offsets)
    check_temperature(temperature)
    check_block_size(block_size)
    m = scores.shape[1]
    rates = np.zeros((m, m))
    for i in range(m):
        for j in range(i + 1, m):
            rates[i, j], _ = unpaired_rate(
                scores[:, i], scores[:, j], offsets[i] - offsets[j], temperature, block_size
            )
            rates[j, i] = 1 - rates[i, j]
    return rates


def unpaired_objective(
    scores: ArrayLike,
    offsets: ArrayLike,
    ratings: ArrayLike,
    *,
    temperature: float = REFERENCE_TEMPERATURE,
    block_size: int = REFERENCE_BLOCK_SIZE,
) -> float:
    """
    What the original minimises: the mean, over all M² entries, of the squared distance between
    [`soft_unpaired_win_rates`] and the expected win rates of the ratings, both with 0 on the diagonal.

    Args:
        scores (`array_like` of shape `(N, M)`):
            Rewards: row by prompt, column by model.
        offsets (`array_like` of shape `(M,)`):
            Added to the scores of each model, in their unit.
        ratings (`array_like` of shape `(M,)`):
            Ratings in Elo points.
        temperature, block_size:
            See [`soft_unpaired_win_rates`].

    Returns:
        `float`: The objective.

    Example:
        ```python
        >>> from trl_ext.arena import unpaired_objective
        >>> unpaired_objective([[0.0, 0.1], [0.2, 0.1]], [0.0, 0.0], [1000, 1000])
        0.0

        ```
    """
    rates = soft_unpaired_win_rates(scores, offsets, temperature=temperature, block_size=block_size)
    expected = win_probability_matrix(ratings)
    if expected.shape != rates.shape:
        raise ValueError(f"there are ratings of {len(expected)} models and scores of {len(rates)}")
    np.fill_diagonal(expected, 0.0)
    return float(np.mean((rates - expected) ** 2))


def unpaired_rate(
    scores: np.ndarray, opponent_scores: np.ndarray, offset: float, temperature: float, block_size: int
) -> tuple[float, float]:
    """Soft unpaired win rate of `scores + offset` (N,) against `opponent_scores` (N,), and its derivative."""
    rate = slope = 0.0
    for first, second, weight in _comparisons(scores, opponent_scores, block_size):
        probability = expit((first[:, None] + offset - second[None, :]) / temperature)
        total = probability.sum()
        rate += weight * total
        slope += weight * (total - np.vdot(probability, probability))
    return float(rate), float(slope / temperature)


def _comparisons(
    scores: np.ndarray, opponent_scores: np.ndarray, block_size: int
) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
    """Rows of one model, rows of the other, and what each of their comparisons counts."""
    n = len(scores)
    for start in range(0, n, block_size):
        block, opponents = scores[start : start + block_size], opponent_scores[start : start + block_size]
        rows = max(1, _CELLS // len(block))
        for part in range(0, len(block), rows):
            yield block[part : part + rows], opponents, 1 / (len(block) * n)


def check_temperature(temperature: float) -> None:
    """Raise a `ValueError` unless a temperature is positive and finite."""
    if isinstance(temperature, bool) or not np.isscalar(temperature) or isinstance(temperature, str):
        raise TypeError(f"`temperature` must be a positive number, got {temperature!r}")
    if not 0 < temperature < np.inf:
        raise ValueError(f"`temperature` must be positive and finite, got {temperature}")


def check_block_size(block_size: int) -> None:
    """Raise a `ValueError` unless a block has a row."""
    if isinstance(block_size, bool) or not isinstance(block_size, int | np.integer):
        raise TypeError(f"`block_size` must be a positive whole number, got {block_size!r}")
    if block_size < 1:
        raise ValueError(f"`block_size` must be at least 1, got {block_size}")


def _check_scores_and_offsets(scores: ArrayLike, offsets: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    scores, offsets = np.asarray(scores, dtype=np.float64), np.asarray(offsets, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        raise ValueError(f"`scores` must have shape (N, M) with a row and a model at least, got {scores.shape}")
    if offsets.shape != scores.shape[1:]:
        raise ValueError(f"`offsets` must have shape (M,) = {scores.shape[1:]}, got {offsets.shape}")
    for name, values in (("scores", scores), ("offsets", offsets)):
        bad = np.argwhere(~np.isfinite(values))
        if len(bad):
            where = tuple(map(int, bad[0]))
            raise ValueError(
                f"`{name}` has {len(bad)} values that are not finite; first: at {where}, value {values[where]}"
            )
    return scores, offsets
