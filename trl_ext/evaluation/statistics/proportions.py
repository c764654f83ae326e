"""Shares of rows, with intervals that stay in [0, 1] and have width at its ends."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from .estimate import Estimate
from .inputs import as_finite, check_level
from .means import _describe, mean_covariance, mean_estimate


def wilson_interval(successes: float, n: int, level: float = 0.95) -> Estimate:
    """
    Share of successes with Wilson's score interval: stays in [0, 1] and has width at 0 and 1.

    References:
        - Wilson, Probable Inference, the Law of Succession, and Statistical Inference, 1927.

    Args:
        successes (`float`):
            Number of successes; a tie may count half.
        n (`int`):
            Number of independent trials. For trials in clusters see [`proportion_estimate`].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]: `se` is the plain sqrt(p(1-p)/n), which is 0 at 0 and 1.
    """
    check_level(level)
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    if not 0 <= successes <= n:
        raise ValueError(f"successes must lie in [0, n={n}], got {successes}")
    p = successes / n
    low, high = _wilson_bounds(p, n, level)
    return Estimate(float(p), float(np.sqrt(p * (1 - p) / n)), low, high, int(n), f"Wilson interval ({level:g} level)")


def _wilson_bounds(p: float, n: float, level: float) -> tuple[float, float]:
    low, high = proportion_confint(p * n, n, alpha=1 - level, method="wilson")
    # rounding leaves 1 - 1e-16 as the upper end of 7 of 7
    return float(min(low, p)), float(max(high, p))


def proportion_estimate(values: ArrayLike, clusters: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    r"""
    Mean of values in [0, 1] (1 = success, 0.5 = tie) with a Wilson interval for clustered rows.

    A t interval leaves [0, 1], and shrinks to a point when every row is right. Here Wilson's interval is computed from
    the effective number of rows, \( n^* = p(1-p)/se^2 \cdot (z/t_{G-1})^2 \), with the cluster-robust `se` of
    [`mean_estimate`], and \( p(1-p)/se^2 \le N \) for values that are all 0, 0.5 or 1. Other values, such as shares of a
    row's pairs, vary less than right and wrong ones do, and have no such limit. As rare wrong rows may be missing from
    them, \( p \) and \( se \) in \( p(1-p)/se^2 \) include \( (z^2 + 2)/3 \) imaginary rows (clusters, where there are
    some) as in [`stratified_estimate`]: near 0 and 1 the interval is as wide as that of right and wrong rows, in the
    middle somewhat wider than the t interval (1.27 times for 100 values between .45 and .55). When all rows agree, the data say nothing about how rows of a cluster hang together; a cluster then counts
    as one row.

    References:
        - Korn and Graubard, Confidence Intervals for Proportions with Small Expected Number of Positive Counts
          Estimated from Survey Data, 1998 (effective sample size).
        - Dean and Pagano, Evaluating Confidence Interval Methods for Binomial Proportions in Clustered Surveys, 2015
          (its use in Wilson's interval).

    Args:
        values (`array_like` of shape `(N,)`):
            Numbers in [0, 1].
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]
    """
    array = as_finite(values, "values")
    outside = np.flatnonzero((array < 0) | (array > 1))
    if outside.size:
        row = outside[0]
        raise ValueError(f"values has {outside.size} entries outside [0, 1]; first: row {row}, value {array[row]}")
    mean = mean_estimate(array, clusters, level)
    _, degrees = mean_covariance(array[:, None], clusters)
    method = _describe("proportion, Wilson interval on the effective number of rows", level, clusters, degrees)
    if not degrees:
        return Estimate(mean.value, np.nan, np.nan, np.nan, array.size, method)
    p, units = mean.value, degrees + 1
    if p in (0.0, 1.0):
        effective = units
    elif mean.se <= 1e-12:  # values that differ by rounding alone don't vary
        effective = array.size
    elif np.isin(array, (0.0, 0.5, 1.0)).all():
        effective = min(array.size, p * (1 - p) / mean.se**2)
    else:
        effective = _effective_shares(array, mean.se, units, level)
    tail = (1 + level) / 2
    effective *= (stats.norm.ppf(tail) / stats.t.ppf(tail, degrees)) ** 2
    low, high = _wilson_bounds(p, effective, level)
    return Estimate(p, mean.se, low, high, array.size, method)


def _effective_shares(array: np.ndarray, se: float, units: float, level: float) -> float:
    """
    Effective number of rows of values between 0 and 1: p(1-p)/se² with imaginary units on both sides of the mean.

    As far from it as the rows that make the variance, within 0 and 1, and as many as `stratified_estimate` takes. A
    twentieth of a row at the far bound counts with the rows: where all are nearly alike, it is all there is.
    """
    p = array.mean()
    squares, far = (array - p) ** 2, max(p, 1 - p) ** 2
    distance = np.sqrt((np.sum(squares**2) + 0.05 * far**2) / (np.sum(squares) + 0.05 * far))
    imaginary = np.clip([p - distance, p + distance], 0.0, 1.0)
    each = (stats.norm.ppf((1 + level) / 2) ** 2 + 2) / 6
    total = units + 2 * each
    centre = (units * p + each * imaginary.sum()) / total
    # sum of squares of the units about their mean, of the imaginary ones about it, and of both means about the centre
    spread = se**2 * units * (units - 1) + units * (p - centre) ** 2 + each * np.sum((imaginary - centre) ** 2)
    return centre * (1 - centre) * total * (total - 1) / spread
