"""Probabilities of a monitor with n checks that agree with probability q = (1 + c η)/2 each."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainc, betaincc, betaln, xlog1py, xlogy


def is_count(n: float) -> bool:
    """Whether `n` is a whole number of at least 1."""
    return bool(1 <= n < float("inf")) and int(n) == n


def agreement(eta: ArrayLike, c: float) -> np.ndarray:
    """P(one check agrees) at effort `eta`."""
    return (1 + c * np.asarray(eta, dtype=np.float64)) / 2


def pass_probability(k: ArrayLike, n: int, q: ArrayLike) -> np.ndarray:
    """P(X ≥ k) for X ~ Bin(n, q); `k` between 1 and n."""
    k = np.asarray(k, dtype=np.float64)
    return betainc(k, n - k + 1, q)


def fail_probability(k: ArrayLike, n: int, q: ArrayLike) -> np.ndarray:
    """P(X < k), exact where it is tiny."""
    k = np.asarray(k, dtype=np.float64)
    return betaincc(k, n - k + 1, q)


def pass_slope(k: ArrayLike, n: int, q: ArrayLike) -> np.ndarray:
    """dP(X ≥ k)/dq = n · P(k − 1 of n − 1 checks agree)."""
    k = np.asarray(k, dtype=np.float64)
    return np.exp(xlogy(k - 1, q) + xlog1py(n - k, -np.asarray(q)) - betaln(k, n - k + 1))


def efforts_around(threshold: int, n: int, c: float, points: int) -> np.ndarray:
    """Efforts at which the probability of the bonus changes: ten standard deviations around the threshold."""
    if c == 0:
        return np.array([])
    angle = np.arcsin(np.sqrt(np.clip((threshold - 0.5) / n, 0.0, 1.0)))
    angles = np.clip(angle + np.linspace(-5, 5, points) / np.sqrt(n), 0.0, np.pi / 2)
    effort = (2 * np.sin(angles) ** 2 - 1) / c
    return effort[(effort > 0) & (effort < 1)]


def incentive(eta: float, n: int, c: float, k: int | None = None) -> float:
    r"""
    How fast the probability of a bonus grows with effort, \( \frac{d}{d\eta} P(X \ge k) = n\,\frac{c}{2}
    \binom{n-1}{k-1} q^{k-1} (1-q)^{n-k} \), for n checks that agree with probability q = (1 + c η)/2.

    Args:
        eta (`float`):
            Effort in [0, 1].
        n (`int`):
            Number of checks.
        c (`float`):
            Information of one check, in [−1, 1].
        k (`int`, *optional*):
            The bonus is paid if at least `k` checks agree. By default the smallest number above the mean n q, where
            the incentive is about largest; it jumps where n q passes a whole number.

    Raises:
        ValueError: Arguments out of range, or numbers of checks that are not whole.

    Returns:
        The derivative, per unit of effort; 0 for k ≤ 0 and k > n, where effort changes nothing.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import incentive
        >>> round(incentive(0.9, n=10, c=1.0), 6)
        3.151247

        ```
    """
    q = float(agreement(eta, c))
    if not (0 <= eta <= 1 and -1 <= c <= 1 and is_count(n)):
        raise ValueError(f"need eta in [0, 1], c in [-1, 1] and a whole number n >= 1, got eta={eta}, c={c}, n={n}")
    if k is not None and int(k) != k:
        raise ValueError(f"k is a whole number of agreements, got {k}")
    if k is None:
        k = int(np.floor(n * q + 1e-9)) + 1  # n q may come out just below a whole number
    if not 1 <= k <= n:
        return 0.0
    return float(c / 2 * pass_slope(k, n, q))
