"""Offsets of several models by each of the methods, up to a constant."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit
from scipy.stats import norm

from ..mismatch.paired_outcomes import paired_outcomes
from .exact_offset import exact_offset
from .hard_joint_offsets import descend
from .unpaired_win_rates import unpaired_rate


SHARPNESS = 0.1  # default temperature, in standard deviations: smooth, and near enough to a count of wins
_COOLING = 4.0  # from one temperature to the next
_ROUGH = 1e-4  # tolerance at the temperatures before the last

# win rate of a pair at a difference of offsets, and its derivative
Rate = Callable[[int, int, float], tuple[float, float]]


def all_differences(table: np.ndarray) -> np.ndarray:
    first, second = np.triu_indices(table.shape[1], k=1)
    # about zero for every pair: how far models lie apart says nothing about the scale of a prompt's differences
    differences = table[:, first] - table[:, second]
    return (differences - differences.mean(axis=0)).ravel()


def rate_of(table: np.ndarray, method: str, temperature: float | None, block_size: int) -> Rate:
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


def annealed(
    table: np.ndarray,
    expected: np.ndarray,
    weight: np.ndarray,
    rate_at: Callable[[float], Rate],
    temperature: float,
) -> np.ndarray:
    """
    The better of two minima: from the start, and through minima at falling temperatures.

    At a temperature far below the gaps between the scores, win rates are staircases and their slope leads nowhere; at the
    temperature of their spread they are smooth.
    """
    start = _start(table, expected, weight)
    ends = [_least_squares(table, expected, weight, rate_at(temperature), start)]
    stage = float(np.std(table)) / _COOLING
    offsets = start
    while stage > temperature:
        offsets, _ = _least_squares(table, expected, weight, rate_at(stage), offsets, _ROUGH)
        stage /= _COOLING
    if offsets is not start:
        ends.append(_least_squares(table, expected, weight, rate_at(temperature), offsets))
    return min(ends, key=lambda end: end[1])[0]


def _least_squares(
    table: np.ndarray,
    expected: np.ndarray,
    weight: np.ndarray,
    rate: Rate,
    start: np.ndarray,
    tolerance: float = 1e-13,
) -> tuple[np.ndarray, float]:
    """Offsets `(M,)`, the last one 0, from `start`, and what the objective is in proportion to."""
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
        (start - start[-1])[:-1] / unit,
        jac=lambda unknown: evaluate(unknown)[1],
        xtol=tolerance,
        ftol=tolerance,
        gtol=tolerance,
    )
    return np.append(solution.x * unit, 0.0), float(solution.cost)


def hard_offsets(table: np.ndarray, expected: np.ndarray, weight: np.ndarray) -> np.ndarray:
    if table.shape[1] == 2:
        # a tie as a loss: an offset that leaves ties, for which a half may count well, decides nothing about their prompts
        return np.array([exact_offset(table[:, 0], table[:, 1], float(expected[0, 1]), "loss").offset, 0.0])
    starts = [_start(table, expected, weight)]
    temperature = SHARPNESS * float(np.std(all_differences(table)))
    if temperature > 0:
        starts.append(annealed(table, expected, weight, lambda stage: rate_of(table, "soft", stage, 1), temperature))
    ends = [descend(table, start, expected, weight) for start in starts]
    return min(ends, key=lambda end: end[1])[0]


def normal_offsets(table: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Offsets with which the mean of the last model is zero, as in the original."""
    variances = table.var(axis=0)
    adjacent = np.diag(expected, k=1)
    steps = norm.ppf(adjacent) * np.sqrt(variances[:-1] + variances[1:])
    means = np.append(np.cumsum(steps[::-1])[::-1], 0.0)
    return means - table.mean(axis=0)
