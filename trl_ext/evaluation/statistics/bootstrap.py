"""Bootstrap of whole clusters, for statistics that have no formula."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from .estimate import Estimate
from .inputs import check_level, cluster_codes


def cluster_bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    clusters: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Estimate:
    """
    Percentile bootstrap that draws whole clusters with replacement.

    A resample is described by how often each row was drawn, so that many resamples are one matrix product instead of a
    loop over index arrays.

    References:
        - Davison and Hinkley, Bootstrap Methods and their Application, 1997, sections 3.8 and 5.3.

    Args:
        statistic (`Callable`):
            Function from weights of shape `(B, N)` (how often each row occurs in each of B resamples) to values of
            shape `(B,)`. The weighted mean of `x` is `lambda w: w @ x / w.sum(axis=1)`.
        clusters (`array_like` of shape `(N,)`):
            Label of the cluster of every row; `numpy.arange(N)` for independent rows.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]: `nan` uncertainty for a single cluster, or when the statistic is not finite in some resample (their
        number is in `method`).

    Example:
        ```python
        >>> x = np.array([1.0, 2.0, 3.0, 6.0])
        >>> estimate = cluster_bootstrap(lambda w: w @ x / w.sum(axis=1), clusters=["a", "a", "b", "b"])
        >>> estimate.value, estimate.ci_low, estimate.ci_high
        (3.0, 1.5, 4.5)
        ```
    """

    def column(weights: np.ndarray) -> np.ndarray:
        values = np.asarray(statistic(weights), dtype=np.float64)
        if values.shape != (len(weights),):
            raise ValueError(
                f"statistic must map weights (B, N) to values (B,); for B = {len(weights)} it returned shape {values.shape}"
            )
        return values[:, None]

    return cluster_bootstraps(column, clusters, resamples=resamples, seed=seed, level=level)[0]


def cluster_bootstraps(
    statistics: Callable[[np.ndarray], np.ndarray],
    clusters: ArrayLike,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Estimate]:
    """
    [`cluster_bootstrap`] of several statistics on the same resamples, which are drawn once.

    Args:
        statistics (`Callable`):
            Function from weights of shape `(B, N)` to values of shape `(B, K)`.
        clusters, resamples, seed, level:
            As in [`cluster_bootstrap`].

    Returns:
        `list[Estimate]`: K estimates.

    Example:
        ```python
        >>> x = np.array([1.0, 2.0, 3.0, 6.0])
        >>> means = cluster_bootstraps(lambda w: (w @ np.stack([x, 2 * x], axis=1)) / w.sum(axis=1)[:, None], np.arange(4))
        >>> [estimate.value for estimate in means]
        [3.0, 6.0]
        ```
    """
    check_level(level)
    values, found, units = bootstrap_replicates(statistics, clusters, resamples=resamples, seed=seed)
    n = len(clusters)
    method = f"cluster bootstrap, percentile interval ({units} clusters, {resamples} resamples, seed {seed}, {level:g} level)"
    if units < 2:
        return [Estimate(float(value), np.nan, np.nan, np.nan, n, method) for value in values]
    estimates = []
    for value, replicates in zip(values.tolist(), found.T, strict=True):
        bad = int(np.sum(~np.isfinite(replicates)))
        if bad:
            estimates.append(Estimate(value, np.nan, np.nan, np.nan, n, f"{method}, {bad} resamples not finite"))
            continue
        low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
        estimates.append(Estimate(value, float(replicates.std(ddof=1)), float(low), float(high), n, method))
    return estimates


def bootstrap_replicates(
    statistics: Callable[[np.ndarray], np.ndarray], clusters: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, int]:
    """
    Values of several statistics in resamples of whole clusters.

    Args:
        statistics (`Callable`):
            Function from weights of shape `(B, N)` to values of shape `(B, K)`.
        clusters, resamples, seed:
            As in [`cluster_bootstrap`].

    Returns:
        `tuple[np.ndarray, np.ndarray, int]`: The statistics `(K,)`, those of the resamples `(resamples, K)` (none of a single
        cluster), and the number of clusters.
    """
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, got {resamples}")
    n = len(clusters)
    if n == 0:
        raise ValueError("clusters is empty")
    codes, units = cluster_codes(clusters, n)
    values = np.asarray(statistics(np.ones((1, n))), dtype=np.float64)[0]
    if units < 2:
        return values, np.empty((0, len(values))), units
    rng = np.random.default_rng(seed)
    batch = max(1, 2_000_000 // n)  # 16 MB of weights at a time
    parts = []
    for start in range(0, resamples, batch):
        draws = rng.multinomial(units, np.full(units, 1 / units), size=min(batch, resamples - start))
        parts.append(statistics(draws[:, codes].astype(np.float64)))
    return values, np.concatenate(parts), units
