"""Effects in units of the standard deviation of rewards, so that reward models can be compared."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.statistics import Estimate, cluster_bootstraps
from .estimands import EFFECTS, REWRITE_EFFECTS, effect_differences, effect_rows, is_identified, pooled_reward_std
from .influence import count_units, effect_influence, estimate_from_influence
from .reward_chains import RewardChains


def normalised_effects(
    table: Any, *, bootstrap: int = 2000, seed: int = 0, level: float = 0.95, method: str = "bootstrap"
) -> dict[str, Estimate | None]:
    r"""
    Effects divided by the standard deviation of rewards within groups (`reward_std`).

    The divisor is estimated from the same rows, so the whole ratio is resampled: whole clusters where the table has them,
    else rows.

    References:
        - Davison and Hinkley, Bootstrap Methods and their Application, 1997, sections 3.8 and 5.3.

    Args:
        table ([`RewardChains`] or table):
            As in [`estimate_effects`].
        bootstrap (`int`, *optional*, defaults to `2000`):
            Number of resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the resamples.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`str`, *optional*, defaults to `"bootstrap"`):
            `"bootstrap"`: percentile interval. `"delta"`: from the linear approximation of the ratio, with t; quick.

    Returns:
        `dict[str, Estimate | None]`: By name of the effect; `None` where the effect is not identified, or all rewards of
        originals of a group are the same. Uncertainty is NaN where resamples lack the rows that an effect is about.

    Raises:
        ValueError: The table or an option is not as it must be.

    Example:
        ```python
        >>> from trl_ext.rate import normalised_effects, simulate_rewards
        >>> effect = normalised_effects(simulate_rewards(500, seed=0), bootstrap=500)["ATE_rewritten_rewrite"]
        >>> print(f"{effect.value:.2f} [{effect.ci_low:.2f}, {effect.ci_high:.2f}]")
        0.93 [0.85, 1.01]

        ```
    """
    chains = RewardChains.of_table(table)
    if method not in ("bootstrap", "delta"):
        raise ValueError(f"method must be 'bootstrap' or 'delta', got {method!r}")
    names = (*EFFECTS, *REWRITE_EFFECTS)
    codes = None if chains.clusters is None else pd.factorize(chains.clusters)[0]
    if method == "delta":
        return {name: _delta(chains, name, codes, level) for name in names}
    known = [name for name in names if is_identified(chains, name)] if pooled_reward_std(chains) else []
    found: dict[str, Estimate | None] = dict.fromkeys(names)
    if not known:
        return found
    sums, statistic = _sufficient(chains, known)
    if codes is not None:
        sums = np.stack([np.bincount(codes, weights=column) for column in sums.T], axis=1)
    estimates = cluster_bootstraps(
        lambda weights: statistic(weights @ sums), np.arange(len(sums)), resamples=bootstrap, seed=seed, level=level
    )
    for name, estimate in zip(known, estimates, strict=True):
        found[name] = replace(estimate, n=_rows(chains, name), method=f"effect / reward_std, {estimate.method}")
    return found


def _rows(chains: RewardChains, name: str) -> int:
    return len(chains) if name == "naive_effect" else int(effect_rows(chains, name).sum())


def _delta(chains: RewardChains, name: str, codes: np.ndarray | None, level: float) -> Estimate | None:
    value, influence = effect_influence(chains, name, normalised=True)
    if value is None or influence is None:
        return None
    what = "effect / reward_std, delta method, t interval"
    units = count_units(chains, name, codes)
    return estimate_from_influence(value, influence, codes, units, level, n=_rows(chains, name), what=what)


def _sufficient(chains: RewardChains, names: list[str]) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """
    What to add up by row `(N, S)`, and the function from sums of resamples `(B, S)` to effects / reward_std `(B, K)`.

    Resamples then need a product with as many columns as there are sums, not one with all rows for each effect.
    """
    # Relative to the mean: sums of squares of rewards around 1e6 would lose the digits of their variance
    original = chains.original - chains.original.mean()
    w = chains.w.astype(np.float64)
    columns = [w, 1 - w, w * original, (1 - w) * original, w * original**2, (1 - w) * original**2]
    sources: dict[str, tuple[int, int | None]] = {}
    for name in names:
        if name == "naive_effect":
            continue
        mask, differences = effect_differences(chains, name)
        column = np.zeros(len(chains))
        column[mask] = differences
        # The number of rows: of all, of those with the attribute, or of those without
        sources[name] = (len(columns), None if mask.all() else 0 if mask is chains.w else 1)
        columns.append(column)

    def statistic(sums: np.ndarray) -> np.ndarray:
        counts, totals, squares = sums[:, :2], sums[:, 2:4], sums[:, 4:6]
        with np.errstate(divide="ignore", invalid="ignore"):
            means = totals / counts
            within = np.where(counts > 0, squares - totals * means, 0.0).sum(axis=1)
            degrees = counts.sum(axis=1) - (counts > 0).sum(axis=1)
            # What is left of the sums of squares where all rewards of a resample are the same is rounding
            std = np.sqrt(np.where(within > 1e-12 * squares.sum(axis=1), within, 0.0) / degrees)
            values = []
            for name in names:
                if name == "naive_effect":
                    values.append((means[:, 0] - means[:, 1]) / std)
                    continue
                column, group = sources[name]
                rows = counts.sum(axis=1) if group is None else counts[:, group]
                values.append(sums[:, column] / rows / std)
        return np.stack(values, axis=1)

    return np.stack(columns, axis=1), statistic
