"""What no test and no estimator of η can beat with n agreements, by Kullback–Leibler divergence."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import xlog1py

from ._checks import as_count, as_counts, check_level, in_range, information_c, plain


ERROR_BOUNDS = ("tight", "proposition_1")


def kl_divergence(eta0: ArrayLike, eta1: ArrayLike, c: ArrayLike, *, floor: float = 0.0) -> float | np.ndarray:
    r"""
    Kullback–Leibler divergence in nats of one agreement, \( \mathrm{KL}(\mathrm{Bern}(q(\eta_0)) \,\|\,
    \mathrm{Bern}(q(\eta_1))) \) with \( q(\eta) = (1 + c\,\eta)/2 \).

    For an array of items it is the mean over items: the divergence per agreement when it is known which item each
    agreement comes from.

    References:
        - How Humans Help LLMs, proposition 1 (expert) and proposition 4 (self-consistency).

    Args:
        eta0 (`array_like`):
            Commitment under the first hypothesis, in [−1, 1].
        eta1 (`array_like`):
            Commitment under the second; it broadcasts against `eta0`.
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item.
        floor (`float`, *optional*, defaults to `0.0`):
            Agreement probabilities are kept inside [floor, 1 − floor]. 0 is exact; the paper's program has 1e-4, which
            matters for items without doubt.

    Returns:
        `float` or `np.ndarray`: nats per agreement, in the common shape of the commitments; `inf` if one hypothesis rules
        out what the other allows.

    Raises:
        ValueError: Values out of range.

    Example:
        ```python
        >>> from trl_ext.annotators import kl_divergence
        >>> round(kl_divergence(0.8, 1.0, 0.5), 5)
        0.0064
        ```
    """
    eta0, eta1 = np.broadcast_arrays(in_range(eta0, "eta0", -1, 1), in_range(eta1, "eta1", -1, 1))
    c = information_c(c)
    if not 0 <= floor < 0.5:
        raise ValueError(f"floor must lie in [0, 0.5), got {floor}")
    if c.ndim:
        eta0, eta1 = eta0[..., None], eta1[..., None]
    total = sum(
        _divergence_of_outcome(*(np.clip((1 + sign * c * eta) / 2, floor, 1 - floor) for eta in (eta0, eta1)))
        for sign in (1, -1)  # agreements, disagreements; 1 - q would lose digits where q is near 1
    )
    return plain(total.mean(axis=-1) if c.ndim else total)


def _divergence_of_outcome(q0: np.ndarray, q1: np.ndarray) -> np.ndarray:
    """q0·ln(q0/q1) − q0 + q1: never negative, and with digits where q0 is near q1. What is added sums to 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        change = (q0 - q1) / q1
        value = q1 * (xlog1py(1 + change, change) - change)
    return np.where(q1 > 0, np.maximum(value, 0.0), np.where(q0 > 0, np.inf, 0.0))


def error_lower_bound(
    n: ArrayLike, kl: ArrayLike, bound: Literal["tight", "proposition_1"] = "tight"
) -> float | np.ndarray:
    r"""
    Lower bound on type I plus type II error of every test between two commitments with n agreements.

    - `"tight"`: \( \max(0,\; 1 - \sqrt{n\,\mathrm{KL}/2},\; 1 - \sqrt{1 - e^{-n\,\mathrm{KL}}}) \), from the inequalities
      of Pinsker and of Bretagnolle and Huber;
    - `"proposition_1"`: \( ½ e^{-n\,\mathrm{KL}} \), simpler and never larger.

    References:
        - How Humans Help LLMs, proposition 1.
        - Tsybakov, Introduction to Nonparametric Estimation, 2009, lemmas 2.5 and 2.6.

    Args:
        n (`array_like`):
            Number of agreements.
        kl (`array_like`):
            From [`kl_divergence`], in nats; it broadcasts against `n`.
        bound (`"tight"` or `"proposition_1"`, *optional*, defaults to `"tight"`):
            Which bound.

    Returns:
        `float` or `np.ndarray`: in [0, 1].

    Raises:
        ValueError: Negative numbers or an unknown bound.

    Example:
        ```python
        >>> from trl_ext.annotators import error_lower_bound
        >>> round(error_lower_bound(100, 0.01), 3), round(error_lower_bound(100, 0.01, "proposition_1"), 3)
        (0.293, 0.184)
        ```
    """
    _check_bound(bound)
    n, kl = np.broadcast_arrays(as_counts(n, "n", 0), in_range(kl, "kl", 0, np.inf))
    # nothing is learned without agreements, however much each would tell
    total = np.multiply(n, kl, out=np.zeros(n.shape), where=n > 0)
    return plain(_lower_bound(total, bound))


def _lower_bound(total: np.ndarray, bound: str) -> np.ndarray:
    """The bound by the divergence `total` of all agreements together."""
    if bound == "proposition_1":
        return np.exp(-total) / 2
    pinsker = 1 - np.sqrt(total / 2)
    bretagnolle_huber = 1 - np.sqrt(-np.expm1(-total))
    return np.maximum(0.0, np.maximum(pinsker, bretagnolle_huber))


def samples_until_error(
    error: float, kl: ArrayLike, bound: Literal["tight", "proposition_1"] = "tight"
) -> int | float | np.ndarray:
    """
    Smallest n at which [`error_lower_bound`] is at most `error`: fewer agreements cannot suffice, more may be needed.

    [`plan_sample_size`] says how many do suffice.

    References:
        - How Humans Help LLMs, proposition 1.

    Args:
        error (`float`):
            Type I plus type II error, in (0, 1).
        kl (`array_like`):
            From [`kl_divergence`], in nats.
        bound (`"tight"` or `"proposition_1"`, *optional*, defaults to `"tight"`):
            Which bound.

    Returns:
        `int`, or `np.ndarray` of floats in the shape of `kl`; `inf` where KL is 0.

    Raises:
        ValueError: `error` or `kl` out of range, or an unknown bound.

    Example:
        ```python
        >>> from trl_ext.annotators import kl_divergence, samples_until_error
        >>> samples_until_error(0.2, kl_divergence(0.8, 1.0, 0.5))
        200
        ```
    """
    _check_bound(bound)
    check_level(error, "error")
    kl = in_range(kl, "kl", 0, np.inf)
    if bound == "proposition_1":
        needed = max(-np.log(2 * error), 0.0)
    else:
        needed = max(2 * (1 - error) ** 2, -np.log1p(-((1 - error) ** 2)))
    with np.errstate(divide="ignore", invalid="ignore"):
        about = np.where(kl > 0, np.ceil(needed / kl), np.inf if needed else 0.0)
        # division may round across a whole number
        near = np.maximum(about + np.array([-1, 0, 1]).reshape(-1, *[1] * kl.ndim), 0)
        enough = _lower_bound(near * kl, bound) <= error
    n = np.where(np.isfinite(about), np.take_along_axis(near, enough.argmax(axis=0)[None], axis=0)[0], about)
    return n if n.ndim else (int(n) if np.isfinite(n) else float(n))


def minimax_error_bound(n: int, c: ArrayLike) -> float:
    r"""
    Lower bound on the worst expected error \( \sup_\eta E|\hat\eta - \eta| \) of every estimator with n agreements.

    The two-point bound \( \max ¼|\eta_0 - \eta_1|\,e^{-n\,\mathrm{KL}(\eta_1 \| \eta_0)} \) at its best pair, which has
    \( \eta_0 = 0 \), where an agreement tells least. For many agreements it is \( 0.1516/(|c|\sqrt n) \).

    References:
        - How Humans Help LLMs, propositions 3 and 5: Ω(1/(|c|√n)).

    Args:
        n (`int`):
            Number of agreements.
        c (`float` or `array_like` of shape `(N,)`):
            One c, or one per item.

    Returns:
        `float`: in units of η.

    Raises:
        ValueError: Values out of range.

    Example:
        ```python
        >>> from trl_ext.annotators import minimax_error_bound
        >>> round(minimax_error_bound(100, 0.98), 4)
        0.0155
        ```
    """
    n = as_count(n, "n", 0)
    c = information_c(c)
    if not c.any() or n == 0:
        return 0.25  # nothing is learned: the pair 0, 1
    found = minimize_scalar(
        lambda log_eta: n * kl_divergence(np.exp(log_eta), 0.0, c) - log_eta,
        bounds=(-0.5 * np.log(n * np.mean(c**2)) - 3, 0.0) if n * np.mean(c**2) > 1e-2 else (-1.0, 0.0),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return float(max(np.exp(-found.fun), np.exp(-n * kl_divergence(1.0, 0.0, c))) / 4)


def _check_bound(bound: str) -> None:
    if bound not in ERROR_BOUNDS:
        raise ValueError(f"bound must be one of {', '.join(ERROR_BOUNDS)}, got {bound!r}")
