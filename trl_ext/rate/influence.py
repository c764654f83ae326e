"""Effects with what every row adds to their error: for covariances of effects that are measured on the same rows."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from .reward_chains import RewardChains
from .row_effects import ESTIMANDS, rows_of, step_effects


STEPS = {"single_rewrite": 1, "rewritten_rewrite": 2}
FIGURES = tuple(f"{estimand}_{step}" for step in STEPS for estimand in ESTIMANDS)


@dataclass(frozen=True)
class Figure:
    """
    An effect, and where its error comes from.

    Args:
        value (`float`): The effect.
        influence (`np.ndarray` of shape `(G,)`): What every unit (cluster, or row) adds to the error: the sum of squares is
            the squared standard error, that of products of two figures their covariance.
        n (`int`): Rows of the effect.
        degrees (`int`): Units of the effect minus 1; with 0 there is no standard error.
    """

    value: float
    influence: np.ndarray
    n: int
    degrees: int

    @property
    def se(self) -> float:
        """Standard error, NaN for a single unit."""
        return float(np.sqrt(self.influence @ self.influence)) if self.degrees else np.nan


def check_figures(names: tuple[str, ...]) -> None:
    """Raise unless these are names of effects that are means of differences by row."""
    bad = [name for name in names if name not in FIGURES]
    if bad or not names or len(set(names)) < len(names):
        raise ValueError(f"estimands must be of {', '.join(map(repr, FIGURES))}, each once, got {list(names)}")


def figure_rows(chains: RewardChains, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Effects by row `(N,)`, and the mask of the rows that an effect of this name is the mean of."""
    return step_effects(chains, STEPS[name[4:]]), rows_of(chains, name[:3])


def paired_figure(chains: RewardChains, name: str, codes: np.ndarray, *, normalised: bool = False) -> Figure | None:
    r"""
    An effect and its influence by unit.

    Divided by the pooled standard deviation s of the originals' rewards, the influence is that of both:
    \( \mathrm{d}(\theta/s) = \mathrm{d}\theta/s - \theta\,\mathrm{d}s^2/(2s^3) \).

    Args:
        chains ([`RewardChains`]): Rewards.
        name (`str`): One of `FIGURES`.
        codes (`np.ndarray` of shape `(N,)`): Unit of every row, from 0.
        normalised (`bool`, *optional*, defaults to `False`): Divide by the standard deviation.

    Returns:
        [`Figure`] or `None`: `None` if there are no such rows, or nothing to divide by.
    """
    effects, mask = figure_rows(chains, name)
    if not mask.any():
        return None
    units, there = codes.max() + 1, len(np.unique(codes[mask]))
    n, value = int(mask.sum()), float(effects[mask].mean())
    correction = np.sqrt(there / (there - 1)) if there > 1 else 0.0
    influence = np.bincount(codes, np.where(mask, effects - value, 0.0), units) / n * correction
    if not normalised:
        return Figure(value, influence, n, there - 1)
    variance, squares = pooled_variance(chains)
    if not variance > 0:
        return None
    of_variance = np.bincount(codes, squares - squares.mean(), units) / len(chains)
    of_variance *= np.sqrt(units / (units - 1)) if units > 1 else 0.0
    return Figure(
        value / np.sqrt(variance),
        influence / np.sqrt(variance) - value * of_variance / (2 * variance**1.5),
        n,
        there - 1,
    )


def pooled_variance(chains: RewardChains) -> tuple[float, np.ndarray]:
    """Variance of the originals' rewards within groups, pooled (NaN with too few rows), and the squared deviations."""
    squares, groups = np.zeros(len(chains)), 0
    for group in (chains.w, ~chains.w):
        if group.any():
            # relative to one of them: equal rewards have a deviation of exactly 0
            inside = chains.original[group] - chains.original[group][0]
            squares[group] = (inside - inside.mean()) ** 2
            groups += 1
    degrees = len(chains) - groups
    return (float(squares.sum() / degrees) if degrees > 0 else np.nan), squares


def unit_codes(chains: RewardChains) -> np.ndarray:
    """Unit of every row: its cluster, or the row itself."""
    return np.arange(len(chains)) if chains.clusters is None else pd.factorize(chains.clusters)[0]
