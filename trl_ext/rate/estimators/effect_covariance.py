"""Effects that are measured on the same rows: what their errors have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from ...evaluation.statistics import Estimate, check_level
from ..chains.reward_chains import RewardChains
from .estimands import EFFECTS, count_rows, effect_rows, pooled_reward_std
from .group_difference import cluster_degrees, welch_degrees
from .influence import count_units, effect_influence


# Which rows an estimand is about, without saying by which rewrites it is estimated
ESTIMANDS = ("ATE", "ATT", "ATU")
# of the largest reward: what is lost when rewards are shifted or scaled, added up and subtracted
_ROUNDING = 64 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Figure:
    """
    An effect, and where its error comes from.

    Args:
        value (`float`): The effect.
        influence (`np.ndarray` of shape `(G,)`): What every unit (cluster, or row) adds to the error: the sum of squares is
            the squared standard error, that of products of two figures their covariance.
        n (`int`): Rows of the effect.
        degrees (`float`): Degrees of freedom of t; with 0 there is no standard error.
        interval (`str`): The kind of interval, for the description.
        rounding (`float`): Differences below it are those of floating point numbers.
        groups (`np.ndarray` of shape `(2, G)`, bool, *optional*): Units of the two groups whose variances Welch's degrees
            of freedom weigh.
    """

    value: float
    influence: np.ndarray
    n: int
    degrees: float
    interval: str
    rounding: float
    groups: np.ndarray | None = None

    @property
    def se(self) -> float:
        """Standard error; NaN for a single unit."""
        return float(np.sqrt(self.influence @ self.influence)) if self.degrees else np.nan

    @property
    def is_zero(self) -> bool:
        """Whether it is 0, and would be so in any sample of these units."""
        return self.value == 0 and not self.influence.any()

    def estimate(self, level: float, what: str) -> Estimate:
        """t interval; NaN uncertainty for a single unit."""
        return t_estimate(self, self.se, level, what)

    def minus(self, other: "Figure") -> "Figure":
        """The difference of two effects in the same rows. Where it is but rounding, it is exactly 0."""
        value, influence = self.value - other.value, self.influence - other.influence
        rounding = self.rounding + other.rounding
        if max(abs(value), float(np.sqrt(influence @ influence))) <= rounding:
            value, influence = 0.0, np.zeros_like(influence)
        degrees = self.degrees if self.groups is None or not self.degrees else _welch(influence, self.groups)
        return replace(self, value=value, influence=influence, degrees=degrees, rounding=rounding)


def t_estimate(figure: Figure, se: float, level: float, what: str) -> Estimate:
    """Interval of a figure with this standard error and its degrees of freedom."""
    check_level(level)
    units = f"{figure.degrees + 1:g} clusters or independent rows"
    if not figure.interval.startswith("paired"):
        units = f"{figure.degrees:.4g} degrees of freedom"
    method = f"{what}, {figure.interval} ({units}, {level:g} level)"
    if not figure.degrees or not np.isfinite(se):
        return Estimate(figure.value, np.nan, np.nan, np.nan, figure.n, method)
    half = se * float(stats.t.ppf((1 + level) / 2, figure.degrees))
    return Estimate(figure.value, se, figure.value - half, figure.value + half, figure.n, method)


def effect_figure(chains: RewardChains, name: str, codes: np.ndarray, *, normalised: bool = False) -> Figure | None:
    """
    An effect and its influence by unit, with the standard error and degrees of freedom of [`estimate_effects`].

    Args:
        chains ([`RewardChains`]): Rewards.
        name (`str`): Name of an effect.
        codes (`np.ndarray` of shape `(N,)`): Unit of every row, from 0: its cluster, or where there are none one of its own.
        normalised (`bool`, *optional*, defaults to `False`): Divide by the standard deviation of rewards.

    Returns:
        [`Figure`] or `None`: `None` if the data do not identify it.
    """
    value, influence = effect_influence(chains, name, normalised=normalised)
    if value is None or influence is None:
        return None
    std = (pooled_reward_std(chains) or 1.0) if normalised else 1.0
    rounding = _ROUNDING * float(np.abs(chains.rewards).max()) / std * (1 + abs(value) * normalised)
    units, n = count_units(chains, name, codes), count_rows(chains, name)
    if units < 2:
        return Figure(value, np.bincount(codes, influence) * 0.0, n, 0, "paired CR1 t interval", rounding)
    correction = np.sqrt(units / (units - 1))
    if name != "naive_effect":
        influence = np.bincount(codes, influence) * correction
        return Figure(value, influence, n, units - 1, "paired CR1 t interval", rounding)
    if chains.clusters is not None:
        influence = np.bincount(codes, influence) * correction * np.sqrt((n - 1) / (n - 2))
        degrees = cluster_degrees(chains.w, codes)
        return Figure(value, influence, n, degrees, "CR1 t interval", rounding)
    counts = np.where(chains.w, chains.w.sum(), n - chains.w.sum())
    influence = np.bincount(codes, influence * np.sqrt(counts / (counts - 1)))
    groups = np.stack([np.bincount(codes, mask) > 0 for mask in (chains.w, ~chains.w)])
    return Figure(value, influence, n, _welch(influence, groups), "Welch t interval", rounding, groups)


def _welch(influence: np.ndarray, groups: np.ndarray) -> float:
    return welch_degrees([part @ part for part in (influence[own] for own in groups)], groups.sum(axis=1).tolist())


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
