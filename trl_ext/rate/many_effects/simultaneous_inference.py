"""Many effects at once: p-values for all of them together, and intervals that hold together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ...evaluation.statistics import Estimate, adjust_p_values
from ..estimators.effect_covariance import Figure


@dataclass(frozen=True)
class JointTests:
    """
    Tests of M figures being 0.

    Args:
        p_values, holm, fdr_bh, max_t (`np.ndarray` of shape `(M,)`): Two-sided p-values: of each by itself, after Holm's
            correction, after Benjamini and Hochberg's, and of the largest t; NaN for figures without standard error.
        simultaneous (`tuple[Estimate, ...]`): The figures with intervals that all hold with the given probability.
    """

    p_values: np.ndarray
    holm: np.ndarray
    fdr_bh: np.ndarray
    max_t: np.ndarray
    simultaneous: tuple[Estimate, ...]


def joint_tests(
    figures: Sequence[Figure], covariance: np.ndarray, *, draws: int, seed: int, level: float
) -> JointTests:
    r"""
    Test figures with a known covariance together.

    The largest |t| of figures that are all 0 is drawn from normal deviates with the figures' correlation, which is the
    distribution of a Gaussian multiplier bootstrap of their influence functions, given the data. Unequal degrees of freedom
    enter by comparing figures on the scale of their p-values (min-p). The p-value is never above Bonferroni's.

    References:
        - Westfall and Young, Resampling-Based Multiple Testing, 1993 (min-p, single step).
        - Chernozhukov, Chetverikov and Kato, Gaussian Approximations and Multiplier Bootstrap for Maxima of Sums of
          High-Dimensional Random Vectors, 2013.

    Args:
        figures (`Sequence[Figure]`): M figures.
        covariance (`np.ndarray` of shape `(M, M)`): Of them.
        draws (`int`): Number of draws.
        seed (`int`): Seed of them.
        level (`float`): Level of the intervals.

    Returns:
        [`JointTests`]
    """
    if draws < 100:
        raise ValueError(f"draws must be at least 100, got {draws}")
    values = np.array([figure.value for figure in figures])
    degrees = np.array([figure.degrees for figure in figures])
    ses = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    known = degrees > 0
    ses[~known] = np.nan
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.abs(np.where(ses == 0, np.where(values == 0, 0.0, np.inf), values / ses))
    p_values = np.where(known, 2 * stats.t.sf(t, np.maximum(degrees, 1)), np.nan)
    corrected = {name: np.full(len(values), np.nan) for name in ("holm", "fdr_bh", "max_t")}
    tested = int(known.sum())
    critical = np.nan
    if tested:
        for name in ("holm", "fdr_bh"):
            corrected[name][known] = adjust_p_values(p_values[known], name)
        largest = _largest_deviates(covariance[np.ix_(known, known)], draws, seed)
        deviates = stats.norm.isf(p_values[known] / 2)
        above = draws - np.searchsorted(largest, deviates, side="left")
        joint = (above + 1) / (draws + 1)
        corrected["max_t"][known] = np.maximum(np.minimum(joint, tested * p_values[known]), p_values[known])
        # The deviate beyond which max_t is below 1 − level; between that of a single figure and Bonferroni's
        allowed = int(np.ceil((1 - level) * (draws + 1))) - 2
        largest_p = 2 * stats.norm.sf(largest[draws - 1 - allowed]) if allowed >= 0 else 0.0
        critical = np.clip(largest_p, (1 - level) / tested, 1 - level)
    method = f"simultaneous t interval, max-t over {tested} figures ({draws} draws, seed {seed}, {level:g} level)"
    simultaneous = []
    for figure, se in zip(figures, ses.tolist(), strict=True):
        value, half = figure.value, np.nan
        if figure.degrees > 0:
            half = se * float(stats.t.isf(critical / 2, figure.degrees))
        simultaneous.append(Estimate(value, se, value - half, value + half, figure.n, method))
    return JointTests(p_values, **corrected, simultaneous=tuple(simultaneous))


def _largest_deviates(covariance: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """Sorted largest |z| of draws with this covariance, scaled to variances of 1."""
    scale = np.sqrt(np.diag(covariance))
    scale = np.where(scale > 0, scale, 1.0)
    variances, directions = np.linalg.eigh(covariance / np.outer(scale, scale))
    root = directions * np.sqrt(np.maximum(variances, 0.0))
    deviates = np.random.default_rng([seed, 91]).standard_normal((draws, len(scale))) @ root.T
    return np.sort(np.abs(deviates).max(axis=1))
