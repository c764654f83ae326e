"""How much each row moves an effect: from this come standard errors of ratios and of slopes."""

import numpy as np
from scipy import stats

from ..evaluation.statistics import Estimate, _check_level
from .estimands import effect_differences, effect_rows, group_residuals, is_identified, pooled_reward_std
from .reward_chains import RewardChains


def effect_influence(
    chains: RewardChains, name: str, *, normalised: bool = False
) -> tuple[float, np.ndarray] | tuple[None, None]:
    r"""
    An effect and the influence of each row on it.

    To first order the error of the effect is the sum of the influences of independent rows (or clusters), so that its
    variance is the sum of squares. For the mean of \( \delta \) in n rows the influence is
    \( (\delta_i - \bar\delta)/n \). Of an effect divided by the standard deviation s of rewards it is
    \( \psi_i/s - \theta (e_i^2/\nu - s^2/N) / (2 s^3) \), with residuals e and degrees of freedom ν of s.

    Args:
        chains ([`RewardChains`]): Rewards.
        name (`str`): Name of an effect.
        normalised (`bool`, *optional*, defaults to `False`): Divide by the pooled standard deviation of rewards.

    Returns:
        `tuple[float, np.ndarray]`: Value and influences `(N,)`, which add to 0; `(None, None)` if it is not identified.
    """
    if not is_identified(chains, name):
        return None, None
    n = len(chains)
    influence = np.zeros(n)
    if name == "naive_effect":
        residuals = group_residuals(chains.original, chains.w)
        treated = int(chains.w.sum())
        shifted = chains.original - chains.original[0]
        value = shifted[chains.w].mean() - shifted[~chains.w].mean()
        influence[:] = np.where(chains.w, residuals / treated, -residuals / (n - treated))
    else:
        mask, differences = effect_differences(chains, name)
        value = differences.mean()
        influence[mask] = (differences - value) / len(differences)
    if not normalised:
        return float(value), influence
    std = pooled_reward_std(chains)
    if not std:
        return None, None
    residuals = group_residuals(chains.original, chains.w)
    of_variance = residuals**2 / (residuals @ residuals / std**2) - std**2 / n
    return float(value / std), influence / std - value / (2 * std**3) * of_variance


def count_units(chains: RewardChains, name: str, clusters: np.ndarray | None) -> int:
    """
    Clusters (without clusters: rows) that tell how uncertain an effect is; 1 if that can't be told.

    A mean of a single row or cluster has no residuals, however uncertain it is: its influence of 0 says nothing.
    """
    labels = np.arange(len(chains)) if clusters is None else clusters
    if name != "naive_effect":
        return len(np.unique(labels[effect_rows(chains, name)]))
    groups = [len(np.unique(labels[mask])) for mask in (chains.w, ~chains.w)]
    return len(np.unique(labels)) if min(groups) > 1 else 1


def estimate_from_influence(
    value: float, influence: np.ndarray, clusters: np.ndarray | None, units: int, level: float, *, n: int, what: str
) -> Estimate:
    """
    Interval of a value from the influences of rows.

    Args:
        value (`float`): The estimate.
        influence (`np.ndarray` of shape `(N,)`): Influence of each row, 0 for rows that have nothing to do with it.
        clusters (`np.ndarray` of shape `(N,)`, *optional*): Cluster of each row, as a number from 0.
        units (`int`): Number of clusters (or rows) that tell how uncertain it is, see [`count_units`].
        level (`float`): Confidence level.
        n (`int`): Number of rows, for the description.
        what (`str`): What the interval is, for the description.

    Returns:
        [`Estimate`]: t interval with `units − 1` degrees of freedom; NaN uncertainty if there are fewer than two.
    """
    _check_level(level)
    sums = influence if clusters is None else np.bincount(clusters, weights=influence)
    method = f"{what} ({'' if clusters is None else f'{units} clusters, '}{level:g} level)"
    if units < 2:
        return Estimate(value, np.nan, np.nan, np.nan, n, method)
    se = float(np.sqrt(units / (units - 1) * sums @ sums))
    half = se * float(stats.t.ppf((1 + level) / 2, units - 1))
    return Estimate(value, se, value - half, value + half, n, method)
