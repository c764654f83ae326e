"""How many nats an agreement can carry about η, and what Fano's inequality makes of it."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import xlog1py

from ._checks import as_counts, in_range, information_c, plain


UNITS = ("nats", "legacy")


def most_informative_prior(c: ArrayLike, units: Literal["nats", "legacy"] = "nats") -> float:
    r"""
    The share of committed annotators (η = 1, the others η = 0) about whom an agreement tells most.

    With entropy H it is the root w of \( \frac{c}{2}\ln\frac{1+cw}{1-cw} = H(½) - H(½ + \tfrac c2) \), near one half.

    Args:
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item; over items both sides are averaged.
        units (`"nats"` or `"legacy"`, *optional*, defaults to `"nats"`):
            `"legacy"` repeats a slip of the paper's program, which has bits on the right and nats on the left: w is
            near 0.72.

    Returns:
        `float`: w in (0, 1).

    Raises:
        ValueError: c out of range or all 0, or unknown units.

    Example:
        ```python
        >>> from trl_ext.annotators import most_informative_prior
        >>> round(most_informative_prior(0.5), 4), round(most_informative_prior(0.5, "legacy"), 4)
        (0.5116, 0.721)
        ```
    """
    c = _informative(c)
    _check_units(units)
    known = np.mean(_certainty(c)) / (1.0 if units == "nats" else np.log(2))
    if c.ndim == 0:
        return float(np.tanh(known / c) / c)
    return brentq(lambda w: np.mean(c * np.arctanh(c * w)) - known, 0.0, 1 - 1e-15, xtol=1e-15, rtol=8.9e-16)


def maximal_information(c: ArrayLike, units: Literal["nats", "legacy"] = "nats") -> float:
    r"""
    The most that one agreement can tell about η, over all prior distributions of η on [0, 1].

    The agreement probability is linear in η, so that the best prior sits on 0 and 1, with weight w of
    [`most_informative_prior`]: \( I = H(½ + \tfrac c2 w) - w\,H(½ + \tfrac c2) - (1-w)\,H(½) \).

    References:
        - Cover and Thomas, Elements of Information Theory, 2006, chapter 7: capacity of a channel.

    Args:
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item when it is known which item an agreement comes from (the mean over items).
        units (`"nats"` or `"legacy"`, *optional*, defaults to `"nats"`):
            `"legacy"` is the number of the paper's program: in bits, at the `"legacy"` prior.

    Returns:
        `float`: nats (`"legacy"`: bits) per agreement.

    Raises:
        ValueError: c out of range or all 0, or unknown units.

    Example:
        ```python
        >>> from trl_ext.annotators import maximal_information
        >>> round(maximal_information(0.5), 5)
        0.03384
        ```
    """
    c = _informative(c)
    w = most_informative_prior(c, units)
    information = np.mean(w * _certainty(c) - _certainty(c * w))
    return float(information / (1.0 if units == "nats" else np.log(2)))


def fano_error_bound(
    n: ArrayLike, c: ArrayLike, separation: float, units: Literal["nats", "legacy"] = "nats"
) -> float | np.ndarray:
    r"""
    Fano's bound: among the \( M = \lfloor 1/\epsilon \rfloor + 1 \) commitments \( 0, \epsilon, 2\epsilon, \dots \) there
    is one that every estimator misses by at least ε/2 with probability at least \( 1 - (n I + \ln 2)/\ln M \).

    References:
        - How Humans Help LLMs, the bound by mutual information, with \( \ln(1 + 1/\epsilon) \).
        - Tsybakov, Introduction to Nonparametric Estimation, 2009, section 2.7.1.

    Args:
        n (`array_like`):
            Number of agreements.
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item.
        separation (`float`):
            Distance ε between neighbouring commitments, in (0, 1].
        units (`"nats"` or `"legacy"`, *optional*, defaults to `"nats"`):
            `"legacy"` is what the paper's program computes: I in bits beside ln 2 in nats, divided by
            \( 1/\sqrt{2\epsilon} + 1 \) instead of a logarithm. It is no bound.

    Returns:
        `float` or `np.ndarray`: in the shape of `n`; `"nats"` is at least 0.

    Raises:
        ValueError: Values out of range, or unknown units.

    Example:
        ```python
        >>> from trl_ext.annotators import fano_error_bound
        >>> round(fano_error_bound(10, 0.5, 0.05), 3), round(fano_error_bound(10, 0.5, 0.05, "legacy"), 3)
        (0.661, 0.737)
        ```
    """
    n = as_counts(n, "n", 0)
    if not 0 < separation <= 1:
        raise ValueError(f"separation must lie in (0, 1], got {separation}")
    learned = n * maximal_information(c, units) + np.log(2)
    if units == "legacy":
        return plain(1 - learned / (1 / np.sqrt(2 * separation) + 1))
    points = np.floor(1 / separation + 1e-9) + 1  # 1/0.1 may round below 10
    return plain(np.maximum(0.0, 1 - learned / np.log(points)))


def mutual_information(c: ArrayLike, eta: ArrayLike | None = None, weights: ArrayLike | None = None) -> float:
    r"""
    Mutual information in nats of one agreement and η, exactly, for a discrete prior on η.

    Args:
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item when it is known which item an agreement comes from (the mean over items).
        eta (`array_like` of shape `(K,)`, *optional*):
            Points of the prior, in [−1, 1]; by default 0, 0.01, …, 1.
        weights (`array_like` of shape `(K,)`, *optional*):
            Their probabilities, divided by their sum; equal by default.

    Returns:
        `float`: nats per agreement.

    Raises:
        ValueError: Values out of range or of different shapes.

    Example:
        ```python
        >>> from trl_ext.annotators import mutual_information
        >>> round(mutual_information(0.98), 4)
        0.0595
        ```
    """
    c = information_c(c)
    eta = np.linspace(0, 1, 101) if eta is None else in_range(eta, "eta", -1, 1)
    weights = np.ones_like(eta) if weights is None else in_range(weights, "weights", 0, np.inf)
    if eta.ndim != 1 or weights.shape != eta.shape or weights.sum() == 0:
        raise ValueError(f"eta and weights must have shape (K,), weights not all 0; got {eta.shape}, {weights.shape}")
    weights = weights / weights.sum()
    after = sum(weight * _certainty(c * value) for weight, value in zip(weights, eta, strict=True))
    # before it is known, η matters through its mean alone: q is linear in η
    return float(np.mean(after - _certainty(c * (weights @ eta))))


def _certainty(x: np.ndarray) -> np.ndarray:
    """ln 2 minus the entropy of Bern((1 + x)/2), without cancellation near x = 0."""
    return (xlog1py(1 + x, x) + xlog1py(1 - x, -x)) / 2


def _informative(c: ArrayLike) -> np.ndarray:
    c = information_c(c)
    if not c.any():
        raise ValueError("c is 0: an agreement tells nothing about eta")
    return c


def _check_units(units: str) -> None:
    if units not in UNITS:
        raise ValueError(f"units must be one of {', '.join(UNITS)}, got {units!r}")
