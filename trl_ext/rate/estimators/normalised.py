"""Effects in units of the standard deviation of rewards, so that reward models can be compared."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...evaluation.statistics import Estimate, bootstrap_replicates, check_level
from ..chains.reward_chains import RewardChains
from .effect_covariance import Figure, effect_figure, unit_codes
from .estimands import EFFECTS, REWRITE_EFFECTS, effect_differences, pooled_reward_std
from .influence import log_std_influence
from .ratio_interval import bootstrap_covariances, ratio_interval


def normalised_effects(
    table: Any, *, bootstrap: int = 2000, seed: int = 0, level: float = 0.95, method: str = "bootstrap"
) -> dict[str, Estimate | None]:
    r"""
    Effects divided by the standard deviation of rewards within groups (`reward_std`).

    The divisor is estimated from the same rows. How effect and divisor vary together is found by resampling whole clusters
    where the table has them, else rows; the interval ([`ratio_interval`]) has the standard error and degrees of freedom of
    the effect in [`estimate_effects`], and contains 0 if and only if the one there does. Percentiles of resamples are too
    narrow for few rows or clusters.

    References:
        - Davison and Hinkley, Bootstrap Methods and their Application, 1997, sections 2.4 and 3.8.

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
            `"bootstrap"`: covariance of effect and divisor from resamples. `"delta"`: from their linear approximations; quick.

    Returns:
        `dict[str, Estimate | None]`: By name of the effect; `None` where the effect is not identified, or all rewards of
        originals of a group are the same. Where some resamples lack the few rows of a group,
        its effects have the interval of the delta method, and say so.

    Raises:
        ValueError: The table or an option is not as it must be.

    Example:
        ```python
        >>> from trl_ext.rate import normalised_effects, simulate_rewards
        >>> effect = normalised_effects(simulate_rewards(500, seed=0), bootstrap=500)["ATE_rewritten_rewrite"]
        >>> print(f"{effect.value:.2f} [{effect.ci_low:.2f}, {effect.ci_high:.2f}]")
        0.93 [0.86, 1.01]

        ```
    """
    chains = RewardChains.of_table(table)
    if method not in ("bootstrap", "delta"):
        raise ValueError(f"method must be 'bootstrap' or 'delta', got {method!r}")
    check_level(level)
    names = (*EFFECTS, *REWRITE_EFFECTS)
    found: dict[str, Estimate | None] = dict.fromkeys(names)
    codes, std = unit_codes(chains), pooled_reward_std(chains)
    if not std:
        return found
    figures = {name: figure for name in names if (figure := effect_figure(chains, name, codes)) is not None}
    if method == "delta":
        what = f"effect / reward_std, delta method, t interval ({level:g} level)"
        covariances = dict(zip(figures, _delta_covariances(chains, list(figures.values()), codes), strict=True))
    else:
        replicates, units = _replicates(chains, list(figures), codes, bootstrap, seed)
        what = (
            f"effect / reward_std, cluster bootstrap, t interval ({units} clusters, {bootstrap} resamples, seed {seed}, "
            f"{level:g} level)"
        )
        covariances = dict(zip(figures, bootstrap_covariances(replicates, units), strict=True))
        bad = dict(zip(figures, np.sum(~np.isfinite(replicates[:, :-1] / replicates[:, -1:]), axis=0), strict=True))
        delta = dict(zip(figures, _delta_covariances(chains, list(figures.values()), codes), strict=True))
    for name, figure in figures.items():
        said = what
        if method == "bootstrap" and bad[name]:
            # resamples without the few rows of a group
            covariances[name] = delta[name]
            said = f"effect / reward_std, delta method as {bad[name]} of {bootstrap} resamples lack rows, t interval ({level:g} level)"
        found[name] = ratio_interval(figure, std, covariances[name], level, said)
    return found


def _delta_covariances(chains: RewardChains, figures: Sequence[Figure], codes: np.ndarray) -> list[np.ndarray]:
    """Covariance (2, 2) of each effect and the logarithm of the standard deviation of rewards, of influences."""
    of_log = np.bincount(codes, log_std_influence(chains))
    units = len(of_log)
    of_log *= np.sqrt(units / max(units - 1, 1))
    both = ((figure.influence, of_log) for figure in figures)
    return [np.array([[a @ a, a @ b], [a @ b, b @ b]]) for a, b in both]


def _replicates(
    chains: RewardChains, names: Sequence[str], codes: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, int]:
    """Effects in resamples, and in the last column the standard deviations of rewards; and the number of clusters."""
    sums, statistic = sufficient_sums(chains, names)
    if chains.clusters is not None:
        sums = np.stack([np.bincount(codes, weights=column) for column in sums.T], axis=1)
    _, found, units = bootstrap_replicates(
        lambda weights: statistic(weights @ sums), np.arange(len(sums)), resamples=resamples, seed=seed
    )
    return found, units


def sufficient_sums(
    chains: RewardChains, names: Sequence[str]
) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """
    What to add up by row `(N, S)`, and the function from sums of resamples `(B, S)` to effects, and in the last column the
    standard deviation of rewards, `(B, K + 1)`.

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
            std = np.sqrt(np.where(within > 1e-12 * squares.sum(axis=1), within, np.nan) / degrees)
            values = []
            for name in names:
                if name == "naive_effect":
                    values.append(means[:, 0] - means[:, 1])
                    continue
                column, group = sources[name]
                rows = counts.sum(axis=1) if group is None else counts[:, group]
                values.append(sums[:, column] / rows)
        return np.stack([*values, std], axis=1)

    return np.stack(columns, axis=1), statistic
