"""Ratings that a reward model's own preferences imply."""

from itertools import combinations

import numpy as np
from scipy.special import expit
from scipy.stats import rankdata

from ..ratings.win_probability import ELO_SCALE
from ..score_table import ScoreTable


_BLOCK = 1 << 16  # prompts ranked at a time
_STEPS = 200  # of Newton's method, which takes about ten
_LONGEST = 2.0  # step in log odds: from 0 the whole step may overshoot
_EXACT = 1e-12  # wins per prompt
_CLOSE = 1e-9  # to the largest possible number of wins per prompt: rounding of sums


def prompt_wins(scores: np.ndarray) -> np.ndarray:
    """
    Wins of every model over the others on every prompt, ties half: its rank among the models, from 0.

    Args:
        scores (`np.ndarray` of shape `(N, M)`):
            Finite scores.

    Returns:
        `np.ndarray` of shape `(N, M)`: Numbers from 0 to M − 1.
    """
    wins = np.empty(scores.shape)
    for start in range(0, len(scores), _BLOCK):
        wins[start : start + _BLOCK] = rankdata(scores[start : start + _BLOCK], axis=1) - 1
    return wins


def fit_wins(wins: np.ndarray) -> np.ndarray:
    r"""
    Bradley–Terry ratings by maximum likelihood where every model meets every other on every prompt: the \( \theta \) for
    which \( \sum_{j \ne i} \sigma(\theta_i - \theta_j) \) is the mean number of wins of model i.

    Args:
        wins (`np.ndarray` of shape `(..., M)`):
            Mean wins per prompt, ties half, for which [`separated`] is false.

    Returns:
        `np.ndarray` of shape `(..., M)`: Ratings in Elo points with mean 0.
    """
    count = wins.shape[-1]
    log_odds = np.zeros_like(wins)
    diagonal = np.arange(count)
    for _ in range(_STEPS):
        expected = expit(log_odds[..., :, None] - log_odds[..., None, :])
        gradient = wins - (expected.sum(axis=-1) - 0.5)
        if np.abs(gradient).max() < _EXACT:
            break
        # plus a constant: only differences are identified, and the steps then sum to 0
        slope = expected * (1 - expected)
        curvature = 1 / count - slope
        curvature[..., diagonal, diagonal] += slope.sum(axis=-1)
        step = np.linalg.solve(curvature, gradient[..., None])[..., 0]
        log_odds += step * np.minimum(1.0, _LONGEST / np.maximum(np.abs(step).max(axis=-1, keepdims=True), _LONGEST))
    return log_odds * (ELO_SCALE / np.log(10))


def separated(wins: np.ndarray) -> np.ndarray:
    """
    In how many groups models fall, of which each always beats the next: between them ratings have no finite estimate.

    Args:
        wins (`np.ndarray` of shape `(M,)`):
            Mean wins per prompt, ties half.

    Returns:
        `np.ndarray` of shape `(M,)`: Group of every model, from 0 for the best; all 0 where ratings are finite.
    """
    count = wins.size
    order = np.argsort(-wins, kind="stable")
    best = np.arange(1, count)
    # the best k models have at most all wins over the others, and share those among themselves
    most = best * (count - best) + best * (best - 1) / 2
    splits = np.cumsum(wins[order])[:-1] >= most - _CLOSE
    groups = np.empty(count, np.int64)
    groups[order] = np.concatenate([[0], np.cumsum(splits)])
    return groups


def shrunk_wins(wins: np.ndarray, n: int) -> np.ndarray:
    """Mean wins `(..., M)` per prompt after a further prompt on which all models tie, which keeps ratings finite."""
    return (n * wins + (wins.shape[-1] - 1) / 2) / (n + 1)


def implied_ratings(scores: ScoreTable, *, centre: float = 0.0) -> dict[str, float]:
    """
    Bradley–Terry ratings of the models by the reward model's own preferences on all prompts, ties half.

    A model that always wins, or a group that always beats the rest, has no finite rating. A prompt on which all models tie
    is then added; [`rating_agreement`] tells where that was so.

    Args:
        scores ([`ScoreTable`]):
            Rewards.
        centre (`float`, *optional*, defaults to `0.0`):
            Mean of the ratings; only their differences are identified.

    Returns:
        `dict[str, float]`: Elo points by model.

    Example:
        ```python
        >>> from trl_ext.arena import ScoreTable, implied_ratings
        >>> scores = ScoreTable.from_columns({"a": [2.0, 1.0, 3.0, 0.5], "b": [1.0, 2.0, 1.0, 0.0]})
        >>> {model: round(rating, 1) for model, rating in implied_ratings(scores).items()}  # a wins 3 of 4: odds 3 to 1
        {'a': 95.4, 'b': -95.4}

        ```
    """
    wins = prompt_wins(scores.scores).mean(axis=0)
    if separated(wins).any():
        wins = shrunk_wins(wins, len(scores))
    return dict(zip(scores.models, (fit_wins(wins) + centre).tolist(), strict=True))


def reward_elo(scores: ScoreTable, *, k: float = 4.0, start: float = 1000.0) -> dict[str, float]:
    """
    Sequential Elo of the reward model's preferences, as in the history of the original: prompt by prompt, every pair of
    models in their order, a tie half.

    The result depends on the order of the prompts and on `k`: for comparison with the original only. Use
    [`implied_ratings`].

    Args:
        scores ([`ScoreTable`]):
            Rewards.
        k (`float`, *optional*, defaults to `4.0`):
            Largest step, in Elo points.
        start (`float`, *optional*, defaults to `1000.0`):
            Rating before the first prompt.

    Returns:
        `dict[str, float]`: Elo points by model.

    Example:
        ```python
        >>> from trl_ext.arena import ScoreTable, reward_elo
        >>> reward_elo(ScoreTable.from_columns({"a": [2.0], "b": [1.0]}))
        {'a': 1002.0, 'b': 998.0}

        ```
    """
    ratings = [float(start)] * len(scores.models)
    pairs = list(combinations(range(len(ratings)), 2))
    for row in scores.scores.tolist():
        for first, second in pairs:
            outcome = 0.5 * ((row[first] > row[second]) + (row[first] >= row[second]))
            gain = k * (outcome - 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / ELO_SCALE)))
            ratings[first] += gain
            ratings[second] -= gain
    return dict(zip(scores.models, ratings, strict=True))
