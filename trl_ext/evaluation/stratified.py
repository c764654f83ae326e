"""Weighted means of strata, such as the subsets of a benchmark, with a stratified cluster bootstrap."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from .statistics import Estimate


def stratified_estimate(
    values: ArrayLike,
    strata: ArrayLike,
    weights: Mapping[str, float],
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """
    Mean over strata of the mean of their rows, with weights, and the interval of a bootstrap that draws whole clusters
    within strata.

    Args:
        values (`array_like` of shape `(N,)`):
            Values in [0, 1].
        strata (`array_like` of shape `(N,)`):
            Stratum of every row.
        weights (`Mapping[str, float]`):
            Weight of every stratum; those without rows are left out.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row, within its stratum. By default every row is one.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]
    """
    values, strata = np.asarray(values, dtype=np.float64), np.asarray(strata).astype(str)
    clusters = np.arange(len(values)) if clusters is None else np.asarray(clusters)
    rng = np.random.default_rng([seed, 81])
    names = [name for name in weights if (strata == name).any()]
    share = np.array([weights[name] for name in names], dtype=np.float64)
    share /= share.sum()
    value, replicates = 0.0, np.zeros(resamples)
    for name, weight in zip(names, share, strict=True):
        rows = strata == name
        _, codes = np.unique(clusters[rows], return_inverse=True)
        sums, sizes = np.bincount(codes, values[rows]), np.bincount(codes)
        draws = rng.multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=resamples)
        value += weight * sums.sum() / sizes.sum()
        replicates += weight * (draws @ sums) / (draws @ sizes)
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    method = f"stratified cluster bootstrap, percentile interval ({resamples} resamples, seed {seed}, {level:g} level)"
    return Estimate(float(value), float(replicates.std(ddof=1)), float(low), float(high), len(values), method)
