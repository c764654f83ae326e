"""Effect of an attribute row by row, whichever two texts it is read from, and the rows that an effect is about."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..evaluation.statistics import Estimate
from .reward_chains import RewardChains


ESTIMANDS = ("ATE", "ATT", "ATU")


def step_effects(chains: RewardChains, step: int) -> np.ndarray:
    r"""
    Effect read from a text and the one before it, \( \delta_{k,i} = \pm (r_{k,i} - r_{k-1,i}) \): whichever has the
    attribute minus the other.

    Args:
        chains ([`RewardChains`]): Rewards of K rewrites.
        step (`int`): k in 1..K; 1 is the single rewrite, 2 is RATE.

    Returns:
        `np.ndarray` of shape `(N,)`: In reward units.
    """
    direction = 1.0 if step % 2 == 0 else -1.0
    return direction * chains.sign * (chains.of(step) - chains.of(step - 1))


def rows_of(chains: RewardChains, estimand: str) -> np.ndarray:
    """Mask `(N,)` of the rows that ATE (all), ATT (those with the attribute) or ATU (those without) is about."""
    if estimand not in ESTIMANDS:
        raise ValueError(f"estimand must be one of {', '.join(map(repr, ESTIMANDS))}, got {estimand!r}")
    if estimand == "ATE":
        return np.ones(len(chains), dtype=bool)
    return chains.w if estimand == "ATT" else ~chains.w


def clusters_of(chains: RewardChains, rows: np.ndarray) -> np.ndarray | None:
    """Clusters of some rows, if there are any."""
    return None if chains.clusters is None else chains.clusters[rows]


def plain(value: Any) -> Any:
    """Plain types for JSON, with `None` for NaN and `"inf"` for infinity."""
    if isinstance(value, Estimate):
        return plain(value.to_dict())
    if isinstance(value, Mapping):
        return {"/".join(map(str, key)) if isinstance(key, tuple) else key: plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None if np.isnan(value) else ("inf" if value > 0 else "-inf")
    return value
