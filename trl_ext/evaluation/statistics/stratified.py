"""Weighted means of strata, such as the subsets of a benchmark, with a stratified cluster bootstrap."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .estimate import Estimate
from .inputs import as_finite, check_level, cluster_codes


METHODS = ("smoothed", "percentile")


def stratified_estimate(
    values: ArrayLike,
    strata: ArrayLike,
    weights: Mapping[str, float],
    *,
    clusters: ArrayLike | None = None,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    method: str = "smoothed",
    bounds: tuple[float, float] = (0.0, 1.0),
) -> Estimate:
    r"""
    Mean over strata of the mean of their rows, with weights, and the interval of a bootstrap that draws whole clusters
    within strata.

    The plain percentile bootstrap is too narrow: resamples of \( n_h \) clusters vary by \( (n_h - 1)/n_h \) too little,
    proportions near 1 are skewed, and a stratum that is all right doesn't vary at all. The `"smoothed"` one

    - draws from the rows and from \( \kappa = (z^2 + 2)/3 \) imaginary rows, 1.95 at the 95 % level, which all strata share
      in proportion to what each adds to the variance, \( w_h^2 v_h / n_h \). The percentile interval of a skewed mean lacks
      a shift by \( (z^2 + 2)/6 \cdot \kappa_3/\sigma^2 \) (its Cornish–Fisher expansion against that of the studentised
      mean); for proportions, imaginary rows that are half right and half wrong shift it by just that, whatever the number
      of strata. In general they lie on both sides of the mean at the distance \( \sqrt{\sum r^4 / \sum r^2} \) of the
      residuals, or at the bounds: rare values far from the mean, whose number is uncertain, get one more on either side;
    - scales the deviations so that the variance is unbiased, and for the interval by t/z with the degrees of freedom of
      Satterthwaite: the variance of clusters is estimated from few numbers where there are few of them. Independent rows
      that are right or wrong need none, as their mean says what it is.

    Coverage of 95 % intervals is 93 to 97 % on simulated benchmarks, and above that where strata have a handful of rows
    (`benchmarks/interval_coverage.py`, docs/comparing_models.md).

    References:
        - Rao and Wu, Resampling Inference with Complex Survey Data, 1988 (scaling).
        - Price and Bonett, An Improved Confidence Interval for a Linear Function of Binomial Proportions, 2004 (imaginary
          rows that strata share).
        - Hall, The Bootstrap and Edgeworth Expansion, 1992, section 3.
        - Satterthwaite, An Approximate Distribution of Estimates of Variance Components, 1946.

    Args:
        values (`array_like` of shape `(N,)`):
            Values within `bounds`.
        strata (`array_like` of shape `(N,)`):
            Stratum of every row.
        weights (`Mapping[str, float]`):
            Weight of every stratum, at least 0; they are divided by the sum of those that have rows. Rows of a stratum
            of weight 0 have no influence; every stratum of the rows must be named.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row, within its stratum. By default every row is one.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`str`, *optional*, defaults to `"smoothed"`):
            `"smoothed"`, or `"percentile"`: the plain bootstrap.
        bounds (`tuple[float, float]`, *optional*, defaults to `(0.0, 1.0)`):
            Lowest and highest value that a row can have; (-1, 1) for differences of two models. The interval stays
            within.

    Returns:
        [`Estimate`]: The interval contains the value. `n` counts the rows of strata with a weight above 0; `nan`
        uncertainty if one of those has a single cluster.

    Raises:
        ValueError: a value is not finite or outside the bounds, a stratum has no weight, or no stratum has rows.

    Example:
        ```python
        >>> strata = ["easy"] * 40 + ["hard"] * 20
        >>> estimate = stratified_estimate([1.0] * 40 + [1.0, 0.0] * 10, strata, {"easy": 1, "hard": 3})
        >>> estimate.value, bool(0.4 < estimate.ci_low < 0.5), bool(0.75 < estimate.ci_high < 0.85)
        (0.625, True, True)
        ```
    """
    check_level(level)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, got {resamples}")
    low, high = map(float, bounds)
    if not low < high:
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds}")
    values = as_finite(values, "values")
    outside = np.flatnonzero((values < low) | (values > high))
    if outside.size:
        row = outside[0]
        raise ValueError(
            f"values has {outside.size} outside [{low:g}, {high:g}]; first: row {row}, value {values[row]}"
        )
    parts, shares, n = _parts((values - low) / (high - low), strata, weights, clusters)
    describe = (
        f"stratified cluster bootstrap, {method}{' percentile' if method == 'smoothed' else ''} interval ({len(parts)} "
        f"strata, {sum(len(sizes) for _, sizes in parts)} clusters, {resamples} resamples, seed {seed}, {level:g} level)"
    )
    centre = float(sum(share * sums.sum() / sizes.sum() for share, (sums, sizes) in zip(shares, parts, strict=True)))
    value = low + (high - low) * centre
    if min(len(sizes) for _, sizes in parts) < 2:
        return Estimate(value, np.nan, np.nan, np.nan, n, f"{describe}: a stratum has a single cluster")
    adds = _variances(parts, shares)
    z = stats.norm.ppf((1 + level) / 2)
    imaginary = (z**2 + 2) / 3 * adds / adds.sum() if method == "smoothed" else np.zeros(len(parts))
    rng = np.random.default_rng([seed, 81])
    replicates, middle = np.zeros(resamples), 0.0
    for share, (sums, sizes), extra in zip(shares, parts, imaginary, strict=True):
        scale = np.sqrt(len(sums) / (len(sums) + extra - 1)) if method == "smoothed" else 1.0
        means, mean = _resampled_means(rng, sums, sizes, extra, scale, resamples)
        replicates += share * means
        middle += share * mean
    tails = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    if method == "smoothed":
        widen = stats.t.ppf((1 + level) / 2, _degrees_of_freedom(parts, adds)) / z
        tails = middle + widen * (tails - middle)
        tails = min(max(tails[0], 0.0), centre), max(min(tails[1], 1.0), centre)
    ci_low, ci_high = (float(low + (high - low) * tail) for tail in tails)
    se = (high - low) * float(replicates.std(ddof=1))
    # the value itself where an end was moved to it: no rounding between them
    return Estimate(value, se, min(ci_low, value), max(ci_high, value), n, describe)


def _parts(
    values: np.ndarray, strata: ArrayLike, weights: Mapping[str, float], clusters: ArrayLike | None
) -> tuple[list[tuple[np.ndarray, np.ndarray]], np.ndarray, int]:
    """Sums and sizes of the clusters of every stratum, its share, and the number of rows."""
    labels = np.asarray(strata)
    if labels.shape != values.shape:
        raise ValueError(f"strata must have one label per row, shape {values.shape}, got {labels.shape}")
    labels = labels.astype(str)
    bad = [(name, weight) for name, weight in weights.items() if not (np.isfinite(weight) and weight >= 0)]
    if bad:
        raise ValueError(f"weights must be finite and at least 0; {bad[0][0]!r} has {bad[0][1]}")
    by_name = {str(name): float(weight) for name, weight in weights.items()}
    unknown = np.flatnonzero(~np.isin(labels, list(by_name)))
    if unknown.size:
        raise ValueError(
            f"strata: {unknown.size} rows are of strata without a weight; first: row {unknown[0]}, "
            f"{str(labels[unknown[0]])!r}. Weights are given for {', '.join(by_name)}."
        )
    names = [name for name, weight in by_name.items() if weight > 0 and (labels == name).any()]
    if not names:
        raise ValueError("no stratum with a weight above 0 has rows")
    codes = np.arange(values.size) if clusters is None else cluster_codes(clusters, values.size)[0]
    parts, n = [], 0
    for name in names:
        rows = labels == name
        _, inside = np.unique(codes[rows], return_inverse=True)
        parts.append((np.bincount(inside, values[rows]), np.bincount(inside).astype(np.float64)))
        n += int(rows.sum())
    shares = np.array([by_name[name] for name in names])
    return parts, shares / shares.sum(), n


def _variances(parts: list[tuple[np.ndarray, np.ndarray]], shares: np.ndarray) -> np.ndarray:
    """What every stratum adds to the variance of the weighted mean."""
    adds = []
    for share, (sums, sizes) in zip(shares, parts, strict=True):
        p, squares, _ = _spread(sums, sizes)
        # half a cluster at the far bound: the variance of a stratum that is all right is not 0
        adds.append(share**2 * (squares + 0.5 * max(p, 1 - p) ** 2) / len(sums) ** 2)
    return np.array(adds)


def _degrees_of_freedom(parts: list[tuple[np.ndarray, np.ndarray]], adds: np.ndarray) -> float:
    """Satterthwaite's, infinite if all strata have independent rows that are right or wrong."""
    spread = 0.0
    for (sums, sizes), add in zip(parts, adds, strict=True):
        if not ((sizes == 1).all() and np.isin(sums, (0.0, 1.0)).all()):
            spread += add**2 / (len(sums) - 1)
    return float(adds.sum() ** 2 / spread) if spread else np.inf


def _imaginary_values(sums: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """
    Values of the two imaginary clusters: as far from the mean as those that make the variance, within the bounds.

    Right and wrong rows near 1 give nearly 0, and 1. A twentieth of a cluster at the far bound counts with the rest: where
    all agree, it is all there is.
    """
    p, squares, fourths = _spread(sums, sizes)
    far = max(p, 1 - p)
    distance = np.sqrt((fourths + 0.05 * far**4) / (squares + 0.05 * far**2))
    return np.clip([p - distance, p + distance], 0.0, 1.0)


def _spread(sums: np.ndarray, sizes: np.ndarray) -> tuple[float, float, float]:
    """Mean of the rows, and the sums of squares and of fourth powers of the clusters' residuals in clusters of mean size."""
    p = sums.sum() / sizes.sum()
    residuals = (sums - p * sizes) / sizes.mean()
    return p, np.sum(residuals**2), np.sum(residuals**4)


def _resampled_means(
    rng: np.random.Generator, sums: np.ndarray, sizes: np.ndarray, extra: float, scale: float, resamples: int
) -> tuple[np.ndarray, float]:
    """Means of resamples of the clusters and `extra` imaginary ones, their deviations scaled, and what they vary about."""
    imaginary = sizes.mean() * np.stack([_imaginary_values(sums, sizes), [1.0, 1.0]], axis=1)
    clusters = np.stack([sums, sizes], axis=1)
    units = len(clusters)
    total = np.concatenate([clusters, extra / 2 * imaginary]).sum(axis=0)
    # Clusters alike are one kind, drawn as often as they are many: right and wrong rows are two kinds, whatever their number
    kinds, counts = np.unique(clusters, axis=0, return_counts=True)
    if len(kinds) <= units / 20:
        kinds, counts = np.concatenate([kinds, imaginary]), np.concatenate([counts, [extra / 2, extra / 2]])
        drawn = rng.multinomial(units, counts / counts.sum(), size=resamples) @ kinds
    else:
        kinds = np.concatenate([clusters, imaginary])
        drawn = np.empty((resamples, 2))
        batch = max(1, 2_000_000 // units)  # 16 MB of draws at a time
        for start in range(0, resamples, batch):
            position = rng.random((min(batch, resamples - start), units)) * (units + extra)
            index = np.where(position < units, position.astype(np.intp), units + (position >= units + extra / 2))
            drawn[start : start + batch, 0] = kinds[index, 0].sum(axis=1)
            drawn[start : start + batch, 1] = kinds[index, 1].sum(axis=1) if np.ptp(sizes) else units * sizes[0]
    centre = total[0] / total[1]
    return centre + scale * (drawn[:, 0] / drawn[:, 1] - centre), float(centre)
