"""Tests between two commitments with a threshold on the count of agreements, and their exact errors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ._checks import as_count, as_counts, check_chance, check_level, plain, positive_c
from .model import agreement_probability


@dataclass(frozen=True)
class MonitoringTest:
    """
    A test of H0 "η ≤ eta0" against H1 "η ≥ eta1" that rejects H0, and so accepts the annotator, at `threshold` agreements
    or more.

    Args:
        eta0 (`float`):
            Largest commitment under H0.
        eta1 (`float`):
            Smallest commitment under H1.
        n (`int`):
            Number of checks.
        c (`float`):
            Of the monitor.
        chance (`float`):
            Agreement of guesses.
        threshold (`int`):
            Smallest number of agreements that rejects H0; n + 1 rejects never.
        boundary_probability (`float`):
            Probability of rejecting at `threshold − 1` agreements; 0 unless the test is randomised.
        type_1 (`float`):
            Exact probability of rejecting H0 at eta0.
        type_2 (`float`):
            Exact probability of not rejecting it at eta1.
        method (`str`):
            What the threshold was chosen for.
    """

    eta0: float
    eta1: float
    n: int
    c: float
    chance: float
    threshold: int
    boundary_probability: float
    type_1: float
    type_2: float
    method: str

    @property
    def power(self) -> float:
        """Probability of rejecting H0 at eta1."""
        return 1 - self.type_2

    @property
    def error_sum(self) -> float:
        """Type I plus type II error."""
        return self.type_1 + self.type_2

    def power_at(self, eta: ArrayLike) -> float | np.ndarray:
        """Probability of rejecting H0 at any commitment."""
        q = agreement_probability(eta, self.c, self.chance)
        certain = stats.binom.sf(self.threshold - 1, self.n, q)
        return plain(certain + self.boundary_probability * stats.binom.pmf(self.threshold - 1, self.n, q))

    def p_value(self, agreements: ArrayLike) -> float | np.ndarray:
        """Exact p-value of H0, \\( P(X \\ge \\) `agreements` \\( ) \\) at eta0, without randomisation."""
        agreements = as_counts(agreements, "agreements", 0)
        if (agreements > self.n).any():
            raise ValueError(f"agreements must be at most n = {self.n}, got {agreements.max()}")
        return plain(stats.binom.sf(agreements - 1, self.n, agreement_probability(self.eta0, self.c, self.chance)))


def monitoring_test(
    eta0: float,
    eta1: float,
    n: int,
    c: float,
    alpha: float | None = 0.05,
    *,
    randomized: bool = False,
    chance: float = 0.5,
) -> MonitoringTest:
    r"""
    The uniformly most powerful test that an annotator's commitment exceeds eta0, with its exact errors.

    The number of agreements is binomial and has a monotone likelihood ratio in η, so that a threshold on it is most
    powerful for its type I error at every η > eta0 (Karlin–Rubin). The errors are those of the exact distribution, not
    of a normal one. Whole numbers seldom meet `alpha`; without randomisation, type I stays below it.

    References:
        - How Humans Help LLMs, proposition 2.
        - Lehmann and Romano, Testing Statistical Hypotheses, 2005, theorem 3.4.1.

    Args:
        eta0 (`float`):
            Largest commitment that is not good enough, in [0, 1).
        eta1 (`float`):
            Commitment at which the type II error is given, in (eta0, 1].
        n (`int`):
            Number of independent checks.
        c (`float`):
            From [`self_consistency_c`] or [`expert_c`].
        alpha (`float`, *optional*, defaults to `0.05`):
            Largest type I error. `None` makes the sum of both errors minimal instead: the likelihood ratio test with
            threshold 1.
        randomized (`bool`, *optional*, defaults to `False`):
            Whether to reject at one agreement less with the probability that makes type I exactly `alpha`.
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses.

    Returns:
        [`MonitoringTest`]

    Raises:
        ValueError: Values out of range or out of order, or `randomized` without `alpha`.

    Example:
        ```python
        >>> from trl_ext.annotators import monitoring_test
        >>> test = monitoring_test(eta0=0.8, eta1=0.95, n=200, c=0.98)
        >>> test.threshold, round(test.type_1, 4), round(test.power, 4)
        (186, 0.0468, 0.9957)
        ```
    """
    c, chance = positive_c(c), check_chance(chance)
    n = as_count(n, "n", 1)
    q0, q1 = _hypotheses(eta0, eta1, c, chance)
    boundary = 0.0
    if alpha is None:
        if randomized:
            raise ValueError("randomized=True needs alpha, the type I error to meet")
        threshold, method = int(_ratio_threshold(np.array(n), q0, q1)), "smallest sum of errors"
    else:
        check_level(alpha, "alpha")
        threshold, method = int(level_threshold(np.array(n), q0, alpha)), f"most powerful at level {alpha:g}"
        if randomized:
            boundary = float((alpha - stats.binom.sf(threshold - 1, n, q0)) / stats.binom.pmf(threshold - 1, n, q0))
            method += ", randomized"
    at_boundary = stats.binom.pmf(threshold - 1, n, [q0, q1]) * boundary
    return MonitoringTest(
        eta0=float(eta0),
        eta1=float(eta1),
        n=n,
        c=c,
        chance=chance,
        threshold=threshold,
        boundary_probability=boundary,
        type_1=float(stats.binom.sf(threshold - 1, n, q0) + at_boundary[0]),
        type_2=float(stats.binom.cdf(threshold - 1, n, q1) - at_boundary[1]),
        method=method,
    )


def minimal_error_sum(eta0: float, eta1: float, n: ArrayLike, c: float, *, chance: float = 0.5) -> float | np.ndarray:
    """
    Type I plus type II error of the best test with n checks, exactly. It never grows with n.

    Args:
        eta0 (`float`):
            Commitment under H0, in [0, 1).
        eta1 (`float`):
            Commitment under H1, in (eta0, 1].
        n (`array_like` of whole numbers):
            Number of checks.
        c (`float`):
            From [`self_consistency_c`] or [`expert_c`].
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses.

    Returns:
        `float` or `np.ndarray`: in the shape of `n`.

    Raises:
        ValueError: Values out of range or out of order.

    Example:
        ```python
        >>> from trl_ext.annotators import minimal_error_sum
        >>> minimal_error_sum(0.8, 1.0, [10, 200], c=0.9).round(4)
        array([0.6226, 0.0244])
        ```
    """
    c, chance = positive_c(c), check_chance(chance)
    n = as_counts(n, "n", 1)
    q0, q1 = _hypotheses(eta0, eta1, c, chance)
    threshold = _ratio_threshold(n, q0, q1)
    return plain(stats.binom.sf(threshold - 1, n, q0) + stats.binom.cdf(threshold - 1, n, q1))


def level_threshold(n: np.ndarray, q0: float, alpha: float) -> np.ndarray:
    """Smallest counts k with P(X ≥ k) ≤ alpha under q0."""
    k = stats.binom.isf(alpha, n, q0) + 1
    # the quantile may be off by one where a tail equals alpha up to rounding
    k = np.where(stats.binom.sf(k - 1, n, q0) <= alpha, k, k + 1)
    return np.where((k > 0) & (stats.binom.sf(k - 2, n, q0) <= alpha), k - 1, k)


def _ratio_threshold(n: np.ndarray, q0: float, q1: float) -> np.ndarray:
    """Smallest counts k at which H1 is at least as likely as H0."""
    if q1 == 1.0:  # a single disagreement excludes H1
        return n.copy()
    gain, loss = np.log(q1 / q0), np.log((1 - q0) / (1 - q1))
    return np.ceil(n * loss / (gain + loss))


def _hypotheses(eta0: float, eta1: float, c: float, chance: float) -> tuple[float, float]:
    if not 0 <= eta0 < eta1 <= 1:
        raise ValueError(f"eta0 and eta1 must satisfy 0 <= eta0 < eta1 <= 1, got {eta0} and {eta1}")
    return agreement_probability(eta0, c, chance), agreement_probability(eta1, c, chance)
