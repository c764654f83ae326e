"""Difference of the means of two groups of rows."""

import numpy as np
from scipy import stats

from ..evaluation.statistics import Estimate


def difference_of_groups(
    values: np.ndarray, w: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> Estimate:
    r"""
    Mean of rows with `w` minus mean of the others.

    Without clusters Welch's interval. With them the CR1 covariance of a regression on `w`,
    \( \frac{G}{G-1}\frac{N-1}{N-2} \sum_g (\sum_{i \in g} e_i (w_i/n_1 - (1-w_i)/n_0))^2 \), right for clusters with rows
    of both groups, and t with G−1 degrees of freedom.

    References:
        - Welch, The Generalization of "Student's" Problem when Several Different Population Variances are Involved, 1947.
        - Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015, sections II and VI.

    Args:
        values (`np.ndarray` of shape `(N,)`):
            Finite numbers.
        w (`np.ndarray` of shape `(N,)`, bool):
            Group of the row. Both groups have rows.
        clusters (`np.ndarray` of shape `(N,)`, *optional*):
            Cluster of the row, as a number from 0.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]: NaN uncertainty if a group has a single row, or rows of a single cluster.
    """
    # Relative to one of them: a common offset must not cost digits, nor equal values differ by rounding
    shifted = values - values[0]
    groups = [shifted[w], shifted[~w]]
    means = [group.mean() for group in groups]
    value = float(means[0] - means[1])
    if clusters is None:
        parts = [np.var(group, ddof=1) / len(group) if len(group) > 1 else np.nan for group in groups]
        variance = parts[0] + parts[1]
        spread = sum(part**2 / max(len(group) - 1, 1) for part, group in zip(parts, groups, strict=True))
        degrees = variance**2 / spread if spread > 0 else len(values) - 2
        method = f"difference of means, Welch t interval ({level:g} level)"
    else:
        variance, units = _clustered_variance(shifted, w, means, clusters)
        degrees = units - 1
        method = f"difference of means, CR1 cluster-robust t interval ({units} clusters, {level:g} level)"
    if not np.isfinite(variance):
        return Estimate(value, np.nan, np.nan, np.nan, len(values), method)
    se = float(np.sqrt(variance))
    half = se * stats.t.ppf((1 + level) / 2, degrees)
    return Estimate(value, se, float(value - half), float(value + half), len(values), method)


def _clustered_variance(
    values: np.ndarray, w: np.ndarray, means: list[np.floating], clusters: np.ndarray
) -> tuple[float, int]:
    units = len(np.unique(clusters))
    # The residuals of a group in one cluster add to 0 there, however uncertain its mean is
    if min(len(np.unique(clusters[w])), len(np.unique(clusters[~w]))) < 2 or len(values) < 3:
        return np.nan, units
    treated = int(w.sum())
    scores = np.where(w, (values - means[0]) / treated, -(values - means[1]) / (len(w) - treated))
    sums = np.bincount(clusters, weights=scores)
    factor = units / (units - 1) * (len(w) - 1) / (len(w) - 2)
    return float(factor * sums @ sums), units
