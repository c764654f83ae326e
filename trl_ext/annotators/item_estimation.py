"""Commitment η when it is known how clear every checked pair was."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

from ._checks import check_level, items_in_range
from .estimation import EtaEstimate, eta_estimate, logged


def estimate_eta_items(
    agreements: ArrayLike, c: ArrayLike, level: float = 0.95, *, allow_negative: bool = False
) -> EtaEstimate:
    r"""
    Maximum-likelihood estimate of the commitment from agreements on items of known \( c_i \).

    A disagreement about a clear pair says more than one about a toss-up. The score
    \( U(\eta) = \sum_i \pm c_i/(1 \pm c_i\eta) \) has variance \( V(\eta) = \sum_i c_i^2/(1 - c_i^2\eta^2) \); the interval
    is all η with \( |U|/\sqrt V \le z \). For equal \( c_i \) it is Wilson's. Checks must be independent.

    References:
        - Rao, Large Sample Tests of Statistical Hypotheses, 1948: the score test.
        - How Humans Help LLMs, algorithm 1.

    Args:
        agreements (`array_like` of shape `(N,)`):
            1 or `True` where annotator and expert agree, else 0.
        c (`array_like` of shape `(N,)`):
            From [`expert_c_items`]; not all 0.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        allow_negative (`bool`, *optional*, defaults to `False`):
            Whether the range is [−1, 1].

    Returns:
        [`EtaEstimate`]

    Raises:
        ValueError: Other values, or shapes that differ.

    Example:
        ```python
        >>> from trl_ext.annotators import estimate_eta_items
        >>> found = estimate_eta_items([1] * 45 + [0] * 5 + [1] * 30 + [0] * 20, [0.9] * 50 + [0.2] * 50)
        >>> round(found.value, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.891, 0.646, 1.0)
        ```
    """
    return logged(eta_of_items(agreements, c, level, allow_negative))


def eta_of_items(agreements: ArrayLike, c: ArrayLike, level: float, allow_negative: bool) -> EtaEstimate:
    """[`estimate_eta_items`] without a log."""
    check_level(level)
    agree, c = _read(agreements, c)
    signed = np.where(agree == 1, c, -c)
    limit = 1 / np.abs(c).max()

    def score(eta: float) -> float:
        return np.sum(signed / (1 + signed * eta))

    def standard_score(eta: float) -> float:
        return score(eta) * _standard_error(c, eta)

    inside = limit * (1 - 1e-9)
    z = stats.norm.ppf((1 + level) / 2)
    unclipped = _root(score, 0.0, -inside, inside)
    low, high = (_root(standard_score, value, -inside, inside) for value in (z, -z))
    return eta_estimate(
        unclipped=unclipped,
        ends=(low, high),
        se=_standard_error(c, unclipped),
        n=agree.size,
        agreements=int(agree.sum()),
        c=c.mean(),
        level=level,
        log_likelihood=lambda eta: np.sum(np.log((1 + signed * eta) / 2)),
        method=f"maximum likelihood with known items, score interval ({level:g} level)",
        allow_negative=allow_negative,
    )


def item_test(agreements: ArrayLike, c: ArrayLike, eta0: float) -> tuple[float, float]:
    """
    p-values of "η ≤ eta0" and of "η ≥ eta0" by the score test on items of known \\( c_i \\).

    Args:
        agreements (`array_like` of shape `(N,)`):
            As in [`estimate_eta_items`].
        c (`array_like` of shape `(N,)`):
            Likewise.
        eta0 (`float`):
            Commitment in [0, 1).

    Returns:
        `tuple[float, float]`
    """
    agree, c = _read(agreements, c)
    signed = np.where(agree == 1, c, -c)
    z = np.sum(signed / (1 + signed * eta0)) * _standard_error(c, eta0)
    return float(stats.norm.sf(z)), float(stats.norm.cdf(z))


def _read(agreements: ArrayLike, c: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    agree, c = items_in_range(agreements, "agreements", 0, 1), items_in_range(c, "c", -1, 1)
    if agree.shape != c.shape:
        raise ValueError(f"agreements and c must have one value per check, got {agree.size} and {c.size}")
    if not np.isin(agree, (0, 1)).all():
        raise ValueError(f"agreements must be 0 or 1, got {agree[~np.isin(agree, (0, 1))][0]}")
    if not c.any():
        raise ValueError("c is 0 for all checks: agreement says nothing about eta")
    return agree, c


def _standard_error(c: np.ndarray, eta: float) -> float:
    return 1 / np.sqrt(np.sum(c**2 / ((1 - c * eta) * (1 + c * eta))))


def _root(decreasing, value: float, low: float, high: float) -> float:
    """Where a decreasing function has a value; an end of the range if it has it nowhere."""
    if decreasing(low) <= value:
        return low
    if decreasing(high) >= value:
        return high
    return brentq(lambda x: decreasing(x) - value, low, high, xtol=1e-12)
