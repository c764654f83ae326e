"""How much each row moves an effect: from this come standard errors of ratios and of slopes."""

import numpy as np

from ..chains.reward_chains import RewardChains
from .estimands import effect_differences, effect_rows, group_residuals, is_identified, pooled_reward_std


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
    return float(value / std), (influence - value * log_std_influence(chains)) / std


def log_std_influence(chains: RewardChains) -> np.ndarray:
    """Influence `(N,)` of each row on the logarithm of the standard deviation of rewards, which is not 0."""
    residuals = group_residuals(chains.original, chains.w)
    return (residuals**2 / (residuals @ residuals) - 1 / len(chains)) / 2


def count_units(chains: RewardChains, name: str, clusters: np.ndarray | None) -> int:
    """
    Clusters (without clusters: rows) that tell how uncertain an effect is; 1 if that can't be told.

    A mean of a single row or cluster has no residuals, however uncertain it is: its influence of 0 says nothing.
    """
    labels = np.arange(len(chains)) if clusters is None else clusters
    if name != "naive_effect":
        return np.count_nonzero(np.bincount(labels[effect_rows(chains, name)]))
    groups = [np.count_nonzero(np.bincount(labels[mask])) for mask in (chains.w, ~chains.w)]
    return np.count_nonzero(np.bincount(labels)) if min(groups) > 1 else 1
