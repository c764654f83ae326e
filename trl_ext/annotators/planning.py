"""How many checks are enough."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats
from scipy.optimize import minimize_scalar
from scipy.special import rel_entr

from ._checks import check_chance, check_level, positive_c
from .model import agreement_probability
from .moments import estimator_moments
from .monitoring_test import level_threshold, minimal_error_sum, monitoring_test


_CHUNK = 4096
MAX_CHECKS = 10_000_000


class TooManyChecksError(ValueError):
    """More checks than [`plan_sample_size`] looks at."""


def _too_many(choose: str) -> TooManyChecksError:
    return TooManyChecksError(f"more than {MAX_CHECKS:,} checks would be needed; choose {choose}")


@dataclass(frozen=True)
class SamplePlan:
    """
    A number of checks, and what it promises.

    Args:
        n (`int`):
            The promise holds with n checks and with every larger number.
        first_n (`int`):
            Smallest number with which it holds at all. Exact errors go up and down with the number of checks, so that it
            may fail again between `first_n` and `n`.
        threshold (`int`, *optional*):
            Smallest number of agreements, of n, that accepts the annotator; `None` for an interval.
        type_1 (`float`):
            Exact probability of accepting at eta0; `nan` for an interval.
        type_2 (`float`):
            Exact probability of not accepting at eta1; `nan` for an interval.
        half_width (`float`):
            Expected half width of the interval, in units of η; `nan` for a test.
        criterion (`str`):
            The promise in words.
    """

    n: int
    first_n: int
    threshold: int | None
    type_1: float
    type_2: float
    half_width: float
    criterion: str


def plan_sample_size(
    c: float,
    *,
    eta0: float | None = None,
    eta1: float | None = None,
    alpha: float | None = None,
    beta: float | None = None,
    error_sum: float | None = None,
    half_width: float | None = None,
    eta: float | None = None,
    level: float | None = None,
    method: Literal["mid-p", "clopper-pearson"] | None = None,
    chance: float = 0.5,
) -> SamplePlan:
    r"""
    Number of checks for a test between two commitments, or for an interval of a given width.

    - `eta0` and `eta1`: type I error at most `alpha` and type II error at most `beta` with the test of
      [`monitoring_test`];
    - and `error_sum`: their sum at most `error_sum`, with the test that makes it minimal;
    - `half_width`: expected half width of the interval of [`estimate_eta`] at most `half_width`, where the commitment is
      `eta`. The default, 0, is the worst case. The width is that before the interval is cut to [0, 1].

    All is exact, for independent checks.

    Args:
        c (`float`):
            From [`self_consistency_c`] or [`expert_c`].
        eta0 (`float`, *optional*):
            Largest commitment that is not good enough.
        eta1 (`float`, *optional*):
            Smallest commitment that is to be recognised as good.
        alpha (`float`, *optional*, defaults to `0.05`):
            Largest type I error, of a test.
        beta (`float`, *optional*, defaults to `0.05`):
            Largest type II error, of a test.
        error_sum (`float`, *optional*):
            Largest sum of both, instead of `alpha` and `beta`.
        half_width (`float`, *optional*):
            Largest expected half width, in units of η.
        eta (`float`, *optional*, defaults to `0.0`):
            Commitment for which the width is promised, with `half_width`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the interval, with `half_width`.
        method (`"mid-p"` or `"clopper-pearson"`, *optional*, defaults to `"mid-p"`):
            Interval, with `half_width`; see [`agreement_interval`].
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses.

    Returns:
        [`SamplePlan`]

    Raises:
        ValueError: Values out of range, neither or both of a test and a width, what does not belong to the one that was
            asked for, or more than ten million checks.

    Example:
        ```python
        >>> from trl_ext.annotators import plan_sample_size
        >>> plan = plan_sample_size(0.98, eta0=0.8, eta1=0.95)
        >>> plan.n, plan.threshold, round(plan.type_1, 3), round(plan.type_2, 3)
        (142, 133, 0.05, 0.026)
        >>> plan_sample_size(0.98, half_width=0.1, eta=0.9).n
        91
        ```
    """
    c, chance = positive_c(c), check_chance(chance)
    if (eta0 is None) != (eta1 is None) or (eta0 is None) == (half_width is None):
        raise ValueError("give eta0 and eta1 for a test, or half_width for an interval")
    of_test, of_width = {"alpha": alpha, "beta": beta}, {"eta": eta, "level": level, "method": method}
    if half_width is not None:
        _refuse(of_test | {"error_sum": error_sum}, "a test: give eta0 and eta1 with it")
        of_width = {"eta": 0.0, "level": 0.95, "method": "mid-p"} | _given(of_width)
        return _plan_width(half_width, c=c, chance=chance, **of_width)
    _refuse(of_width, "an interval: give half_width with it")
    if error_sum is not None:
        _refuse(of_test, "a test without error_sum, which takes the place of both errors")
        return _plan_error_sum(eta0, eta1, c, error_sum, chance)
    return _plan_errors(eta0, eta1, c, chance=chance, **{"alpha": 0.05, "beta": 0.05} | _given(of_test))


def _given(options: dict) -> dict:
    return {name: value for name, value in options.items() if value is not None}


def _refuse(options: dict, belongs_to: str) -> None:
    for name in _given(options):
        raise ValueError(f"{name} belongs to {belongs_to}")


def _plan_errors(eta0: float, eta1: float, c: float, alpha: float, beta: float, chance: float) -> SamplePlan:
    check_level(alpha, "alpha")
    check_level(beta, "beta")
    monitoring_test(eta0, eta1, 1, c, alpha, chance=chance)  # checks the hypotheses
    q0, q1 = (agreement_probability(eta, c, chance) for eta in (eta0, eta1))
    enough = _certainly_enough(q0, q1, alpha, beta)
    n, first = enough, enough
    is_last = True
    for stop in range(enough, 0, -_CHUNK):
        numbers = np.arange(max(stop - _CHUNK, 0) + 1, stop + 1)
        holds = stats.binom.cdf(level_threshold(numbers, q0, alpha) - 1, numbers, q1) <= beta
        if is_last and not holds.all():
            n, is_last = int(numbers[~holds][-1]) + 1, False
        elif is_last:
            n = int(numbers[0])
        if not holds.any():  # far below what is needed
            break
        first = int(numbers[holds][0])
    test = monitoring_test(eta0, eta1, n, c, alpha, chance=chance)
    criterion = f"type I error <= {alpha:g} at eta {eta0:g}, type II error <= {beta:g} at eta {eta1:g}"
    return SamplePlan(n, min(first, n), test.threshold, test.type_1, test.type_2, float("nan"), criterion)


def _certainly_enough(q0: float, q1: float, alpha: float, beta: float) -> int:
    """
    A number from which on both errors hold for certain, without looking at every larger one.

    A threshold at the share t of agreements has errors of at most exp(−n KL(t, q0)) and exp(−n KL(t, q1)). The threshold
    that is most powerful at level alpha is no higher where the first is below alpha, hence its type II error no larger.
    """

    def needed(share: float) -> float:
        to_q0, to_q1 = (rel_entr(share, q) + rel_entr(1 - share, 1 - q) for q in (q0, q1))
        with np.errstate(divide="ignore"):
            return max(-np.log(alpha) / to_q0, -np.log(beta) / to_q1)

    if q1 == 1.0:  # all agree under H1
        enough = np.log(alpha) / np.log(q0)
    else:
        gap = q1 - q0
        enough = minimize_scalar(needed, bounds=(q0 + 1e-6 * gap, q1 - 1e-6 * gap), method="bounded").fun
    if not enough <= MAX_CHECKS:  # nan where both probabilities are the same number
        raise _too_many("eta0 and eta1 further apart")
    enough = int(np.ceil(enough)) + 1

    def worst_type_2(n: int) -> float:
        # the randomised test, which never gets worse with n, plus the largest probability of a count, neither
        threshold = level_threshold(np.array(n), q0, alpha)
        rest = (alpha - stats.binom.sf(threshold - 1, n, q0)) / stats.binom.pmf(threshold - 1, n, q0)
        randomised = stats.binom.cdf(threshold - 1, n, q1) - rest * stats.binom.pmf(threshold - 1, n, q1)
        return randomised + stats.binom.pmf(np.floor((n + 1) * q1), n, q1)

    if q1 == 1.0 or worst_type_2(enough) > beta:  # that largest probability matters when there are few checks
        return enough
    return _first(lambda n: worst_type_2(n) <= beta, 0, enough)


def _plan_error_sum(eta0: float, eta1: float, c: float, error_sum: float, chance: float) -> SamplePlan:
    check_level(error_sum, "error_sum")
    high = 1
    while minimal_error_sum(eta0, eta1, high, c, chance=chance) > error_sum:
        high *= 2
        if high > MAX_CHECKS:
            raise _too_many("eta0 and eta1 further apart")
    # more checks never make the best test worse
    n = _first(lambda n: minimal_error_sum(eta0, eta1, n, c, chance=chance) <= error_sum, high // 2, high)
    test = monitoring_test(eta0, eta1, n, c, alpha=None, chance=chance)
    criterion = f"type I error at eta {eta0:g} plus type II error at eta {eta1:g} <= {error_sum:g}"
    return SamplePlan(n, n, test.threshold, test.type_1, test.type_2, float("nan"), criterion)


def _plan_width(half_width: float, eta: float, c: float, level: float, method: str, chance: float) -> SamplePlan:
    check_level(half_width, "half_width")
    check_level(level)

    def width(n: int) -> float:
        return estimator_moments(eta, n, c, level, method=method, chance=chance).half_width

    q = agreement_probability(eta, c, chance)
    # of the normal interval, with room for what small numbers do to the exact one
    about = (stats.norm.isf((1 - level) / 2) / (half_width * (1 - chance) * c)) ** 2 * q * (1 - q)
    if about > MAX_CHECKS:
        raise _too_many("a larger half_width")
    low, high = int(0.9 * about), int(1.1 * about) + 10
    while low > 0 and width(low) <= half_width:
        low //= 2
    while width(high) > half_width:
        high *= 2
    n = _first(lambda n: width(n) <= half_width, low, high)
    criterion = f"expected half width of the {method} interval ({level:g} level) <= {half_width:g} at eta {eta:g}"
    return SamplePlan(n, n, None, float("nan"), float("nan"), width(n), criterion)


def _first(holds, low: int, high: int) -> int:
    """Smallest number in (low, high] at which a promise holds that holds from there on."""
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
