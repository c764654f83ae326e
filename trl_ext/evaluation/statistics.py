"""Uncertainty of every figure the package reports: one form of result, one place that computes it.

Rows that share a question, a prompt or an annotator are not independent. Functions here take `clusters`, an array of
labels, one per row; uncertainty then comes from the variation between clusters. Means, proportions and ratios also take
two labels per row, shape `(N, 2)`, for rows that share either: the same questions put to several trained models.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats
from statsmodels.stats.proportion import proportion_confint


@dataclass(frozen=True)
class Estimate:
    """
    A figure and how far to trust it.

    Args:
        value (`float`):
            The estimate, in the unit of the data.
        se (`float`):
            Standard error, same unit; `nan` where the data can't tell (a single row or cluster).
        ci_low (`float`):
            Lower end of the confidence interval; `-inf` when the data put no bound on it, `nan` when unknown.
        ci_high (`float`):
            Upper end, likewise.
        n (`int`):
            Number of rows the value was computed from (not clusters: those are in `method`).
        method (`str`):
            How `se` and the interval were obtained, with level and number of clusters.
    """

    value: float
    se: float
    ci_low: float
    ci_high: float
    n: int
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON. Python's `json` writes `nan` and `inf` as `NaN` and `Infinity`."""
        return asdict(self)


def _as_finite(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"{name} has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array


def _cluster_codes(clusters: ArrayLike, n: int) -> tuple[np.ndarray, int]:
    """Labels -> codes 0..G-1 and G."""
    labels = _as_labels(clusters)
    if labels.shape != (n,):
        raise ValueError(f"clusters must have one label per row, shape ({n},), got {labels.shape}")
    missing = np.flatnonzero(pd.isna(labels))
    if missing.size:
        raise ValueError(f"clusters has {missing.size} missing labels; first: row {missing[0]}")
    try:
        unique, codes = np.unique(labels, return_inverse=True)
    except TypeError:  # labels of several kinds have no order
        codes, unique = pd.factorize(labels)
    return codes, len(unique)


def _as_labels(clusters: ArrayLike) -> np.ndarray:
    """Labels as they are: numpy would make text of a list that holds text and numbers, or text and NaN."""
    return np.array(clusters, dtype=object) if isinstance(clusters, list | tuple) else np.asarray(clusters)


def _check_level(level: float) -> None:
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")


def _mean_covariance(columns: np.ndarray, clusters: ArrayLike | None) -> tuple[np.ndarray, float]:
    """Covariance (K, K) of the K column means of `columns` (N, K), and its degrees of freedom; `nan` below 2 units."""
    if np.ndim(clusters) == 2:
        return _two_way_covariance(columns, _as_labels(clusters))
    residuals = columns - columns.mean(axis=0)
    n = len(columns)
    if clusters is not None:
        codes, units = _cluster_codes(clusters, n)
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
    parts = [(*_mean_covariance(columns, labels),) for labels in clusters.T]
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
            + " x ".join(str(len(set(labels))) for labels in _as_labels(clusters).T.tolist())
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
    _check_level(level)
    array = _as_finite(values, "values")
    covariance, degrees = _mean_covariance(array[:, None], clusters)
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
    a, b = _as_finite(a, "a"), _as_finite(b, "b")
    if a.shape != b.shape:
        raise ValueError(f"a and b must be paired row by row, got {a.size} and {b.size} rows")
    estimate = mean_estimate(a - b, clusters, level)
    return Estimate(**{**asdict(estimate), "method": f"paired difference: {estimate.method}"})


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
    _check_level(level)
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
    array = _as_finite(values, "values")
    outside = np.flatnonzero((array < 0) | (array > 1))
    if outside.size:
        row = outside[0]
        raise ValueError(f"values has {outside.size} entries outside [0, 1]; first: row {row}, value {array[row]}")
    mean = mean_estimate(array, clusters, level)
    _, degrees = _mean_covariance(array[:, None], clusters)
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
    _check_level(level)
    numerator, denominator = _as_finite(numerator, "numerator"), _as_finite(denominator, "denominator")
    if numerator.shape != denominator.shape:
        raise ValueError(f"numerator and denominator differ in length: {numerator.size} and {denominator.size} rows")
    columns = np.stack([numerator, denominator], axis=1)
    covariance, degrees = _mean_covariance(columns, clusters)
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
    _check_level(level)
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
    codes, units = _cluster_codes(clusters, n)
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


def weighted_average(estimates: Sequence[Estimate], weights: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    r"""
    Weighted average of independent estimates, such as proportions of disjoint sets of rows, with the MOVER interval:
    \( \bar\theta - \sqrt{\sum_i w_i^2 (\hat\theta_i - l_i)^2} \) and
    \( \bar\theta + \sqrt{\sum_i w_i^2 (u_i - \hat\theta_i)^2} \).

    It uses the interval of every part, so that the one of an average of Wilson intervals stays in [0, 1], and has width
    where all parts are 1.

    References:
        - Zou and Donner, Construction of Confidence Limits about Effect Measures: a General Approach, 2008.

    Args:
        estimates (sequence of [`Estimate`]):
            Parts, estimated from different rows and clusters, with intervals of the same level.
        weights (`array_like` of shape `(K,)`, *optional*):
            Weight of every part, at least 0; they are divided by their sum. Equal by default.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the intervals of the parts, for the description.

    Returns:
        [`Estimate`]: `n` is the number of rows of all parts; `nan` uncertainty if a part has none.

    Example:
        ```python
        >>> parts = [wilson_interval(8, 10), wilson_interval(30, 50)]
        >>> average = weighted_average(parts, [1, 3])
        >>> round(average.value, 3), round(average.ci_low, 3), round(average.ci_high, 3)
        (0.65, 0.521, 0.75)
        ```
    """
    _check_level(level)
    if not estimates:
        raise ValueError("estimates is empty")
    weights = _as_finite(np.ones(len(estimates)) if weights is None else weights, "weights")
    if weights.size != len(estimates):
        raise ValueError(f"weights must have one value per estimate, got {weights.size} for {len(estimates)}")
    if (weights < 0).any() or weights.sum() == 0:
        raise ValueError(f"weights must be at least 0 and not all 0, got {weights.tolist()}")
    weights = weights / weights.sum()
    values, ses, lows, highs = np.array([[e.value, e.se, e.ci_low, e.ci_high] for e in estimates]).T
    value = weights @ values
    low, high = (np.sqrt(np.sum((weights * gap) ** 2)) for gap in (values - lows, highs - values))
    return Estimate(
        float(value),
        float(np.sqrt(np.sum((weights * ses) ** 2))),
        float(value - low),
        float(value + high),
        sum(estimate.n for estimate in estimates),
        _describe(f"weighted average of {len(estimates)} independent estimates, MOVER interval", level, None, 0),
    )
