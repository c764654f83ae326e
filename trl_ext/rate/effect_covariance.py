"""Effects that are measured on the same rows: what their errors have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from ..evaluation.statistics import Estimate
from .estimands import EFFECTS, effect_rows
from .influence import count_units, effect_influence
from .reward_chains import RewardChains


# Which rows an estimand is about, without saying by which rewrites it is estimated
ESTIMANDS = ("ATE", "ATT", "ATU")


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

    def estimate(self, level: float, what: str) -> Estimate:
        """t interval; NaN uncertainty for a single unit."""
        method = f"{what} ({self.degrees + 1} clusters or independent rows, {level:g} level)"
        if not self.degrees:
            return Estimate(self.value, np.nan, np.nan, np.nan, self.n, method)
        se = float(np.sqrt(self.influence @ self.influence))
        half = se * float(stats.t.ppf((1 + level) / 2, self.degrees))
        return Estimate(self.value, se, self.value - half, self.value + half, self.n, method)

    def minus(self, other: "Figure") -> "Figure":
        """The difference of two effects in the same rows."""
        return Figure(self.value - other.value, self.influence - other.influence, self.n, self.degrees)


def effect_figure(chains: RewardChains, name: str, codes: np.ndarray, *, normalised: bool = False) -> Figure | None:
    """
    An effect and its influence by unit.

    Args:
        chains ([`RewardChains`]): Rewards.
        name (`str`): One of `EFFECTS`.
        codes (`np.ndarray` of shape `(N,)`): Unit of every row, from 0.
        normalised (`bool`, *optional*, defaults to `False`): Divide by the standard deviation of rewards.

    Returns:
        [`Figure`] or `None`: `None` if the data do not identify it.
    """
    value, influence = effect_influence(chains, name, normalised=normalised)
    if value is None or influence is None:
        return None
    units = count_units(chains, name, codes)
    correction = np.sqrt(units / (units - 1)) if units > 1 else 0.0
    n = len(chains) if name == "naive_effect" else int(effect_rows(chains, name).sum())
    return Figure(value, np.bincount(codes, influence) * correction, n, units - 1)


def unit_codes(chains: RewardChains) -> np.ndarray:
    """Unit of every row: its cluster, or the row itself; numbered from 0 in order of first occurrence."""
    return np.arange(len(chains)) if chains.clusters is None else pd.factorize(chains.clusters)[0]


def check_effects(names: Sequence[str]) -> tuple[str, ...]:
    """Names of effects, or an error."""
    names = (names,) if isinstance(names, str) else tuple(names)
    bad = [name for name in names if name not in EFFECTS]
    if bad or not names or len(set(names)) < len(names):
        raise ValueError(f"effects must be of {', '.join(map(repr, EFFECTS))}, each once, got {list(names)}")
    return names


def estimand_rows(chains: RewardChains, estimand: str) -> np.ndarray:
    """Mask `(N,)` of the rows that ATE (all), ATT (those with the attribute) or ATU (those without) is about; not empty."""
    if estimand not in ESTIMANDS:
        raise ValueError(f"estimand must be one of {', '.join(map(repr, ESTIMANDS))}, got {estimand!r}")
    rows = effect_rows(chains, estimand)
    if not rows.any():
        raise ValueError(f"{estimand}: no row has w = {int(estimand == 'ATT')}")
    return rows
