r"""
Linear contracts for one exponential utility, in plain floats: the usual case in microseconds.

With \( R = α - U_0 - E(η) \), \( u = 2E'(η)/(n c R) \) and p = 1 − q, the cheapest linear contract for effort η costs

\[ W(η) = \frac1β\Bigl[\ln\frac{α}{R} + n\,\varphi(u, q)\Bigr], \qquad \varphi = -p\ln(1 + qu) - q\ln(1 - pu) : \]

the wage of the first best, and the premium for the risk of n checks. (In the terms of docs/contracts.md, x = u/(1 + qu).)
"""

import functools
import math

from scipy.optimize import brentq

from .first_best import FirstBest
from .linear import INCENTIVE_CHECK
from .problem import ContractProblem
from .solution import ContractSolution
from .wage_utilities import ExponentialUtility


_STEPS = 25
_LEAST_EFFORT = 1e-9
# A bound on wages that is this near is met
BINDING = 1e-9
_TOLERANCE = 1e-11
# Efforts at which the optimum is compared with others: the premium for risk need not be convex
_ELSEWHERE = (0.05, 0.2, 0.4, 0.6, 0.8, 1.0)


class CARAContracts:
    """
    Cost of efforts under linear contracts that the annotator just accepts.

    Args:
        problem ([`ContractProblem`]): With an [`ExponentialUtility`] of one term.
        c (`float`): Information of one check, above 0.
        n (`int`): Number of checks.
    """

    def __init__(self, problem: ContractProblem, c: float, n: int):
        ((self.alpha, self.beta),) = problem.utility.terms
        self.cost, self.benefit, self.reservation = problem.cost.expand, problem.benefit.expand, problem.reservation
        self.c, self.n = c, n

    def value(self, effort: float) -> float:
        """Benefit less expected wage; `-inf` where no contract pays for the effort."""
        cost, marginal, _ = self.cost(effort)
        distance = self.alpha - self.reservation - cost
        if not distance > 0:
            return -math.inf
        q = (1 + self.c * effort) / 2
        u = 2 * marginal / (self.n * self.c * distance)
        if not (1 - q) * u < 1:
            return -math.inf
        risk = -(1 - q) * math.log1p(q * u) - q * math.log1p(-(1 - q) * u)
        return self.benefit(effort)[0] - (math.log(self.alpha / distance) + self.n * risk) / self.beta

    def slope(self, effort: float) -> float:
        """Derivative of [`value`] in effort; `nan` where that is `-inf`."""
        cost, marginal, bend = self.cost(effort)
        distance = self.alpha - self.reservation - cost
        if not distance > 0:
            return math.nan
        half = self.c / 2
        q = (1 + self.c * effort) / 2
        p = 1 - q
        u = marginal / (self.n * half * distance)
        if not p * u < 1:
            return math.nan
        more, less = 1 + q * u, 1 - p * u
        u_slope = (bend + marginal * marginal / distance) / (self.n * half * distance)
        risk_slope = p * q * u / (more * less) * u_slope
        risk_slope += half * (math.log1p(q * u) - math.log1p(-p * u) - u * (p / more + q / less))
        return self.benefit(effort)[1] - (marginal / distance + self.n * risk_slope) / self.beta

    def terms(self, effort: float) -> tuple[float, float, float]:
        """Base, slope and expected wage for an effort that a contract pays for."""
        cost, marginal, _ = self.cost(effort)
        distance = self.alpha - self.reservation - cost
        q = (1 + self.c * effort) / 2
        u = 2 * marginal / (self.n * self.c * distance)
        log_more = math.log1p(q * u)
        slope = self.n / self.beta * (log_more - math.log1p(-(1 - q) * u))
        base = (math.log(self.alpha / distance) - self.n * log_more) / self.beta
        return base, slope, base + slope * q


def best_interior_effort(problem: ContractProblem, c: float, n: int, best: FirstBest) -> float | None:
    """
    The effort in (0, 1) that leaves the employer most: by the secant method from the first best, else around the best of a few.

    Returns:
        `float` or `None`: `None` where the usual case is not at hand: another utility, an optimum at an end, several
        optima, no contract near the first best.
    """
    if best.corner is not None or not isinstance(problem.utility, ExponentialUtility):
        return None
    if len(problem.utility.terms) != 1:
        return None
    contracts = CARAContracts(problem, c, n)
    effort = _root(contracts.slope, best.effort)
    if effort is None:
        effort = _root_around_best(contracts)
    if effort is None:
        return None
    step = min(1e-4, effort / 2, (1 - effort) / 2)
    if not contracts.slope(effort - step) > 0 > contracts.slope(effort + step):  # a minimum, or a flat part
        return None
    value = contracts.value(effort)
    others = max(map(contracts.value, _ELSEWHERE))
    return effort if value > others and value > _value_without_effort(problem) else None


@functools.lru_cache(maxsize=256)
def _value_without_effort(problem: ContractProblem) -> float:
    """Of a flat wage, which has no premium for risk: at no effort the cheapest contract jumps."""
    wage = problem.utility.inverse(problem.cost.value(0.0) + problem.reservation)
    return float(problem.benefit.value(0.0) - wage)


def interior_solution(
    problem: ContractProblem, c: float, n: int, wage_bounds: tuple[float, float], best: FirstBest, effort: float
) -> ContractSolution | None:
    """The contract for an effort of [`best_interior_effort`]; `None` if it breaks the bounds on wages."""
    base, slope, wage = CARAContracts(problem, c, n).terms(effort)
    if not (base > wage_bounds[0] + BINDING and slope < wage_bounds[1] - BINDING):
        return None
    value = problem.benefit.expand(effort)[0] - wage
    return ContractSolution(
        "linear",
        "second_best",
        c,
        n,
        feasible=True,
        reason="",
        value=value,
        effort=effort,
        expected_wage=wage,
        agent_utility=float(problem.reservation),
        gap=best.value - value,
        base=base,
        slope=slope,
        participation_binds=True,
        incentive_check=INCENTIVE_CHECK,
    )


def _root(slope, start: float) -> float | None:
    """A zero of `slope` in (0, 1) near `start`."""
    before, at_before = start, slope(start)
    effort = start - 1e-3
    for _ in range(_STEPS):
        if not 0 < effort < 1:
            return None
        at_effort = slope(effort)
        if at_effort == at_before or math.isnan(at_effort):
            return None
        following = effort - at_effort * (effort - before) / (at_effort - at_before)
        if abs(following - effort) < _TOLERANCE:
            return following if 0 < following < 1 else None
        before, at_before, effort = effort, at_effort, following
    return None


def _root_around_best(contracts: CARAContracts) -> float | None:
    """A zero of the slope between the neighbours of the best of a few efforts."""
    values = [contracts.value(effort) for effort in _ELSEWHERE]
    best = values.index(max(values))
    low = _ELSEWHERE[best - 1] if best else _LEAST_EFFORT
    high = _ELSEWHERE[min(best + 1, len(_ELSEWHERE) - 1)]
    if not contracts.slope(low) > 0 > contracts.slope(high):
        return None
    return brentq(contracts.slope, low, high, xtol=1e-14)
