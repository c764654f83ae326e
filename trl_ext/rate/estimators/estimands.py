"""What each effect of an attribute is the mean of, and in which rows."""

from typing import Any

import numpy as np

from ..chains.reward_chains import RewardChains


EFFECTS = (
    "naive_effect",
    "ATE_single_rewrite",
    "ATT_single_rewrite",
    "ATU_single_rewrite",
    "ATE_rewritten_rewrite",
    "ATT_rewritten_rewrite",
    "ATU_rewritten_rewrite",
)
REWRITE_EFFECTS = ("rewrite_effect_w_1", "rewrite_effect_w_0")


def is_identified(chains: RewardChains, name: str) -> bool:
    """Whether there are the rewrites and the rows that an effect needs. Names that there are not are an error."""
    if name not in EFFECTS + REWRITE_EFFECTS:
        raise ValueError(f"an effect must be one of {', '.join(map(repr, EFFECTS + REWRITE_EFFECTS))}, got {name!r}")
    if chains.steps < (0 if name == "naive_effect" else 1 if name.endswith("single_rewrite") else 2):
        return False
    if name == "naive_effect":
        return bool(chains.w.any() and not chains.w.all())
    return bool(effect_rows(chains, name).any())


def effect_rows(chains: RewardChains, name: str) -> np.ndarray:
    """Rows that an effect is about, shape `(N,)`, bool."""
    if name.startswith("ATT") or name == "rewrite_effect_w_1":
        return chains.w
    if name.startswith("ATU") or name == "rewrite_effect_w_0":
        return ~chains.w
    return np.ones(len(chains), dtype=bool)


def count_rows(chains: RewardChains, name: str) -> int:
    """Number of rows that an effect is from."""
    return len(chains) if name == "naive_effect" else int(effect_rows(chains, name).sum())


def effect_differences(chains: RewardChains, name: str) -> tuple[np.ndarray, np.ndarray]:
    """
    What an effect is the mean of: the mask of its rows `(N,)`, and the differences of rewards of those rows.

    Args:
        chains ([`RewardChains`]): Rewards.
        name (`str`): Any effect but the naive one, which is no mean of differences.
    """
    mask = effect_rows(chains, name)
    if name in REWRITE_EFFECTS:
        differences = chains.of(2) - chains.original
    elif name.endswith("single_rewrite"):
        differences = chains.sign * (chains.original - chains.of(1))
    else:
        differences = paired_effects(chains)
    return mask, differences if mask.all() else differences[mask]


def paired_effects(table: Any) -> np.ndarray:
    r"""
    Effect of the attribute row by row, \( \delta_i \): rewritten rewrite against rewrite, whichever has the attribute
    minus the other. Their mean is `ATE_rewritten_rewrite`.

    Args:
        table ([`RewardChains`] or table):
            Columns of [`RewardChains.of_table`], with two rewrites.

    Returns:
        `np.ndarray` of shape `(N,)`: In reward units.

    Raises:
        ValueError: There are fewer than two rewrites.

    Example:
        ```python
        >>> from trl_ext.rate import paired_effects
        >>> paired_effects({"w": [1, 0], "original": [3, 1], "rewrite": [1, 2], "rewritten_rewrite": [4, 0]})
        array([3., 2.])

        ```
    """
    chains = RewardChains.of_table(table)
    return chains.sign * (chains.of(2) - chains.of(1))


def pooled_reward_std(chains: RewardChains, *, reference: bool = False) -> float | None:
    """
    Standard deviation of rewards of originals within groups, pooled; `None` if no group has two rows.

    The original program always divides by N − 2, also where all rows are of one group, and has no value where a group has
    a single row: `reference` does the same.
    """
    counts = [int(chains.w.sum()), len(chains) - int(chains.w.sum())]
    groups = 2 if reference else sum(count > 0 for count in counts)
    degrees = len(chains) - groups
    if degrees < 1 or (reference and 1 in counts):
        return None
    residuals = group_residuals(chains.original, chains.w)
    return float(np.sqrt(residuals @ residuals / degrees))


def group_residuals(values: np.ndarray, w: np.ndarray) -> np.ndarray:
    """Values minus the mean of their group, shape `(N,)`. Exactly 0 where all values of a group are the same."""
    residuals = values.astype(np.float64)
    for mask in (w, ~w):
        if mask.any():
            group = residuals[mask]
            group -= group[0]
            residuals[mask] = group - group.mean()
    return residuals
