"""Area under the ROC curve: how well scores order correct before incorrect rows."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit, logit

from .bootstrap import cluster_bootstrap
from .estimate import Estimate


def area_under_curve(
    scores: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """
    Share of (positive, negative) pairs in which the positive row has the higher score; ties count half.

    Without `clusters`, the standard error is DeLong's and the interval is formed on the logit scale, so that it stays in
    [0, 1]; with them, whole clusters are drawn in a bootstrap. An area of 0 or 1 has no DeLong interval (`nan`), and equal scores have no uncertainty that the data
    could tell (`nan`).

    References:
        - DeLong, DeLong and Clarke-Pearson, Comparing the Areas under Two or More Correlated Receiver Operating
          Characteristic Curves, 1988.
        - Pepe, The Statistical Evaluation of Medical Tests for Classification and Prediction, 2003, section 5.2.4
          (interval on the logit scale).

    Args:
        scores (`array_like` of shape `(N,)`):
            Finite scores or probabilities.
        labels (`array_like` of shape `(N,)`):
            0 and 1, both present.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.

    Returns:
        [`Estimate`]

    Example:
        ```python
        >>> area_under_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).value
        0.75
        ```
    """
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores and labels must have the same shape (N,), got {scores.shape} and {labels.shape}")
    for name, array, good in (
        ("scores", scores, np.isfinite(scores)),
        ("labels", labels, (labels == 0) | (labels == 1)),
    ):
        bad = np.flatnonzero(~good)
        if bad.size:
            rule = "finite" if name == "scores" else "0 or 1"
            raise ValueError(f"{name} must be {rule}; {bad.size} are not, first: row {bad[0]}, value {array[bad[0]]}")
    positive = labels == 1
    if positive.all() or not positive.any():
        raise ValueError(f"labels must hold both 0 and 1, got only {labels[:1].tolist()}")
    if clusters is not None and len(clusters) != scores.size:
        raise ValueError(f"clusters must have shape (N,) = ({scores.size},), got {len(clusters)} labels")
    if np.ptp(scores) == 0:  # every resample ties all pairs: certain of 0.5 by construction, not by evidence
        return Estimate(0.5, np.nan, np.nan, np.nan, scores.size, "all scores are equal, undetermined")
    if clusters is not None:
        return cluster_bootstrap(
            lambda weights: _weighted_area(weights, scores, positive),
            clusters,
            resamples=resamples,
            seed=seed,
            level=level,
        )
    return _delong(scores, positive, level)


def _weighted_area(weights: np.ndarray, scores: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Area `(B,)` of weights `(B, N)`; `nan` where a resample has one class only."""
    unique, codes = np.unique(scores, return_inverse=True)
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(unique.size))
    up = np.add.reduceat((weights * positive)[:, order], starts, axis=1)
    down = np.add.reduceat((weights * ~positive)[:, order], starts, axis=1)
    won = (up * (np.cumsum(down, axis=1) - down / 2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return won / (up.sum(axis=1) * down.sum(axis=1))


def _delong(scores: np.ndarray, positive: np.ndarray, level: float) -> Estimate:
    up, down = scores[positive], scores[~positive]
    # share of negatives below each positive, and of positives above each negative, ties half: mid-ranks
    won = (stats.rankdata(scores)[positive] - stats.rankdata(up)) / down.size
    lost = 1 - (stats.rankdata(scores)[~positive] - stats.rankdata(down)) / up.size
    area = float(won.mean())
    method = f"DeLong standard error, interval on the logit scale ({level:g} level)"
    if min(up.size, down.size) < 2:
        return Estimate(area, np.nan, np.nan, np.nan, scores.size, f"{method}, a class has a single row")
    se = float(np.sqrt(won.var(ddof=1) / up.size + lost.var(ddof=1) / down.size))
    if area in (0.0, 1.0):
        return Estimate(area, np.nan, np.nan, np.nan, scores.size, f"{method}, undetermined at {area:g}")
    half = stats.norm.ppf((1 + level) / 2) * se / (area * (1 - area))
    low, high = expit(logit(area) - half), expit(logit(area) + half)
    return Estimate(area, se, float(low), float(high), scores.size, method)
