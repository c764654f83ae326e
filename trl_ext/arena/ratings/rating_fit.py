"""Ratings of models from battles: Bradley–Terry, with style control, and sequential Elo."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset
from numpy.typing import ArrayLike
from scipy import stats

from ...evaluation.statistics import Estimate
from .battles import check_battles, style_features
from .comparison_design import NumberedBattles, build_comparisons, number_battles
from .fitted_ratings import FittedRatings
from .paired_comparison import Comparisons
from .rating_resamples import resampled_elo, resampled_parameters
from .sequential_elo import run_elo
from .win_probability import ELO_SCALE


RATING_METHODS = ("bradley_terry", "style_controlled", "elo")
INTERVALS = ("auto", "sandwich", "bootstrap", None)


@dataclass(frozen=True)
class _Fit:
    """Estimates with their uncertainty, all of shape (P,): ratings of M models in points, then effects of style."""

    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    covariance: np.ndarray | None


def fit_ratings(
    battles: pd.DataFrame | Dataset | Iterable[Mapping[str, Any]],
    method: str = "bradley_terry",
    *,
    intervals: str | None = "auto",
    anchor: tuple[str, float] | None = None,
    initial: float = 1000.0,
    k: float = 4.0,
    ridge: float = 0.5,
    level: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
    clusters: str | ArrayLike | None = None,
) -> FittedRatings:
    r"""
    Ratings of models from battles, in Elo points. A tie counts half a win each.

    | method | what it is |
    |---|---|
    | `"bradley_terry"` | maximum likelihood of \( P(a \succ b) = \sigma(\theta_a - \theta_b) \); rating \( 400\,\theta / \ln 10 \) plus a constant |
    | `"style_controlled"` | the same with the differences in style as further regressors, so that the ratings are those at equal style; with a ridge |
    | `"elo"` | updated after every battle, in the order of the rows, by `k` times score less expectation |

    Only differences of ratings are identified. Their mean is `initial`, or `anchor` fixes one of them (whose interval then
    has no width, the others being relative to it). Under `"elo"`, all start at `initial`, which their mean keeps.

    References:
        - Bradley and Terry, Rank Analysis of Incomplete Block Designs, 1952.
        - Chatbot Arena: An Open Platform for Evaluating LLMs by Human Preference, https://arxiv.org/abs/2403.04132:
          sandwich intervals.
        - Does Style Matter? Disentangling Style and Substance in Chatbot Arena,
          https://lmsys.org/blog/2024-08-28-style-control/

    Args:
        battles (`pandas.DataFrame`, `datasets.Dataset` or an iterable of mappings):
            N battles, as [`check_battles`] takes them.
        method (`str`, *optional*, defaults to `"bradley_terry"`):
            See above.
        intervals (`str`, *optional*, defaults to `"auto"`):
            `"sandwich"`: from the robust covariance of the maximum likelihood. `"bootstrap"`: from resampled battles,
            percentiles (for `"elo"`: standard deviations, and in random order). `None`: none. `"auto"`: `"sandwich"`, and
            none for `"elo"`.
        anchor (`tuple[str, float]`, *optional*):
            A model and the rating it has.
        initial (`float`, *optional*, defaults to `1000.0`):
            Mean rating where there is no anchor.
        k (`float`, *optional*, defaults to `4.0`):
            Step of `"elo"`, in points.
        ridge (`float`, *optional*, defaults to `0.5`):
            Under `"style_controlled"`: half of it times the sum of squares of all parameters is added to the negative
            log-likelihood, ratings in units of 400 points, effects of style in log-odds per standard deviation.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        bootstrap (`int`, *optional*, defaults to `1000`):
            Number of resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the resamples.
        clusters (`str` or `array_like` of shape `(N,)`, *optional*):
            Labels, or the column with labels, of what makes battles alike, such as judges. Intervals then come from the
            variation between clusters (t quantiles), and the bootstrap draws whole clusters.

    Returns:
        [`FittedRatings`]: Models in order of rating, with intervals and covariance (squared points) unless
        `intervals=None`, number of battles per model as `votes`, and under style control the effects of style.

    Raises:
        ValueError: A battle is not valid; a model won or lost everything, or models never met, so that the ratings have no
            finite maximum likelihood; or an argument is out of range.

    Example:
        ```python
        >>> from trl_ext.arena import fit_ratings
        >>> battles = [{"model_a": "x", "model_b": "y", "winner": w} for w in ["model_a"] * 60 + ["tie"] * 20 + ["model_b"] * 20]
        >>> ratings = fit_ratings(battles, anchor=("y", 1000))
        >>> round(ratings.win_probability("x", "y"), 3)  # 60 wins and 20 half wins of 100
        0.7
        >>> ratings.table.set_index("model").loc["x", ["rating", "rating_low", "rating_high"]].astype(float).round(1).tolist()
        [1147.2, 1082.3, 1212.0]

        ```
    """
    _check_arguments(method, intervals, k=k, ridge=ridge, level=level, bootstrap=bootstrap, initial=initial)
    if intervals == "auto":
        intervals = None if method == "elo" else "sandwich"
    table = check_battles(battles)
    data = number_battles(table, clusters)
    anchor_row = None if anchor is None else _anchor_row(anchor, data.models)
    if method == "elo":
        if clusters is not None:
            raise ValueError('clusters need method="bradley_terry" or "style_controlled": "elo" depends on the order')
        names: tuple[str, ...] = ()
        fit = _fit_elo(data, anchor_row, k, intervals, bootstrap, seed, level)
        method_text = f"sequential Elo, k {k:g}"
    else:
        controlled = method == "style_controlled"
        names, features = style_features(table) if controlled else ((), np.empty((len(table), 0)))
        comparisons, pairs, codes = build_comparisons(data, features, ridge if controlled else 0.0)
        fit = _fit_likelihood(data, comparisons, pairs, codes, anchor_row, intervals, bootstrap, seed, level)
        method_text = f"Bradley–Terry with style control, ridge {ridge:g}" if controlled else "Bradley–Terry"
    if intervals is not None:
        units = "" if data.clusters is None else f"{data.clusters.max() + 1} clusters, "
        drawn = f", {bootstrap} resamples, seed {seed}" if intervals == "bootstrap" else ""
        method_text += f", {intervals} intervals ({units}{level:g} level{drawn})"
    fit = _moved(fit, len(data.models), initial if anchor is None else float(anchor[1]))
    return _as_ratings(fit, data, names, method_text, level)


def _check_arguments(method: str, intervals: str | None, **numbers: float) -> None:
    if method not in RATING_METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, RATING_METHODS))}, got {method!r}")
    if intervals not in INTERVALS:
        raise ValueError(f"intervals must be one of {', '.join(map(repr, INTERVALS))}, got {intervals!r}")
    if method == "elo" and intervals == "sandwich":
        raise ValueError('sequential Elo has no sandwich intervals: use intervals="bootstrap" or None')
    rules = {
        "k": (numbers["k"] > 0, "above 0"),
        "ridge": (numbers["ridge"] >= 0, "0 or more"),
        "level": (0 < numbers["level"] < 1, "strictly between 0 and 1"),
        "bootstrap": (numbers["bootstrap"] >= 2 and numbers["bootstrap"] % 1 == 0, "a whole number of 2 or more"),
        "initial": (True, "finite"),
    }
    for name, (holds, rule) in rules.items():
        if not holds or not math.isfinite(numbers[name]):
            raise ValueError(f"{name} must be {rule}, got {numbers[name]}")


def _anchor_row(anchor: tuple[str, float], models: list[str]) -> int:
    if not isinstance(anchor, tuple | list) or len(anchor) != 2:
        raise ValueError(f"anchor must be a model and its rating, such as ('{models[0]}', 1000), got {anchor!r}")
    model, rating = anchor
    if model not in models:
        raise ValueError(f"anchor {model!r} has no battles; the models are {', '.join(map(repr, models))}")
    if isinstance(rating, bool) or not isinstance(rating, Real) or not math.isfinite(rating):
        raise ValueError(f"the rating of anchor {model!r} must be a finite number, got {rating!r}")
    return models.index(model)


def _gauge(m: int, size: int, anchor_row: int | None) -> np.ndarray:
    """Matrix `(size, size)` from parameters to ratings in points, of mean 0 or with the anchor at 0, and style."""
    gauge = np.eye(size)
    gauge[:m, :m] -= 1 / m if anchor_row is None else np.eye(m)[anchor_row]
    gauge[:m] *= ELO_SCALE
    return gauge


def _fit_elo(
    data: NumberedBattles,
    anchor_row: int | None,
    k: float,
    intervals: str | None,
    bootstrap: int,
    seed: int,
    level: float,
) -> _Fit:
    m = len(data.models)
    gauge = _gauge(m, m, anchor_row) / ELO_SCALE
    values = gauge @ run_elo(*(v[:, None] for v in (data.first, data.second, data.scores)), m, k, 0.0)[0]
    if intervals is None:
        return _without_intervals(values)
    draws = resampled_elo(data.first, data.second, data.scores, m, k, bootstrap, seed) @ gauge.T
    # not percentiles: the ratings depend on the order of the battles, which a resample does not keep
    return _with_normal_intervals(values, np.cov(draws, rowvar=False), stats.norm.ppf((1 + level) / 2))


def _fit_likelihood(
    data: NumberedBattles,
    comparisons: Comparisons,
    pairs: tuple[np.ndarray, np.ndarray],
    codes: np.ndarray | None,
    anchor_row: int | None,
    intervals: str | None,
    bootstrap: int,
    seed: int,
    level: float,
) -> _Fit:
    parameters = comparisons.fit()
    gauge = _gauge(len(data.models), len(parameters), anchor_row)
    values = gauge @ parameters
    if intervals is None:
        return _without_intervals(values)
    tail = (1 + level) / 2
    if intervals == "sandwich":
        covariance = gauge @ comparisons.covariance(parameters, codes) @ gauge.T
        quantile = stats.norm.ppf(tail) if codes is None else stats.t.ppf(tail, codes.max())
        return _with_normal_intervals(values, covariance, quantile)
    draws = resampled_parameters(comparisons, parameters, codes, pairs, data.models, bootstrap, seed) @ gauge.T
    low, high = np.quantile(draws, [1 - tail, tail], axis=0)
    # ratings are biased outwards, so that a narrow range of percentiles may miss them: then it is widened to hold them
    return _Fit(values, np.minimum(low, values), np.maximum(high, values), np.cov(draws, rowvar=False))


def _without_intervals(values: np.ndarray) -> _Fit:
    unknown = np.full(values.shape, np.nan)
    return _Fit(values, unknown, unknown, None)


def _with_normal_intervals(values: np.ndarray, covariance: np.ndarray, quantile: float) -> _Fit:
    half = quantile * np.sqrt(np.clip(np.diag(covariance), 0.0, None))  # an anchor's variance is 0, up to rounding
    return _Fit(values, values - half, values + half, covariance)


def _moved(fit: _Fit, m: int, points: float) -> _Fit:
    """With `points` added to all ratings."""
    shift = np.zeros(len(fit.values))
    shift[:m] = points
    return _Fit(fit.values + shift, fit.low + shift, fit.high + shift, fit.covariance)


def _as_ratings(fit: _Fit, data: NumberedBattles, names: tuple[str, ...], method: str, level: float) -> FittedRatings:
    m, n = len(data.models), len(data.scores)
    order = np.argsort(-fit.values[:m], kind="stable")
    votes = np.bincount(data.first, minlength=m) + np.bincount(data.second, minlength=m)
    table = pd.DataFrame(
        {
            "model": np.array(data.models, dtype=object)[order],
            "rating": fit.values[order],
            "rating_low": fit.low[order],
            "rating_high": fit.high[order],
            "votes": votes[order],
            "style_control": bool(names),
            "source": f"{n} battles",
        }
    )
    errors = np.full(len(fit.values), np.nan)
    if fit.covariance is not None:
        errors = np.sqrt(np.clip(np.diag(fit.covariance), 0.0, None))
    style = {
        name: Estimate(
            float(fit.values[row]), float(errors[row]), float(fit.low[row]), float(fit.high[row]), n, method
        )
        for row, name in enumerate(names, start=m)
    }
    covariance = None if fit.covariance is None else fit.covariance[np.ix_(order, order)]
    return FittedRatings(table, covariance, level, {}, method, n, style)
