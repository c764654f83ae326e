"""Offsets of several models at once, so that every pair wins as often as the ratings say, as nearly as possible."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import norm

from .hard_joint_offsets import descend
from .mismatch_interval import relative_mismatch
from .offsets import resolve_temperature
from .paired_outcomes import paired_outcomes
from .rated_models import check_rated, scored_name
from .rating_table import RatingTable
from .rating_weights import rating_weights
from .score_table import ScoreTable
from .unpaired_win_rates import REFERENCE_BLOCK_SIZE, check_block_size, unpaired_rate


JOINT_METHODS = ("soft", "hard", "reference", "normal")
WEIGHTS = ("rating", "uniform")
_SHARPNESS = 0.1  # default temperature, in standard deviations: smooth, and near enough to a count of wins

# win rate of a pair at a difference of offsets, and its derivative
Rate = Callable[[int, int, float], tuple[float, float]]


@dataclass(frozen=True)
class JointOffsets:
    """
    Offsets of several models. Only their differences are identified; `gauge` says how the constant was chosen.

    Args:
        offsets (`dict[str, float]`):
            Added to the scores of each model, in their unit.
        gauge (`str`):
            `"sum"`: they sum to zero; `"last"` or the name of a model: that one has none.
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
      all intervals between its thresholds, which is found exactly, until none can be improved. With two models the
      result is that of [`solve_offset`]; with more it is as good as can be reached one model at a time, from the better
      of two starts.
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
        block_size (`int`, *optional*, defaults to `1000`):
            Rows of a block of `"reference"`.

    Returns:
        [`JointOffsets`]: Offsets by model, and win rates of every pair before and after.

    Raises:
        ValueError: A model has no rating, or an option is unknown.

    Example:
        ```python
        >>> from trl_ext.arena import RatingTable, ScoreTable, solve_joint_offsets
        >>> scores = ScoreTable.from_columns({"a": [3.0, 5.0, 4.0, 6.0], "b": [1.0, 2.0, 3.0, 4.0]})
        >>> ratings = RatingTable.from_ratings({"a": 1000, "b": 1000})
        >>> joint = solve_joint_offsets(scores, ratings, method="hard")
        >>> joint.offsets
        {'a': -1.0, 'b': 1.0}

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
    if gauge not in ("sum", "last", *scores.models):
        raise ValueError(
            f"`gauge` must be 'sum', 'last' or one of the models {', '.join(map(repr, scores.models))}, got {gauge!r}"
        )
    check_block_size(block_size)
    table, expected = scores.scores, ratings.win_probabilities(scores.models)
    weight = np.ones_like(expected)
    if weights == "rating" and method != "reference":
        weight = rating_weights(scores, ratings)
    if method == "reference":
        temperature = resolve_temperature(temperature, _all_differences(table))
    elif method == "soft":
        factor = _SHARPNESS if temperature is None else 1.0
        temperature = factor * resolve_temperature(
            "std" if temperature is None else temperature, _all_differences(table)
        )

    rate = _rate(table, method, temperature, block_size)
    if method == "normal":
        offsets = _normal_offsets(table, expected)
    elif method == "hard":
        offsets = _hard_offsets(table, expected, weight)
    else:
        offsets = _least_squares(table, expected, weight, rate)
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


def _all_differences(table: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(table.shape[1], k=1)
    # about zero for every pair: how far models lie apart says nothing about the scale of a prompt's differences
    differences = table[:, first] - table[:, second]
    return (differences - differences.mean(axis=0)).ravel()


def _rate(table: np.ndarray, method: str, temperature: float | None, block_size: int) -> Rate:
    def soft(i: int, j: int, difference: float) -> tuple[float, float]:
        probability = expit((table[:, i] - table[:, j] + difference) / temperature)
        return float(probability.mean()), float(np.mean(probability * (1 - probability)) / temperature)

    def unpaired(i: int, j: int, difference: float) -> tuple[float, float]:
        return unpaired_rate(table[:, i], table[:, j], difference, temperature, block_size)

    def hard(i: int, j: int, difference: float) -> tuple[float, float]:
        return paired_outcomes(table[:, i], table[:, j], difference).win_rate("half"), np.nan

    return {"soft": soft, "reference": unpaired}.get(method, hard)


def _start(table: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Offsets `(M,)`, the last one 0, whose differences are nearest to the offsets that are right pair by pair."""
    first, second = np.triu_indices(table.shape[1], k=1)
    wanted = [-np.quantile(table[:, i] - table[:, j], 1 - expected[i, j]) for i, j in zip(first, second, strict=True)]
    rows, root = np.arange(len(first)), np.sqrt(weight[first, second])
    design = np.zeros((len(first), table.shape[1]))
    design[rows, first], design[rows, second] = root, -root
    return np.append(np.linalg.lstsq(design[:, :-1], root * np.array(wanted), rcond=None)[0], 0.0)


def _least_squares(table: np.ndarray, expected: np.ndarray, weight: np.ndarray, rate: Rate) -> np.ndarray:
    first, second = np.triu_indices(table.shape[1], k=1)
    root = np.sqrt(weight[first, second] / weight[first, second].mean())
    unit = float(np.std(table)) or 1.0  # of the unknowns, so that tolerances don't depend on the scale of the scores
    rows = np.arange(len(first))
    # values and derivatives come together, and the solver asks for the derivatives where it has asked for the values
    last: dict[str, Any] = {"at": None}

    def evaluate(unknown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if last["at"] is None or not np.array_equal(last["at"], unknown):
            offsets = np.append(unknown * unit, 0.0)
            values, slopes = np.array(
                [rate(i, j, offsets[i] - offsets[j]) for i, j in zip(first, second, strict=True)]
            ).T
            jacobian = np.zeros((len(first), table.shape[1]))
            jacobian[rows, first], jacobian[rows, second] = root * slopes * unit, -root * slopes * unit
            last.update(at=unknown.copy(), value=root * (values - expected[first, second]), jacobian=jacobian[:, :-1])
        return last["value"], last["jacobian"]

    solution = least_squares(
        lambda unknown: evaluate(unknown)[0],
        _start(table, expected, weight)[:-1] / unit,
        jac=lambda unknown: evaluate(unknown)[1],
        xtol=1e-13,
        ftol=1e-13,
        gtol=1e-13,
    )
    return np.append(solution.x * unit, 0.0)


def _hard_offsets(table: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    starts = [_start(table, expected, weight)]
    temperature = _SHARPNESS * float(np.std(_all_differences(table)))
    if temperature > 0:
        starts.append(_least_squares(table, expected, weight, _rate(table, "soft", temperature, 1)))
    ends = [descend(table, start, expected, weight) for start in starts]
    return min(ends, key=lambda end: end[1])[0]


def _normal_offsets(table: np.ndarray, expected: np.ndarray) -> np.ndarray:
    variances = table.var(axis=0)
    adjacent = np.diag(expected, k=1)
    steps = norm.ppf(adjacent) * np.sqrt(variances[:-1] + variances[1:])
    means = np.append(np.cumsum(steps[::-1])[::-1], 0.0)
    return means - table.mean(axis=0)


def _in_gauge(offsets: np.ndarray, gauge: str, models: tuple[str, ...]) -> np.ndarray:
    if gauge in models:
        return offsets - offsets[models.index(gauge)]
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
