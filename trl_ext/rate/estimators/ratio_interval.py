"""Interval of an effect in standard deviations, which has 0 in it where the interval of the effect has."""

import numpy as np
from scipy import stats

from ...evaluation.statistics import Estimate
from .effect_covariance import Figure


_ANGLES = np.linspace(-np.pi, np.pi, 4097)  # with 0 and -π, where effects are largest and smallest


def bootstrap_covariances(replicates: np.ndarray, units: int) -> list[np.ndarray]:
    """
    Covariance `(2, 2)` of each effect and the logarithm of the standard deviation of rewards; NaN where resamples lack the
    rows for it.

    Args:
        replicates (`np.ndarray` of shape `(B, K + 1)`): K effects in resamples, and the standard deviations.
        units (`int`): Number of clusters that were resampled: resamples vary by (units − 1)/units as much as samples.
    """
    if len(replicates) < 2:
        return [np.full((2, 2), np.nan)] * (replicates.shape[1] - 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        logs = np.log(replicates[:, -1])
        return [np.cov(column, logs) * units / (units - 1) for column in replicates[:, :-1].T]


def ratio_interval(figure: Figure, std: float, covariance: np.ndarray, level: float, what: str) -> Estimate:
    r"""
    Interval of \( \theta = \tau/s \) for an effect τ and a standard deviation s that are estimated from the same rows.

    It is the range of \( x e^{-y} \) over the ellipse of points (x, y) at most t standard errors from
    \( (\hat\tau, \log \hat s) \), which to first order is \( \hat\theta \pm t \cdot se \). Signs are those of x: 0 is in it
    if and only if it is in \( \hat\tau \pm t \cdot se(\hat\tau) \). It is finite however uncertain s is.

    Args:
        figure ([`Figure`]): The effect, with its standard error and degrees of freedom.
        std (`float`): The standard deviation.
        covariance (`np.ndarray` of shape `(2, 2)`): Of effect and log s; the variance of the effect is replaced by that of
            `figure`, the correlation kept.
        level (`float`): Confidence level.
        what (`str`): Description.

    Returns:
        [`Estimate`]: With NaN uncertainty where covariance or standard error are unknown.
    """
    value, se = figure.value / std, figure.se
    if not (np.isfinite(se) and np.isfinite(covariance).all()):
        return Estimate(value, np.nan, np.nan, np.nan, figure.n, what)
    spread = float(np.sqrt(covariance[1, 1]))
    product = np.sqrt(covariance[0, 0]) * spread
    correlation = float(np.clip(covariance[0, 1] / product, -1.0, 1.0)) if product > 0 and se > 0 else 0.0
    t = float(stats.t.ppf((1 + level) / 2, figure.degrees))
    effects = figure.value + t * se * np.cos(_ANGLES)
    logs = t * spread * (correlation * np.cos(_ANGLES) + np.sqrt(1 - correlation**2) * np.sin(_ANGLES))
    ratios = effects * np.exp(-logs) / std
    variance = (se / std) ** 2 - 2 * value * correlation * se * spread / std + (value * spread) ** 2
    return Estimate(
        value, float(np.sqrt(max(variance, 0.0))), float(ratios.min()), float(ratios.max()), figure.n, what
    )
