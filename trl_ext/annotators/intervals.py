"""Confidence intervals of an agreement probability from the exact binomial distribution."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import betainc

from ._checks import as_counts, check_level


INTERVALS = ("mid-p", "clopper-pearson")
_MOST_STEPS = 100


def agreement_interval(
    agreements: ArrayLike,
    n: ArrayLike,
    level: float = 0.95,
    method: Literal["mid-p", "clopper-pearson"] = "mid-p",
) -> tuple[np.ndarray, np.ndarray]:
    """
    Confidence interval of the probability that labels agree, for many counts at once.

    - `"mid-p"`: all probabilities under which neither P(more) + ½P(as many) nor P(fewer) + ½P(as many) is below half of
      1 − level. Its coverage lies around the level, on either side.
    - `"clopper-pearson"`: the same with whole P(as many). Its coverage is never below the level, and mostly well above.

    References:
        - Clopper and Pearson, The Use of Confidence or Fiducial Limits Illustrated in the Case of the Binomial, 1934.
        - Berry and Armitage, Mid-P Confidence Intervals: a Brief Review, 1995.

    Args:
        agreements (`array_like` of whole numbers):
            Number of agreements.
        n (`array_like` of whole numbers):
            Number of checks, at least 1; it broadcasts against `agreements`. Checks are taken as independent.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`"mid-p"` or `"clopper-pearson"`, *optional*, defaults to `"mid-p"`):
            Which interval.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: lower and upper ends, in the common shape.

    Raises:
        ValueError: Counts that don't fit together, a level outside (0, 1) or an unknown method.

    Example:
        ```python
        >>> from trl_ext.annotators import agreement_interval
        >>> low, high = agreement_interval([0, 9], 10)
        >>> low.round(3), high.round(3)
        (array([0.   , 0.597]), array([0.259, 0.995]))
        ```
    """
    check_level(level)
    if method not in INTERVALS:
        raise ValueError(f"method must be one of {', '.join(INTERVALS)}, got {method!r}")
    k, n = np.broadcast_arrays(as_counts(agreements, "agreements", 0), as_counts(n, "n", 1))
    if (k > n).any():
        raise ValueError(f"agreements must be at most n, got {k[k > n][0]} of {n[k > n][0]}")
    tail = (1 - level) / 2
    if method == "clopper-pearson":
        # the parameters of the ends that are 0 and 1 whatever they are must stay positive
        low = np.where(k > 0, stats.beta.ppf(tail, np.maximum(k, 1), n - k + 1), 0.0)
        return low, np.where(k < n, stats.beta.isf(tail, k + 1, np.maximum(n - k, 1)), 1.0)
    low, high = np.zeros(k.shape), np.ones(k.shape)
    some, not_all = k > 0, k < n
    low[some] = _mid_p_root(k[some], n[some], tail)
    high[not_all] = _mid_p_root(k[not_all], n[not_all], 1 - tail)
    return low, high


def _mid_p_root(k: np.ndarray, n: np.ndarray, value: float) -> np.ndarray:
    """The probability q at which P(X > k) + ½P(X = k), which grows with q, is `value`: Newton steps between bounds."""
    last = np.maximum(n - k, 1)  # a parameter that must be positive even where k = n leaves nothing above
    low, high = np.zeros(k.shape), np.ones(k.shape)
    z = stats.norm.ppf(value)
    q = (k + z**2 / 2 + z * np.sqrt(k * (n - k) / n + z**2 / 4)) / (n + z**2)  # the end of Wilson's interval
    q = np.clip(q, 1e-12, 1 - 1e-12)
    for _ in range(_MOST_STEPS):
        as_many = stats.binom.pmf(k, n, q)
        missing = value - np.where(k < n, betainc(k + 1, last, q), 0.0) - as_many / 2
        low, high = np.where(missing > 0, q, low), np.where(missing > 0, high, q)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # the derivatives of P(X >= k) and P(X > k) are k/q and (n - k)/(1 - q) times P(X = k)
            step = q + 2 * missing / (as_many * (k / q + (n - k) / (1 - q)))
        following = np.where((step >= low) & (step <= high), step, (low + high) / 2)
        converged = np.all(np.abs(following - q) <= 1e-9 * q * (1 - q))  # the next step would be of the order of 1e-18
        q = following
        if converged:
            break
    return q
