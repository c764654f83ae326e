"""Commitment η when it is known how clear every checked pair was."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq

from ._checks import check_level, items_in_range
from .estimation import EtaEstimate, eta_estimate, logged


# Weights of the exact test are whole numbers: finer ones cost time and hardly power
_WEIGHT_LEVELS = 20
_LARGEST_SUM = 40_000


def estimate_eta_items(
    agreements: ArrayLike, c: ArrayLike, level: float = 0.95, *, allow_negative: bool = False
) -> EtaEstimate:
    r"""
    Maximum-likelihood estimate of the commitment from agreements on items of known \( c_i \).

    A disagreement about a clear pair says more than one about a toss-up. The interval is all η whose log-likelihood
    \( \sum_i \log((1 \pm c_i\eta)/2) \), a concave function, is at most half a χ² quantile below the maximum. Checks must
    be independent.

    References:
        - Wilks, The Large-Sample Distribution of the Likelihood Ratio, 1938.
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
        (0.891, 0.668, 1.0)
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

    def log_likelihood(eta: float) -> float:
        with np.errstate(divide="ignore"):
            return np.sum(np.log((1 + signed * eta) / 2))

    unclipped = _root(score, -limit, limit)
    lowest = log_likelihood(unclipped) - stats.chi2.ppf(level, 1) / 2
    low = _root(lambda eta: lowest - log_likelihood(eta), -limit, unclipped)
    high = _root(lambda eta: log_likelihood(eta) - lowest, unclipped, limit)
    return eta_estimate(
        unclipped=unclipped,
        ends=(low, high),
        se=_standard_error(c, unclipped),
        n=agree.size,
        agreements=int(agree.sum()),
        c=c.mean(),
        level=level,
        log_likelihood=log_likelihood,
        method=f"maximum likelihood with known items, likelihood ratio interval ({level:g} level)",
        allow_negative=allow_negative,
    )


def item_test(agreements: ArrayLike, c: ArrayLike, eta0: float) -> tuple[float, float]:
    """
    Exact p-values of "η ≤ eta0" and of "η ≥ eta0" by a weighted number of agreements on items of known \\( c_i \\).

    The weights are those of the locally most powerful test, \\( c_i/(1 - c_i^2\\eta_0^2) \\), rounded to whole numbers from 0
    to 20 (fewer for thousands of checks), so that the distribution of the sum can be computed exactly. Agreements are
    independent and each is more likely the larger η, so that the sum grows with η, and the level holds for both
    hypotheses with any number of checks. Where \\( c_i < 0 \\) it is disagreement that counts; with equal \\( c_i \\) this is
    the exact binomial test.

    References:
        - Lehmann and Romano, Testing Statistical Hypotheses, section 8.4: locally most powerful tests.

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
    as_committed, strength = (agree == 1) == (c > 0), np.abs(c)
    with np.errstate(divide="ignore"):
        score = strength / (1 - (strength * eta0) ** 2)
    levels = max(1, min(_WEIGHT_LEVELS, _LARGEST_SUM // agree.size))
    weights = np.rint(levels * score / score.max()).astype(int)
    total = int(weights[as_committed].sum())
    probabilities = _sum_distribution(strength * eta0, weights)
    return min(float(probabilities[total:].sum()), 1.0), min(float(probabilities[: total + 1].sum()), 1.0)


def _read(agreements: ArrayLike, c: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    agree, c = items_in_range(agreements, "agreements", 0, 1), items_in_range(c, "c", -1, 1)
    if agree.shape != c.shape:
        raise ValueError(f"agreements and c must have one value per check, got {agree.size} and {c.size}")
    if not np.isin(agree, (0, 1)).all():
        raise ValueError(f"agreements must be 0 or 1, got {agree[~np.isin(agree, (0, 1))][0]}")
    if not c.any():
        raise ValueError("c is 0 for all checks: agreement says nothing about eta")
    return agree, c


def _sum_distribution(lead: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """
    P(0), P(1), … of the sum of the weights of successes of probabilities (1 + lead)/2: sums of positive terms, exact in
    the tails too.
    """
    parts = []
    for weight, (failure, success) in zip(weights, np.stack([1 - lead, 1 + lead], axis=1) / 2, strict=True):
        part = np.zeros(weight + 1)
        part[0] += failure
        part[-1] += success
        parts.append(part)
    while len(parts) > 1:
        odd = parts[len(parts) // 2 * 2 :]
        parts = [np.convolve(one, other) for one, other in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0]


def _standard_error(c: np.ndarray, eta: float) -> float:
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(np.sum(c**2 / ((1 - c * eta) * (1 + c * eta))))


def _root(decreasing: Callable[[float], float], low: float, high: float) -> float:
    """Where a decreasing function is 0; the end at which it is nearest if it is so nowhere between."""
    margin = 1e-12 * (high - low)  # at the ends themselves it may be infinite
    if decreasing(low + margin) <= 0:
        return low
    if decreasing(high - margin) >= 0:
        return high
    return brentq(decreasing, low + margin, high - margin, xtol=1e-12)
