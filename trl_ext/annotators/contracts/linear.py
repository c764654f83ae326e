"""Linear contracts: wage = base + slope · (share of the n checks that agree)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, xlog1py, xlogy

from .problem import ContractProblem
from .search import maximise
from .wage_utilities import ExponentialUtility


# E[G(wage)] is concave in the probability of agreement for every concave G (Bernstein operators keep concavity) and the
# cost is convex: what is best among small changes of effort is best among all.
INCENTIVE_CHECK = "exact: expected utility is concave in effort, so the first-order condition suffices"


@dataclass(frozen=True)
class LinearTerms:
    """Cheapest linear contracts for the efforts asked for, one per entry; `nan` where there is none."""

    base: np.ndarray
    slope: np.ndarray
    expected_wage: np.ndarray
    feasible: np.ndarray
    too_steep: np.ndarray


def cheapest_terms(
    problem: ContractProblem, c: float, n: int, effort: np.ndarray, wage_bounds: tuple[float, float]
) -> LinearTerms:
    """The cheapest contract within the bounds under which the annotator accepts and chooses `effort` (M,)."""
    q, required = (1 + c * effort) / 2, problem.cost.value(effort) + problem.reservation
    marginal = problem.cost.derivative(effort)
    base_low = max(wage_bounds[0], problem.utility.lower)
    with np.errstate(all="ignore"):
        if isinstance(problem.utility, ExponentialUtility) and len(problem.utility.terms) == 1:
            base, slope = _cara_terms(problem.utility, c, n, q, required, marginal)
            low = base < base_low
        else:
            base, slope = np.full_like(q, np.nan), np.full_like(q, np.nan)
            low = np.ones(q.shape, dtype=bool)
        if low.any():  # no closed form, or the annotator must be paid more than the reservation utility
            base[low], slope[low] = _numeric_terms(
                problem, c, n, q[low], required[low], marginal[low], base_low, wage_bounds[1]
            )
        wage = base + slope * q
        reachable = np.isfinite(wage)
        too_steep = reachable & (slope > wage_bounds[1])
    return LinearTerms(base, slope, wage, reachable & ~too_steep, too_steep)


def best_effort(
    problem: ContractProblem,
    c: float,
    n: int,
    wage_bounds: tuple[float, float],
    score: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> float | None:
    """The effort whose cheapest contract has the largest `score(effort, expected_wage)`."""

    def objective(effort: np.ndarray) -> np.ndarray:
        terms = cheapest_terms(problem, c, n, effort, wage_bounds)
        return np.where(terms.feasible, score(effort, terms.expected_wage), -np.inf)

    return maximise(objective, 0.0, 1.0)


def _cara_terms(utility, c, n, q, required, marginal):
    # For G(w) = alpha (1 - exp(-beta w)), x = 1 - exp(-beta slope / n) solves the first-order condition in closed form
    # once the base is such that the annotator just accepts (derived in docs/contracts.md).
    ((alpha, beta),) = utility.terms
    distance = alpha - required
    x = marginal / (n * (c / 2) * distance + q * marginal)
    x = np.where((distance > 0) & (x < 1), x, np.nan)
    slope = -n * np.log1p(-x) / beta
    base = (np.log(alpha / distance) + n * np.log1p(-q * x)) / beta
    return base, slope


def _numeric_terms(problem, c, n, q, required, marginal, base_low, slope_high):
    """Root of the first-order condition in the slope; the base follows from it by acceptance or the lower bound."""
    moments = make_moments(problem, n, q)
    sure = problem.utility.inverse(required)  # the wage that would do without risk
    sure = np.where(np.isfinite(sure), sure, np.nan)

    def incentive(slope):
        """Base, utility it lacks for acceptance, expected marginal utility of effort, and its derivative in the slope."""
        # by Jensen the base is at least this; from there Newton's method rises monotonically, unless G' is singular
        base = low = np.maximum(sure - slope * q, base_low)
        high = np.maximum(sure, low)
        for _ in range(200):
            expected, by_base, by_slope, steps, steps_by_base, steps_by_slope = moments(base, slope)
            lacking = required - expected
            low, high = np.where(lacking > 0, base, low), np.where(lacking > 0, high, base)
            newton = base + lacking / by_base
            inside = (newton >= low) & (newton <= high) & np.isfinite(by_base)
            following = np.where(inside, newton, (low + high) / 2)
            # at the lower bound there is nothing to solve: it leaves the annotator more than he asks
            still = np.abs(following - base) <= 4e-16 * (1 + np.abs(base))
            settled = still | (np.abs(lacking) <= 1e-13 * (1 + np.abs(required))) | (low == high)
            if np.all(settled | np.isnan(base)):
                break
            base = following
        follows = np.where(base > base_low, -by_slope / by_base, 0.0)
        growth = steps_by_slope + np.where(follows != 0, steps_by_base * follows, 0.0)
        return base, lacking, c / 2 * steps, c / 2 * growth

    low, high = np.zeros_like(q), np.full_like(q, slope_high)
    _, _, at_high, growth_high = incentive(high)
    # Where the annotator just accepts, incentives grow with the slope; past the lower bound they may fall again.
    reachable = ~((at_high < marginal) & (growth_high > 0))
    slope = np.clip(marginal / (c / 2 * problem.utility.derivative(sure)), 0.0, slope_high)  # right for many checks
    following = slope
    for _ in range(100):
        slope = following
        base, lacking, value, growth = incentive(slope)
        excess = value - marginal
        beyond = (excess >= 0) | (growth <= 0)
        low, high = np.where(beyond, low, slope), np.where(beyond, slope, high)
        newton = slope - excess / growth
        following = np.where((newton >= low) & (newton <= high), newton, (low + high) / 2)
        settled = (np.abs(following - slope) <= 1e-12 * (1 + slope)) | (np.abs(excess) <= 1e-12 * marginal)
        if np.all(settled | (high - low <= 1e-12) | ~reachable | np.isnan(value)):
            break
    found = reachable & (np.abs(excess) <= 1e-9 * (1 + marginal)) & (lacking <= 1e-10)
    return np.where(found, base, np.nan), np.where(found, slope, np.nan)


def make_moments(problem: ContractProblem, n: int, q: np.ndarray) -> Callable:
    """
    A function of base and slope, shapes (M,), that returns E[G], its derivatives in base and slope, n E[step of G from
    one more agreement], which is dE[G]/dq, and its derivatives in base and slope.
    """
    if isinstance(problem.utility, ExponentialUtility):
        return _exponential_moments(problem.utility, n, q)
    return _binomial_moments(problem.utility, n, q)


def _exponential_moments(utility, n, q):
    def moments(base, slope):
        totals = None
        for alpha, beta in utility.terms:
            keep = np.exp(-beta * slope / n)
            x = -np.expm1(-beta * slope / n)
            mean = 1 - q * x
            log_mean = np.log1p(-q * x)
            scale = alpha * np.exp(-beta * base + (n - 1) * log_mean)
            x_by_slope = beta / n * keep
            step = scale * n * x
            step_by_slope = scale * n * x_by_slope * (1 - (n - 1) * q * x / mean)
            term = (
                alpha - scale * mean,
                beta * scale * mean,
                scale * n * q * x_by_slope,
                step,
                -beta * step,
                step_by_slope,
            )
            totals = term if totals is None else tuple(map(np.add, totals, term))
        return totals

    return moments


def _binomial_moments(utility, n, q):
    # Agreements of the other n - 1 checks; beyond nine standard deviations the probability is below 1e-18.
    reach = 9 * np.sqrt(n) / 2 + 40
    start = np.clip(np.floor((n - 1) * q - reach), 0, n - 1)
    others = start[:, None] + np.arange(min(n, int(2 * reach) + 2))
    inside = others <= n - 1
    others = np.minimum(others, n - 1)
    column = q[:, None]
    log_pmf = xlogy(others, column) + xlog1py(n - 1 - others, -column) - betaln(others + 1, n - others) - np.log(n)
    pmf = np.where(inside, np.exp(log_pmf), 0.0)
    pmf /= pmf.sum(axis=1, keepdims=True)  # the logarithms are large, and their rounding is the same for all
    share, next_share = others / n, (others + 1) / n

    @np.errstate(invalid="ignore")
    def moments(base, slope):
        wage, next_wage = base[:, None] + slope[:, None] * share, base[:, None] + slope[:, None] * next_share
        value, next_value = utility.value(wage), utility.value(next_wage)
        marginal, next_marginal = utility.derivative(wage), utility.derivative(next_wage)
        # d/dslope of a utility is its marginal utility times the share of agreements (no share: G' may be singular)
        shared, next_shared = np.where(share > 0, marginal * share, 0.0), next_marginal * next_share
        return (
            (pmf * ((1 - column) * value + column * next_value)).sum(axis=1),
            (pmf * ((1 - column) * marginal + column * next_marginal)).sum(axis=1),
            (pmf * ((1 - column) * shared + column * next_shared)).sum(axis=1),
            n * (pmf * (next_value - value)).sum(axis=1),
            n * (pmf * (next_marginal - marginal)).sum(axis=1),
            n * (pmf * (next_shared - shared)).sum(axis=1),
        )

    return moments
