"""Standard errors of the original RATE program, to compare with its results. They are not right for RATE."""

import numpy as np

from ...evaluation.statistics import Estimate
from ..chains.reward_chains import RewardChains
from .estimands import effect_differences


Z = 1.96


def reference_estimate(chains: RewardChains, name: str) -> Estimate:
    """
    An effect with the original program's standard error and its interval of ± 1.96 standard errors.

    Rewritten rewrites are taken for two independent groups (the rewards of the texts with the attribute, and of those
    without), although they are of the same originals; single rewrites and rewrite effects are paired.

    Args:
        chains ([`RewardChains`]): Rewards.
        name (`str`): An effect that the rewards identify.

    Returns:
        [`Estimate`]: NaN uncertainty for a single row.
    """
    if name == "naive_effect":
        kind, high, low = "unpaired", chains.original[chains.w], chains.original[~chains.w]
        n = len(chains)
        value = np.mean(high - chains.original[0]) - np.mean(low - chains.original[0])
    else:
        mask, differences = effect_differences(chains, name)
        n, value = len(differences), differences.mean()
        if name.endswith("rewritten_rewrite"):
            w, rewrite, rewritten = (column[mask] for column in (chains.w, chains.of(1), chains.of(2)))
            kind, high, low = "unpaired", np.where(w, rewritten, rewrite), np.where(w, rewrite, rewritten)
        else:
            kind, high, low = "paired", differences, np.zeros(2)
    se = np.sqrt(_variance_of_mean(high) + _variance_of_mean(low))
    method = f"{kind} standard error of the original program, interval of 1.96 standard errors"
    return Estimate(float(value), float(se), float(value - Z * se), float(value + Z * se), n, method)


def _variance_of_mean(values: np.ndarray) -> float:
    return float(np.var(values - values[0], ddof=1)) / len(values) if len(values) > 1 else np.nan
