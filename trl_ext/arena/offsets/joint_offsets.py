"""Offsets of several models at once, so that every pair wins as often as the ratings say, as nearly as possible."""

import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..mismatch.intervals import relative_mismatch
from ..mismatch.paired_outcomes import paired_outcomes
from ..ratings.rated_models import check_rated, scored_name
from ..ratings.rating_table import RatingTable
from ..score_table import ScoreTable
from .joint_solvers import SHARPNESS, Rate, all_differences, annealed, hard_offsets, normal_offsets, rate_of
from .pair_offsets import resolve_temperature
from .rating_weights import rating_weights
from .unpaired_win_rates import REFERENCE_BLOCK_SIZE, check_block_size


logger = logging.getLogger(__name__)

JOINT_METHODS = ("soft", "hard", "reference", "normal")
WEIGHTS = ("rating", "uniform")
_STAIRCASE = 5.0  # mean gap between what is compared, in temperatures, from which win rates are no longer smooth


@dataclass(frozen=True)
class JointOffsets:
    """
    Offsets of several models. Only their differences are identified; `gauge` says how the constant was chosen.

    Args:
        offsets (`dict[str, float]`):
            Added to the scores of each model, in their unit.
        gauge (`str`):
            `"sum"`: they sum to zero; `"last"` or the name of a model: that one has none; `"original"`: as the original's.
        method (`str`):
            One of `JOINT_METHODS`.
        objective, objective_before (`float`):
            Weighted mean over the pairs of the squared distance between win rate, as the method counts it, and expected win
            rate, with the offsets and without. Of the method `"reference"`, the original's mean over all M² entries.
        n (`int`):
            Number of prompts.
        temperature (`float` or `None`):
            Temperature of the soft methods, in the unit of the scores.
        table (`pandas.DataFrame`):
            A row per pair: `model, reference, expected_win_rate, weight, fitted_before, fitted_after` (win rates as the
            method counts them), `win_rate_before, win_rate_after, mismatch_before, mismatch_after` (paired, ties as half a
            win).
    """

    offsets: dict[str, float]
    gauge: str
    method: str
    objective: float
    objective_before: float
    n: int
    temperature: float | None
    table: pd.DataFrame

    def difference(self, model: str, reference: str) -> float:
        """What is added to the scores of a model relative to another."""
        for name in (model, reference):
            if name not in self.offsets:
                raise ValueError(
                    f"there is no offset of model {name!r}; there are {', '.join(map(repr, self.offsets))}"
                )
        return self.offsets[model] - self.offsets[reference]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        fields = ("offsets", "gauge", "method", "objective", "objective_before", "n", "temperature")
        return {name: getattr(self, name) for name in fields} | {"pairs": self.table.to_dict("records")}


def solve_joint_offsets(
    scores: ScoreTable,
    ratings: RatingTable,
    *,
    method: str = "soft",
    temperature: float | str | None = None,
    weights: str = "rating",
    gauge: str = "sum",
    block_size: int = REFERENCE_BLOCK_SIZE,
) -> JointOffsets:
    r"""
    Offsets with which the win rates of all pairs of models come nearest to those expected from their ratings.

    Adding the same amount to all models changes nothing: only differences of offsets are identified. They are made to sum
    to zero, or as `gauge` says.

    - `"soft"`: weighted least squares on paired soft win rates \( \frac1N \sum_i \sigma((s_{ia}+o_a-s_{ib}-o_b)/T) \).
    - `"hard"`: the same on shares of prompts that are won, a step function. One offset is moved at a time to the best of
      all intervals between its thresholds, which is found exactly, until none can be improved, and in the end to the
      middle of that interval, so that no prompt ties but where rounding can't tell. With two models the result is that
      of [`solve_offset`]; with more it is as good as can be reached one model at a time, from the better of two starts.
    - `"reference"`: the original's objective over unpaired win rates, unweighted, see [`unpaired_objective`].
    - `"normal"`: the closed form of the original's first version, for comparison: models adjacent in `scores.models` are
      independent normals, \( \mu_a - \mu_b = \Phi^{-1}(P_{ab}) \sqrt{v_a + v_b} \).

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045

    Args:
        scores ([`ScoreTable`]):
            Rewards of two or more models.
        ratings ([`RatingTable`]):
            Ratings of these models, by any of their names.
        method (`str`, *optional*, defaults to `"soft"`):
            `"soft"`, `"hard"`, `"reference"` or `"normal"`.
        temperature (`float` or `"std"`, *optional*):
            T, in the unit of the scores; `"std"` is the standard deviation of the paired differences, each pair about its
            mean. By default a tenth of it for `"soft"`: the higher the temperature, the nearer soft win rates lie to one
            half, and the further offsets overshoot. 0.1 for `"reference"`, as published.
        weights (`str`, *optional*, defaults to `"rating"`):
            `"rating"`: a pair counts by the inverse of the variance of its expected win rate, from the uncertainty of the
            ratings, plus that of a share of N prompts. `"uniform"`: all alike, as `"reference"` always.
        gauge (`str`, *optional*, defaults to `"sum"`):
            `"sum"`: offsets sum to zero; `"last"`: the last model's is zero; the name of a model: that one's is zero.
            `"original"`, of `"normal"` only: the corrected mean of the last model is zero, which gives the numbers of the
            original.
        block_size (`int`, *optional*, defaults to `1000`):
            Rows of a block of `"reference"`.

    Returns:
        [`JointOffsets`]: Offsets by model, and win rates of every pair before and after.

    Raises:
        ValueError: A model has no rating, or an option is unknown.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ScoreTable, solve_joint_offsets
        >>> scores = ScoreTable.from_columns({"a": [3.0, 6.0, 4.0, 7.0], "b": [1.0, 2.0, 3.0, 4.0]})
        >>> ratings = RatingTable.from_ratings({"a": 1000, "b": 1000})
        >>> joint = solve_joint_offsets(scores, ratings, method="hard")
        >>> joint.offsets
        {'a': -1.25, 'b': 1.25}

        ```
    """
    check_rated(scores.models, ratings)
    if gauge not in ("sum", "last"):
        gauge = scored_name(gauge, scores.models, ratings) or gauge
    if method not in JOINT_METHODS:
        raise ValueError(f"`method` must be one of {', '.join(map(repr, JOINT_METHODS))}, got {method!r}")
    if weights not in WEIGHTS:
        raise ValueError(f"`weights` must be one of {', '.join(map(repr, WEIGHTS))}, got {weights!r}")
    if temperature is not None and method in ("hard", "normal"):
        raise ValueError(f'`temperature` is of the methods "soft" and "reference"; {method!r} has none')
    if gauge not in ("sum", "last", "original", *scores.models):
        raise ValueError(
            f"`gauge` must be 'sum', 'last', 'original' or one of the models {', '.join(map(repr, scores.models))}, got "
            f"{gauge!r}"
        )
    if gauge == "original" and gauge not in scores.models and method != "normal":
        raise ValueError(f"`gauge='original'` is of the method 'normal', got method={method!r}; use 'sum' or 'last'")
    check_block_size(block_size)
    table, expected = scores.scores, ratings.win_probabilities(scores.models)
    weight = np.ones_like(expected)
    if weights == "rating" and method != "reference":
        weight = rating_weights(scores, ratings)
    if method == "reference":
        temperature = resolve_temperature(temperature, all_differences(table))
    elif method == "soft":
        factor = SHARPNESS if temperature is None else 1.0
        temperature = factor * resolve_temperature(
            "std" if temperature is None else temperature, all_differences(table)
        )

    rate = rate_of(table, method, temperature, block_size)
    if method == "normal":
        offsets = normal_offsets(table, expected)
    elif method == "hard":
        offsets = hard_offsets(table, expected, weight)
    else:
        _warn_of_staircase(table, method, temperature, block_size)
        offsets = annealed(
            table, expected, weight, lambda stage: rate_of(table, method, stage, block_size), temperature
        )
    offsets = _in_gauge(offsets, gauge, scores.models)

    pairs = _pair_table(scores, offsets, expected, weight, rate)
    # the original's mean is over the M x M entries, each pair twice, and the diagonal, which is zero
    m = len(scores.models)
    share = (m - 1) / m if method == "reference" else 1.0

    def objective(column: str) -> float:
        squared = (pairs[column] - pairs["expected_win_rate"]) ** 2
        return float(share * np.average(squared, weights=pairs["weight"]))

    return JointOffsets(
        offsets=dict(zip(scores.models, map(float, offsets), strict=True)),
        gauge=gauge,
        method=method,
        objective=objective("fitted_after"),
        objective_before=objective("fitted_before"),
        n=len(scores),
        temperature=temperature,
        table=pairs,
    )


def _warn_of_staircase(table: np.ndarray, method: str, temperature: float, block_size: int) -> None:
    compared = len(table) * (min(len(table), block_size) if method == "reference" else 1)
    gap = float(np.ptp(all_differences(table))) / compared
    if gap > _STAIRCASE * temperature:
        logger.warning(
            "The temperature %g is far below the mean gap %.3g between the differences of scores that are compared, so that "
            "win rates are nearly steps: other offsets may fit as well or better. Use more prompts, a higher temperature or "
            'the method "hard".',
            *(temperature, gap),
        )


def _in_gauge(offsets: np.ndarray, gauge: str, models: tuple[str, ...]) -> np.ndarray:
    if gauge in models:
        return offsets - offsets[models.index(gauge)]
    if gauge == "original":  # as `_normal_offsets` has them
        return offsets
    return offsets - (offsets.mean() if gauge == "sum" else offsets[-1])


def _pair_table(
    scores: ScoreTable, offsets: np.ndarray, expected: np.ndarray, weight: np.ndarray, rate: Rate
) -> pd.DataFrame:
    rows = []
    for i, j in zip(*np.triu_indices(len(scores.models), k=1), strict=True):
        columns = scores.scores[:, i], scores.scores[:, j]
        before = paired_outcomes(*columns).win_rate("half")
        after = paired_outcomes(*columns, offsets[i] - offsets[j]).win_rate("half")
        rows.append(
            {
                "model": scores.models[i],
                "reference": scores.models[j],
                "expected_win_rate": expected[i, j],
                "weight": weight[i, j],
                "fitted_before": rate(i, j, 0.0)[0],
                "fitted_after": rate(i, j, offsets[i] - offsets[j])[0],
                "win_rate_before": before,
                "win_rate_after": after,
                "mismatch_before": relative_mismatch(before, expected[i, j]),
                "mismatch_after": relative_mismatch(after, expected[i, j]),
            }
        )
    return pd.DataFrame(rows)
