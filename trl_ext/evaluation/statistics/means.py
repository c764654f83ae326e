"""Means of rows, some of which belong together, with t intervals."""

from dataclasses import asdict

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .estimate import Estimate
from .inputs import as_finite, as_labels, check_level, cluster_codes


def mean_covariance(columns: np.ndarray, clusters: ArrayLike | None) -> tuple[np.ndarray, float]:
    """Covariance (K, K) of the K column means of `columns` (N, K), and its degrees of freedom; `nan` below 2 units."""
    if np.ndim(clusters) == 2:
        return _two_way_covariance(columns, as_labels(clusters))
    residuals = columns - columns.mean(axis=0)
    n = len(columns)
    if clusters is not None:
        codes, units = cluster_codes(clusters, n)
        residuals = np.stack([np.bincount(codes, weights=column, minlength=units) for column in residuals.T], axis=1)
    else:
        units = n
    if units < 2:
        return np.full((columns.shape[1],) * 2, np.nan), 0
    # CR1 for a regression on a constant: G/(G-1) * (N-1)/(N-1) * sum of outer products; G = N gives s^2/N
    return units / (units - 1) * residuals.T @ residuals / n**2, units - 1


def _two_way_covariance(columns: np.ndarray, clusters: np.ndarray) -> tuple[np.ndarray, float]:
    """
    Covariance under clustering by two labels, and degrees of freedom.

    The sum of both one-way covariances: it counts what is particular to a row twice, is positive semidefinite, and its
    Satterthwaite degrees of freedom follow the part that matters. Subtracting the covariance of the intersection, with
    the degrees of freedom of the coarser label, gives intervals without meaning for two or three trained models.
    """
    if clusters.shape != (len(columns), 2):
        raise ValueError(f"clusters must have shape (N,) or (N, 2) with N = {len(columns)}, got {clusters.shape}")
    parts = [(*mean_covariance(columns, labels),) for labels in clusters.T]
    if 0 in (known := [degrees for _, degrees in parts]):  # one label for all: nothing is clustered by it
        return parts[known.index(0) - 1]
    covariance = sum(part for part, _ in parts)
    spread = sum(np.diag(part) ** 2 / degrees for part, degrees in parts)
    positive = spread > 0
    degrees = (np.diag(covariance)[positive] ** 2 / spread[positive]).min() if positive.any() else min(known)
    return covariance, float(degrees)


def _describe(what: str, level: float, clusters: ArrayLike | None, degrees: float) -> str:
    unit = f"{degrees + 1} clusters, " if clusters is not None and degrees else ""
    if np.ndim(clusters) == 2:
        unit = (
            "two-way, "
            + " x ".join(str(len(set(labels))) for labels in as_labels(clusters).T.tolist())
            + " clusters, "
        )
    return f"{what} ({unit}{level:g} level)"


def mean_estimate(values: ArrayLike, clusters: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    r"""
    Mean with a t interval.

    With `clusters`, the standard error is the cluster-robust CR1 form of a regression on a constant,
    \( \sqrt{\frac{G}{G-1} \sum_g (\sum_{i \in g} e_i)^2} / N \), and the interval uses t with G−1 degrees of freedom.
    Clusters of one row each give the ordinary interval.

    References:
        - Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015, sections II and VI.
        - Cameron, Gelbach and Miller, Robust Inference with Multiway Clustering, 2011, for two labels per row. Here the
          covariance of the intersection is not subtracted (the two-term form of MacKinnon, Nielsen and Webb, 2021), and t
          has the degrees of freedom of Satterthwaite, 1946: exact enough for two models (tested by simulation).

    Args:
        values (`array_like` of shape `(N,)`):
            Finite numbers.
        clusters (`array_like` of shape `(N,)` or `(N, 2)`, *optional*):
            Label of the cluster of every row, or two labels.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]: with `nan` for the uncertainty of a single row or a single cluster.
    """
    check_level(level)
    array = as_finite(values, "values")
    covariance, degrees = mean_covariance(array[:, None], clusters)
    value, se = array.mean(), np.sqrt(covariance[0, 0])
    half = se * stats.t.ppf((1 + level) / 2, degrees) if degrees else np.nan
    what = "mean, t interval" if clusters is None else "mean, CR1 cluster-robust t interval"
    method = _describe(what, level, clusters, degrees)
    return Estimate(float(value), float(se), float(value - half), float(value + half), array.size, method)


def paired_difference(a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    """
    Mean of `a - b` over rows that belong together, as [`mean_estimate`] of the differences.

    Args:
        a (`array_like` of shape `(N,)`):
            Measurements of the first system.
        b (`array_like` of shape `(N,)`):
            Measurements of the second system on the same rows, in the same order.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]
    """
    a, b = as_finite(a, "a"), as_finite(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"a and b must be paired row by row, got {a.size} and {b.size} rows")
    estimate = mean_estimate(a - b, clusters, level)
    return Estimate(**{**asdict(estimate), "method": f"paired difference: {estimate.method}"})
