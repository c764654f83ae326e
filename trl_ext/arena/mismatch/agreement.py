"""Does a reward model order models as people do? Mean reward and implied ratings against published ones."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from ...evaluation.statistics import Estimate, check_level, cluster_codes
from ..ratings.rated_models import check_rated
from ..ratings.rating_table import RatingTable
from ..score_table import ScoreTable
from .error_size import size_interval
from .implied_rating import fit_wins, prompt_wins, separated, shrunk_wins


_MOST_UNITS = 10_000  # units that are weighted one by one; more are put into as many random groups
_BATCH = 200  # draws at a time
_FEWEST_MODELS = 3  # for a correlation: that of two is 1 or -1


@dataclass(frozen=True)
class RatingAgreement:
    """
    How well a reward model's mean rewards and preferences agree with ratings of M models.

    Args:
        spearman ([`~trl_ext.evaluation.statistics.Estimate`]):
            Rank correlation of mean reward with rating over the models; `nan` for two models, and where either is constant.
        pearson ([`~trl_ext.evaluation.statistics.Estimate`]):
            Correlation, likewise.
        kendall ([`~trl_ext.evaluation.statistics.Estimate`]):
            Kendall's tau-b, likewise.
        rating_rmse ([`~trl_ext.evaluation.statistics.Estimate`]):
            Root mean square of implied minus published rating, in Elo points.
        rating_mae ([`~trl_ext.evaluation.statistics.Estimate`]):
            Mean absolute value of that.
        table (`pandas.DataFrame`):
            A row per model: `model`, `n` (prompts), `mean_reward`, `reward_low`, `reward_high`, `rating`, `rating_low`,
            `rating_high` (published), `implied_rating`, `implied_low`, `implied_high`, `error` (implied minus published),
            `error_low`, `error_high`. The interval of the reward is that of its difference from the mean of all models, put
            around `mean_reward`: models answer the same prompts, so that hard prompts lower all means alike.
        unbounded (`tuple[str, ...]`):
            Models that always won against all models outside of their group, or always lost: their implied rating has no
            finite estimate, is shrunk, and its interval is open on that side.
        method (`str`):
            What the intervals include.
    """

    spearman: Estimate
    pearson: Estimate
    kendall: Estimate
    rating_rmse: Estimate
    rating_mae: Estimate
    table: pd.DataFrame
    unbounded: tuple[str, ...]
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        figures = ("spearman", "pearson", "kendall", "rating_rmse", "rating_mae")
        return {name: getattr(self, name).to_dict() for name in figures} | {
            "models": self.table.to_dict("records"),
            "unbounded": list(self.unbounded),
            "method": self.method,
        }


def rating_agreement(
    scores: ScoreTable,
    ratings: RatingTable,
    *,
    level: float = 0.95,
    bootstrap: int = 2000,
    rating_uncertainty: bool = True,
    clusters: ArrayLike | None = None,
    seed: int = 0,
) -> RatingAgreement:
    r"""
    Correlations of mean reward with rating over models, and the error of the ratings that the rewards imply.

    Implied ratings are those of Bradley and Terry, fitted to the preferences of the reward model between all models on all
    prompts, ties half, with the mean of the published ratings: only differences are identified. Unlike mean rewards they
    have a unit, so that the error of every model can be told.

    Intervals are of a bootstrap of prompts that weights them (Bayesian bootstrap, with the variance of a sample and not of a
    population: weights of Gamma(1 − 2/G) for G prompts or clusters), and that draws ratings from their normal distribution.
    They say how sure the figures are *for these models*, not how they would be for others. Noise makes `rating_rmse` and
    `rating_mae` larger, and again in every draw: their intervals hold the sizes of true errors, in proportion as found, for
    which the size found is not extreme (test inversion).

    References:
        - Rubin, The Bayesian Bootstrap, 1981.

    Args:
        scores ([`ScoreTable`]):
            Rewards of N prompts and M models.
        ratings ([`RatingTable`]):
            Ratings of these models; names may be aliases.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        bootstrap (`int`, *optional*, defaults to `2000`):
            Number of draws.
        rating_uncertainty (`bool`, *optional*, defaults to `True`):
            Whether intervals include the uncertainty of the ratings.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of what prompts have in common.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Returns:
        [`RatingAgreement`]

    Raises:
        ValueError: A model has no rating, or two names have the same.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ScoreTable, rating_agreement
        >>> scores = ScoreTable.from_columns({"a": [3.0, 1.0, 2.0], "b": [1.0, 2.0, 2.5], "c": [0.0, 1.5, -1.0]})
        >>> found = rating_agreement(scores, RatingTable.from_ratings({"a": 1250.0, "b": 1200.0, "c": 1100.0}))
        >>> found.spearman.value, found.table["implied_rating"].round(1).tolist()
        (1.0, [1183.3, 1382.3, 984.4])

        ```
    """
    check_level(level)
    if bootstrap < 2 / (1 - level):
        raise ValueError(
            f"`bootstrap` must be at least 2 / (1 - level) = {int(np.ceil(2 / (1 - level)))} draws, got {bootstrap}"
        )
    check_rated(scores.models, ratings)
    n, m = scores.scores.shape
    generator = np.random.default_rng(seed)
    wins = prompt_wins(scores.scores)
    mean_reward, mean_wins = scores.scores.mean(axis=0), wins.mean(axis=0)
    reward_draws, win_draws, unit = _mean_draws(scores.scores, wins, clusters, bootstrap, generator)
    published = ratings.of(scores.models)
    rating_draws = np.broadcast_to(published, reward_draws.shape)
    if rating_uncertainty:
        rating_draws = ratings.draws(scores.models, bootstrap, generator)
    method = (
        f"Bayesian bootstrap of {unit}, ratings {'drawn' if rating_uncertainty else 'taken as exact'} "
        f"({bootstrap} draws, seed {seed}, {level:g} level)"
    )

    groups = separated(mean_wins)
    if groups.any():
        mean_wins, win_draws = shrunk_wins(mean_wins, n), shrunk_wins(win_draws, n)
    implied = fit_wins(mean_wins) + published.mean()
    fitted_draws = win_draws if np.isnan(win_draws).any() else fit_wins(win_draws)
    implied_draws = fitted_draws + rating_draws.mean(axis=1, keepdims=True)
    # nothing stands between the best group and any higher rating, nor between the worst and any lower one
    no_high, no_low = groups < groups.max(), groups > 0
    error, error_draws = implied - published, implied_draws - rating_draws
    quantiles = [(1 - level) / 2, (1 + level) / 2]
    ends = {}
    relative = reward_draws - reward_draws.mean(axis=1, keepdims=True) + mean_reward.mean()
    for name, values in (("reward", relative), ("implied", implied_draws), ("error", error_draws)):
        low, high = np.quantile(values, quantiles, axis=0)
        if name != "reward":
            low, high = np.where(no_low, -np.inf, low), np.where(no_high, np.inf, high)
        ends[name] = low, high
    own = ratings.table.iloc[ratings.index(scores.models)]
    table = pd.DataFrame(
        {
            "model": scores.models, "n": n,
            "mean_reward": mean_reward, "reward_low": ends["reward"][0], "reward_high": ends["reward"][1],
            "rating": published, "rating_low": own["rating_low"].to_numpy(),
            "rating_high": own["rating_high"].to_numpy(),
            "implied_rating": implied, "implied_low": ends["implied"][0], "implied_high": ends["implied"][1],
            "error": error, "error_low": ends["error"][0], "error_high": ends["error"][1],
        }
    )  # fmt: skip
    unbounded = tuple(np.array(scores.models, dtype=object)[no_high | no_low])
    shrunk = f", {len(unbounded)} models shrunk by one prompt on which all tie" if unbounded else ""
    root, absolute = (
        _size(error, error_draws, size, quantiles, bool(unbounded), n, f"{method}{shrunk}")
        for size in (_root_mean_square, _mean_absolute)
    )
    found = _correlations(mean_reward[None], published[None])
    drawn = _correlations(reward_draws, rating_draws)
    impossible = _no_correlation(mean_reward, published)
    correlations = {
        kind: _percentile(
            found[kind][0], drawn[kind], quantiles, n, f"{method}, percentile interval over {m} fixed models"
        )
        if not impossible
        else Estimate(np.nan, np.nan, np.nan, np.nan, n, f"{method}: {impossible}")
        for kind in found
    }
    return RatingAgreement(**correlations, rating_rmse=root, rating_mae=absolute, table=table, unbounded=unbounded,
                           method=method)  # fmt: skip


def _mean_draws(
    scores: np.ndarray, wins: np.ndarray, clusters: ArrayLike | None, draws: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, str]:
    """Draws of the mean scores `(B, M)` and of the mean wins `(B, M)`, and what was weighted."""
    n, m = scores.shape
    codes, units = (None, n) if clusters is None else cluster_codes(clusters, n)
    unit = f"{n} prompts" if codes is None else f"{n} prompts in {units} clusters"
    if units > _MOST_UNITS:
        group = generator.permutation(units) % _MOST_UNITS
        codes, units = group if codes is None else group[codes], _MOST_UNITS
        unit += f", in {units} random groups"
    if units < 3:  # two weights whose variance is that of a sample would be 0 and 1
        nothing = np.full((draws, m), np.nan)
        return nothing, nothing, f"{unit} (too few for an interval)"
    if codes is None:
        sums, sizes = np.concatenate([scores, wins], axis=1), np.ones(n)
    else:
        columns = (part[:, column] for part in (scores, wins) for column in range(m))
        sums = np.stack([np.bincount(codes, column, minlength=units) for column in columns], axis=1)
        sizes = np.bincount(codes, minlength=units).astype(np.float64)
    means = np.empty((draws, 2 * m))
    for start in range(0, draws, _BATCH):
        weights = generator.standard_gamma(1 - 2 / units, (min(_BATCH, draws - start), units))
        means[start : start + _BATCH] = weights @ sums / (weights @ sizes)[:, None]
    return means[:, :m], means[:, m:], unit


def _correlations(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Spearman's, Pearson's and Kendall's correlations of the rows of `x` and `y` `(B, M)`."""
    ranks = [np.where(np.isnan(values), np.nan, rankdata(values, axis=1)) for values in (x, y)]
    first, second = np.array(list(combinations(range(x.shape[1]), 2))).T
    orders = [np.sign(values[:, first] - values[:, second]) for values in (x, y)]
    return {
        "spearman": _pearson(*ranks),
        "pearson": _pearson(x, y),
        "kendall": _cosine(*orders),  # tau-b
    }


def _pearson(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _cosine(x - x.mean(axis=1, keepdims=True), y - y.mean(axis=1, keepdims=True))


def _cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.clip((x * y).sum(axis=1) / np.sqrt((x**2).sum(axis=1) * (y**2).sum(axis=1)), -1.0, 1.0)


def _no_correlation(rewards: np.ndarray, ratings: np.ndarray) -> str:
    """Why models have no correlation of reward with rating; empty where they have."""
    if rewards.size < _FEWEST_MODELS:
        return f"a correlation needs {_FEWEST_MODELS} models"
    for name, values in (("mean rewards", rewards), ("ratings", ratings)):
        if np.ptp(values) <= 1e-12 * np.abs(values).max():
            return f"all {name} are equal"
    return ""


def _percentile(value: float, drawn: np.ndarray, quantiles: list[float], n: int, method: str) -> Estimate:
    low, high = np.quantile(drawn, quantiles)
    return Estimate(float(value), float(drawn.std(ddof=1)), float(low), float(high), n, method)


def _size(
    errors: np.ndarray, draws: np.ndarray, size: Callable, quantiles: list[float], unbounded: bool, n: int, method: str
) -> Estimate:
    low, high = size_interval(errors, draws, size, quantiles)
    return Estimate(
        value=float(size(errors)),
        se=np.nan if unbounded else float(size(draws).std(ddof=1)),
        ci_low=low,
        ci_high=np.inf if unbounded else high,
        n=n,
        method=f"{method}, interval by test inversion",
    )


def _root_mean_square(errors: np.ndarray) -> np.ndarray:
    return np.sqrt(np.mean(errors**2, axis=-1))


def _mean_absolute(errors: np.ndarray) -> np.ndarray:
    return np.mean(np.abs(errors), axis=-1)
