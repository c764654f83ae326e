"""Ratios of two means, with intervals that say when the data do not determine them."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .estimate import Estimate
from .inputs import as_finite, check_level
from .means import _describe, mean_covariance


def ratio_estimate(
    numerator: ArrayLike,
    denominator: ArrayLike,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    *,
    zero_atol: float = 0.0,
) -> Estimate:
    r"""
    Ratio of two means with Fieller's interval: all \( \rho \) for which mean(numerator − ρ·denominator) = 0 is not
    rejected by the t test of [`mean_estimate`].

    When the denominator's own interval contains 0, that set is unbounded (the whole line, or the line without a gap)
    and the interval is `(-inf, inf)`: the data don't determine the ratio. A bootstrap percentile interval would be
    finite there, and wrong. `se` is the delta-method standard error, `nan` when the interval is unbounded.

    References:
        - Fieller, Some Problems in Interval Estimation, 1954.

    Args:
        numerator (`array_like` of shape `(N,)`):
            Values whose mean is above the line.
        denominator (`array_like` of shape `(N,)`):
            Values on the same rows whose mean is below the line.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        zero_atol (`float`, *optional*, defaults to `0.0`):
            A mean denominator of at most this size counts as 0; set it to the rounding error of the inputs.

    Returns:
        [`Estimate`]: `value` is `±inf` for a denominator of 0, `nan` for 0/0.
    """
    check_level(level)
    numerator, denominator = as_finite(numerator, "numerator"), as_finite(denominator, "denominator")
    if numerator.shape != denominator.shape:
        raise ValueError(f"numerator and denominator differ in length: {numerator.size} and {denominator.size} rows")
    columns = np.stack([numerator, denominator], axis=1)
    covariance, degrees = mean_covariance(columns, clusters)
    top, bottom = columns.mean(axis=0)
    bottom = 0.0 if abs(bottom) <= zero_atol else bottom
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(np.divide(top, bottom))
    method = _describe("ratio of means, Fieller interval", level, clusters, degrees)
    if not degrees:
        return Estimate(value, np.nan, np.nan, np.nan, columns.shape[0], method)
    # roots of (bottom² - t²·v_bb)ρ² - 2(top·bottom - t²·v_tb)ρ + (top² - t²·v_tt) = 0
    t2 = stats.t.ppf((1 + level) / 2, degrees) ** 2
    a = bottom**2 - t2 * covariance[1, 1]
    if bottom == 0 or a <= 0:
        return Estimate(value, np.nan, -np.inf, np.inf, columns.shape[0], f"{method}, unbounded: denominator near 0")
    b = top * bottom - t2 * covariance[0, 1]
    c = top**2 - t2 * covariance[0, 0]
    root = np.sqrt(max(b**2 - a * c, 0.0))
    gradient = np.array([1.0, -value]) / bottom
    se = np.sqrt(max(gradient @ covariance @ gradient, 0.0))
    return Estimate(value, float(se), float((b - root) / a), float((b + root) / a), columns.shape[0], method)
