"""Mismatch degree: how far a reward model's win rates are from those of human votes, with intervals."""

import logging

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...evaluation.statistics import as_finite, check_level
from ..ratings.rated_models import check_rated
from ..ratings.rating_table import RatingTable
from ..ratings.win_probability import elo_win_probability
from ..score_table import ScoreTable
from .intervals import EffectivePrompts, mismatch_interval, mismatch_p_values, relative_mismatch
from .paired_outcomes import TIES, check_ties
from .pairwise_counts import PairCounts, count_pairs


logger = logging.getLogger(__name__)

_CONSTANT_FROM = 10  # prompts from which equal scores for all of them are no accident


def mismatch_degree(
    scores_overvalued: ArrayLike, scores_reference: ArrayLike, expected_win_rate: float, *, ties: str = "loss"
) -> float:
    r"""
    How much more often a reward model prefers one model to another than people do: \( (w - P) / \max(P, 1 - P) \), with
    the win rate \( w \) of the scores and the expected win rate \( P \) of the ratings.

    Above 0 the first model is over-valued, below 0 under-valued. The range is [−P / max(P, 1 − P), (1 − P) / max(P, 1 − P)].

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045.

    Args:
        scores_overvalued (`array_like` of shape `(N,)`):
            Scores of the responses of the first model. To see the effect of an offset, add it to these.
        scores_reference (`array_like` of shape `(N,)`):
            Scores of the responses of the second model to the same prompts, in the same order.
        expected_win_rate (`float`):
            Probability in [0, 1] that the first model wins, e.g. of [`elo_win_probability`].
        ties (`str`, *optional*, defaults to `"loss"`):
            What equal scores count: `"loss"` of the first model, as in the original, or `"half"` a win. An expected win
            rate from ratings counts ties half, so `"half"` compares like with like.

    Returns:
        `float`: The mismatch degree.

    Raises:
        ValueError: Shapes don't agree, a score is not finite, or `expected_win_rate` is not in [0, 1].

    Example:
        ```python
        >>> from trl_ext.arena import mismatch_degree
        >>> mismatch_degree([3.0, 1.0, 2.0, 5.0], [1.0, 2.0, 2.0, 4.0], 0.4)
        0.16666666666666663
        >>> mismatch_degree([3.0, 1.0, 2.0, 5.0], [1.0, 2.0, 2.0, 4.0], 0.4, ties="half")
        0.375

        ```
    """
    check_ties(ties)
    first = as_finite(scores_overvalued, "scores_overvalued")
    second = as_finite(scores_reference, "scores_reference")
    if first.shape != second.shape:
        raise ValueError(
            f"scores of both models must be of the same prompts, got {first.size} of the over-valued and {second.size} of "
            "the reference model"
        )
    if not 0.0 <= expected_win_rate <= 1.0:
        raise ValueError(f"`expected_win_rate` must lie in [0, 1], got {expected_win_rate}")
    wins, equal = np.count_nonzero(first > second), np.count_nonzero(first == second)
    return float(relative_mismatch((wins + TIES[ties] * equal) / first.size, expected_win_rate))


def mismatch_table(
    scores: ScoreTable,
    ratings: RatingTable,
    *,
    ties: str = "loss",
    level: float = 0.95,
    bootstrap: int = 2000,
    rating_uncertainty: bool = True,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    r"""
    Mismatch degree of every ordered pair of models, with bootstrap intervals and p-values.

    Resampling prompts changes nothing about a pair but its numbers of wins, ties and losses, so these are drawn directly,
    however many prompts there are. They are drawn by the Bayesian bootstrap with half a win and half a loss added
    (Jeffreys' prior), because the plain bootstrap of few prompts, or of a model that wins nearly always, is too narrow,
    and has no width at all where it always wins. Prompts in clusters count as the number of independent ones that would
    vary as much: \( n^* = s^2 / \operatorname{var}(w) \), with the cluster-robust variance (CR1) to which a bootstrap of
    whole clusters converges, times \( (z/t_{G-1})^2 \). Ratings are drawn from their normal distribution.

    The p-value is that of the score test of no mismatch, whose variance is taken where the win rate is the expected one.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045.
        - Rubin, The Bayesian Bootstrap, 1981.
        - Brown, Cai and DasGupta, Interval Estimation for a Binomial Proportion, 2001 (Jeffreys' interval).
        - Korn and Graubard, Confidence Intervals for Proportions with Small Expected Number of Positive Counts Estimated
          from Survey Data, 1998 (effective number of rows).

    Args:
        scores ([`ScoreTable`]):
            Rewards of N prompts and M models.
        ratings ([`RatingTable`]):
            Ratings of these models; names may be aliases.
        ties (`str`, *optional*, defaults to `"loss"`):
            What equal scores count: `"loss"` of the first model of the pair, as in the original, or `"half"` a win.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        bootstrap (`int`, *optional*, defaults to `2000`):
            Number of draws.
        rating_uncertainty (`bool`, *optional*, defaults to `True`):
            Whether intervals include the uncertainty of the ratings. A rating without an interval counts as exact; `method`
            says so.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of what prompts have in common, such as their source, or the prompt of several samples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Returns:
        `pandas.DataFrame`: Columns `model`, `reference`, `n` (prompts), `wins`, `ties`, `losses`, `win_rate`,
        `expected_win_rate`, `mismatch`, `se`, `ci_low`, `ci_high`, `p_value`, `method`. Uncertainty is `nan` for a single
        cluster.

    Raises:
        ValueError: A model has no rating, two models have equal scores for all prompts, or a model has the same score for
            all prompts.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ScoreTable, mismatch_table
        >>> scores = ScoreTable.from_columns({"a": [3.0, 1.0, 2.0, 5.0], "b": [1.0, 2.0, 2.0, 4.0]})
        >>> table = mismatch_table(scores, RatingTable.from_ratings({"a": 1216.0, "b": 1273.0}))
        >>> table[["model", "reference", "wins", "ties", "losses", "win_rate", "mismatch"]].round(4)
          model reference  wins  ties  losses  win_rate  mismatch
        0     a         b     2     1       1      0.50    0.1399
        1     b         a     1     1       2      0.25   -0.5699

        ```
    """
    check_ties(ties)
    check_level(level)
    if bootstrap < 2 / (1 - level):
        raise ValueError(
            f"`bootstrap` must be at least 2 / (1 - level) = {int(np.ceil(2 / (1 - level)))} draws, got {bootstrap}"
        )
    check_rated(scores.models, ratings)
    counts = count_pairs(scores.scores)
    _check_distinguished(scores, counts)
    effective = EffectivePrompts.of(scores.scores, counts, clusters, ties)
    expected, rate = ratings.win_probabilities(scores.models), counts.win_rates(ties)
    covariance = ratings.covariance_of(scores.models) * float(rating_uncertainty)
    without = _without_interval(scores, ratings) if rating_uncertainty else set()
    drawn = ratings.draws(scores.models, bootstrap, np.random.default_rng(seed)) if rating_uncertainty else None
    p_values = mismatch_p_values(counts, expected, effective, covariance, ties)
    rows = []
    for i, model in enumerate(scores.models):
        for j, reference in enumerate(scores.models):
            if i == j:
                continue
            expected_draws = expected[i, j] if drawn is None else elo_win_probability(drawn[:, i], drawn[:, j])
            outcomes = int(counts.wins[i, j]), int(counts.ties[i, j]), int(counts.wins[j, i])
            # both orders of a pair take the same draws: where ties count half, their intervals are mirror images
            generator = np.random.default_rng([seed, *sorted((i, j))])
            se, low, high = mismatch_interval(
                outcomes if i < j else outcomes[::-1], effective.for_draws(level)[i, j], expected_draws, ties, level,
                bootstrap, generator, reverse=i > j,
            )  # fmt: skip
            sources = _rating_part(rating_uncertainty, [name for name in (model, reference) if name in without])
            rows.append(
                {
                    "model": model,
                    "reference": reference,
                    "n": counts.n,
                    **dict(zip(("wins", "ties", "losses"), outcomes, strict=True)),
                    "win_rate": rate[i, j],
                    "expected_win_rate": expected[i, j],
                    "mismatch": relative_mismatch(rate[i, j], expected[i, j]),
                    "se": se,
                    "ci_low": low,
                    "ci_high": high,
                    "p_value": p_values[i, j],
                    "method": f"Bayesian bootstrap of wins, ties and losses with Jeffreys' prior ({effective.unit}, {sources}, "
                    f"{bootstrap} draws, seed {seed}, {level:g} level)",
                }
            )
    return pd.DataFrame(rows)


def _check_distinguished(scores: ScoreTable, counts: PairCounts) -> None:
    """Raise where the reward model told nothing apart: an error of files or of scoring, not a finding."""
    n, models = counts.n, scores.models
    same = np.argwhere(np.triu(counts.ties == n, 1))
    if len(same):
        first, second = (models[index] for index in same[0])
        raise ValueError(
            f"models {first!r} and {second!r} have equal scores for all {n} prompts, so there is no win to count. Are their "
            "responses the same, or does the reward model give one score to everything?"
        )
    if n >= _CONSTANT_FROM:
        constant = np.flatnonzero((scores.scores == scores.scores[0]).all(axis=0))
        if constant.size:
            raise ValueError(
                f"scores of model {models[constant[0]]!r} are {scores.scores[0, constant[0]]} for all {n} prompts: its "
                "responses are empty or were not scored"
            )


def _without_interval(scores: ScoreTable, ratings: RatingTable) -> set[str]:
    errors = zip(scores.models, ratings.standard_errors(scores.models), strict=True)
    without = {model for model, error in errors if np.isnan(error)}
    if without:
        logger.warning(
            "%d of %d ratings have no interval and count as exact: %s",
            *(len(without), len(scores.models), ", ".join(sorted(without))),
        )
    return without


def _rating_part(rating_uncertainty: bool, without: list[str]) -> str:
    if not rating_uncertainty or len(without) == 2:
        return "ratings taken as exact"
    return f"ratings drawn, that of {without[0]!r} exact for want of an interval" if without else "ratings drawn"
