"""Difference of the means of two groups of rows."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from ...evaluation.statistics import Estimate


def difference_of_groups(
    values: np.ndarray, w: np.ndarray, clusters: np.ndarray | None = None, level: float = 0.95
) -> Estimate:
    r"""
    Mean of rows with `w` minus mean of the others.

    Without clusters Welch's interval. With them the CR1 covariance of a regression on `w`,
    \( \frac{G}{G-1}\frac{N-1}{N-2} \sum_g (\sum_{i \in g} e_i (w_i/n_1 - (1-w_i)/n_0))^2 \), right for clusters with rows
    of both groups. Its t has the degrees of freedom of [`cluster_degrees`]: G−1 would be far too many where a group is in
    few clusters.

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
        degrees = welch_degrees(parts, [len(group) for group in groups])
        method = f"difference of means, Welch t interval ({level:g} level)"
    else:
        variance, units = _clustered_variance(shifted, w, means, clusters)
        degrees = cluster_degrees(w, clusters) if np.isfinite(variance) else np.nan
        method = (
            f"difference of means, CR1 cluster-robust t interval ({units} clusters, {degrees:.3g} degrees of freedom, "
            f"{level:g} level)"
        )
    if not np.isfinite(variance):
        return Estimate(value, np.nan, np.nan, np.nan, len(values), method)
    se = float(np.sqrt(variance))
    half = se * stats.t.ppf((1 + level) / 2, degrees)
    return Estimate(value, se, float(value - half), float(value + half), len(values), method)


def welch_degrees(variances: Sequence[float], counts: Sequence[int]) -> float:
    """Degrees of freedom of a sum of two variances of means, of so many rows each (Welch and Satterthwaite)."""
    spread = sum(part**2 / max(count - 1, 1) for part, count in zip(variances, counts, strict=True))
    return float(sum(variances) ** 2 / spread) if spread > 0 else sum(counts) - 2.0


def cluster_degrees(w: np.ndarray, clusters: np.ndarray) -> float:
    r"""
    Degrees of freedom of the CR1 variance of a difference of means.

    The variance is \( y'By \), and Satterthwaite's degrees are \( \mathrm{tr}(B\Omega)^2 / \mathrm{tr}(B\Omega B\Omega) \).
    The covariance Ω of rows is not known: the smaller number for independent rows, and for rows of a cluster and group that
    are the same, is taken; at most G−1. Two clusters with the attribute and many without have about one degree.

    References:
        - Bell and McCaffrey, Bias Reduction in Standard Errors for Linear Regression with Multi-Stage Samples, 2002.
        - Imbens and Kolesár, Robust Standard Errors in Small Samples: Some Practical Advice, 2016.

    Args:
        w (`np.ndarray` of shape `(N,)`, bool): Group of the row. Both groups have rows in two clusters or more.
        clusters (`np.ndarray` of shape `(N,)`): Cluster of the row, as a number from 0.
    """
    units = int(clusters.max()) + 1
    shares, rows = [], []
    for group in (w, ~w):
        rows.append(int(group.sum()))
        shares.append(np.bincount(clusters[group], minlength=units) / rows[-1])
    found = [np.count_nonzero(shares[0] + shares[1]) - 1.0]
    for of_rows in (True, False):
        # What a cluster adds to the mean of a group, less its share of all, has this covariance between clusters
        parts = []
        for share, count in zip(shares, rows, strict=True):
            variances = share / count if of_rows else share**2
            total = variances.sum()
            parts.append((variances, np.stack([variances, share], axis=1), np.array([[0.0, -1.0], [-1.0, total]])))
        trace = sum(diagonal.sum() + np.trace(core @ columns.T @ columns) for diagonal, columns, core in parts)
        square = sum(_trace_of_product(a, b) for a in parts for b in parts)
        found.append(float(trace**2 / square))
    return max(min(found), 1.0)


_Covariance = tuple[np.ndarray, np.ndarray, np.ndarray]  # diagonal, columns U and core C of diag + U C U'


def _trace_of_product(a: _Covariance, b: _Covariance) -> float:
    cross = a[1].T @ b[1]
    within = a[0] @ b[0] + np.trace(b[2] @ (b[1].T @ (a[0][:, None] * b[1])))
    return float(within + np.trace(a[2] @ (a[1].T @ (b[0][:, None] * a[1]))) + np.trace(a[2] @ cross @ b[2] @ cross.T))


def _clustered_variance(
    values: np.ndarray, w: np.ndarray, means: list[np.floating], clusters: np.ndarray
) -> tuple[float, int]:
    counts = [np.bincount(clusters[mask], minlength=clusters.max() + 1) for mask in (w, ~w)]
    units = np.count_nonzero(counts[0] + counts[1])
    # The residuals of a group in one cluster add to 0 there, however uncertain its mean is
    if min(np.count_nonzero(count) for count in counts) < 2 or len(values) < 3:
        return np.nan, units
    treated = int(w.sum())
    scores = np.where(w, (values - means[0]) / treated, -(values - means[1]) / (len(w) - treated))
    sums = np.bincount(clusters, weights=scores)
    factor = units / (units - 1) * (len(w) - 1) / (len(w) - 2)
    return float(factor * sums @ sums), units
