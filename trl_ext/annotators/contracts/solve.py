"""Which contract to offer: second best and restricted second best, linear and binary."""

from collections.abc import Callable

import numpy as np

from . import binary, linear, linear_cara
from .first_best import FirstBest, first_best
from .monitor import agreement, fail_probability, is_count, pass_probability
from .problem import ContractProblem
from .solution import ContractSolution


CONTRACTS = ("linear", "binary")
REGIMES = ("second_best", "restricted")
DEFAULT_WAGE_BOUNDS = (-10.0, 10.0)
INCENTIVE_TOLERANCE = 1e-9

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


def solve_contract(
    problem: ContractProblem,
    c: float,
    n: int,
    contract: str = "linear",
    regime: str = "second_best",
    wage_bounds: tuple[float, float] = DEFAULT_WAGE_BOUNDS,
    effort: float | None = None,
    incentive_tolerance: float = INCENTIVE_TOLERANCE,
) -> ContractSolution:
    r"""
    The contract that leaves the employer most, given that effort is seen only through `n` checks, each of which agrees
    with probability \( q = (1 + c\,\eta)/2 \).

    The annotator accepts a contract if it gives him the reservation utility, and then chooses the effort that he likes
    best. A *linear* contract pays base + slope · (share of agreements); a *binary* one pays a base, and a bonus if at
    least `threshold` checks agree. The monitor enters through `c` alone: c = 1 − δ for self-consistency in the
    paper's convention (1 − 2δ if δ is the probability that a committed annotator contradicts himself), c = mean
    4 (p − ½)(p_e − ½) for an expert.

    Args:
        problem ([`ContractProblem`]):
            Utility, cost, benefit and reservation utility.
        c (`float`):
            Information of one check, in [−1, 1]. With c ≤ 0 agreement does not reward effort and only a flat wage is
            left.
        n (`int`):
            Number of checks, at least 1.
        contract (`str`, defaults to `"linear"`):
            `"linear"` or `"binary"`.
        regime (`str`, defaults to `"second_best"`):
            `"second_best"` chooses the effort too; `"restricted"` asks for the effort of the first best, or for
            `effort`.
        wage_bounds (`tuple[float, float]`, defaults to `(-10, 10)`):
            Lowest base and largest slope or bonus, in units of wage. Without bounds a tiny chance of a huge penalty
            would do almost as well as seeing the effort.
        effort (`float`, *optional*):
            Effort to ask for in the restricted regime, instead of that of the first best.
        incentive_tolerance (`float`, defaults to `1e-9`):
            Utility by which another effort may be better for the annotator (binary; linear contracts are exact).

    Raises:
        ValueError: An unknown contract or regime, c outside [−1, 1], n that is no whole number of at least 1, bounds that
            are not finite or under which utility is minus infinity, or an `effort` in the second best.
        TypeError: A problem of another class.

    Returns:
        [`ContractSolution`]; `feasible=False` with the reason, and `nan` for values, where no contract does. The
        second best is at worst a flat wage for no effort.

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387, section 4. The closed form for linear contracts and
          the rates of [`contract_rates`] are derived in docs/contracts.md.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import PROFILES, solve_contract
        >>> solution = solve_contract(PROFILES["paper_high"], c=0.98, n=101)
        >>> round(solution.value, 7), round(solution.effort, 4), round(solution.base, 4), round(solution.slope, 4)
        (0.3025163, 0.9456, -0.619, 0.8248)
        >>> solution = solve_contract(PROFILES["paper_high"], c=0.98, n=101, contract="binary")
        >>> round(solution.value, 7), solution.threshold, round(solution.bonus, 4)
        (0.3021293, 94, 0.1819)

        ```
    """
    c, n, wage_bounds = check_arguments(problem, c, n, contract, wage_bounds)
    if regime not in REGIMES:
        raise ValueError(f"regime must be one of {REGIMES}, got {regime!r}")
    if effort is not None and not (regime == "restricted" and 0 <= effort <= 1):
        raise ValueError(f"effort is for regime='restricted' and in [0, 1], got {effort} with regime {regime!r}")
    best = first_best(problem)
    if contract == "linear" and regime == "second_best" and c > 0:
        usual = linear_cara.best_interior_effort(problem, c, n, best)
        if usual is not None:
            solution = linear_cara.interior_solution(problem, c, n, wage_bounds, best, usual)
            if solution is not None:
                return solution

    def value(effort: np.ndarray, wage: np.ndarray) -> np.ndarray:
        return problem.benefit.value(effort) - wage

    if regime == "restricted":
        effort = best.effort if effort is None else float(effort)
        if np.isnan(effort):
            return _infeasible(contract, regime, c, n, "no wage gives the reservation utility")
        return implement(problem, c, n, contract, effort, wage_bounds, best, incentive_tolerance)
    return choose_effort(problem, c, n, contract, wage_bounds, best, value, incentive_tolerance)


def check_arguments(
    problem: ContractProblem, c: float, n: int, contract: str, wage_bounds: tuple[float, float]
) -> tuple[float, int, tuple[float, float]]:
    if not isinstance(problem, ContractProblem):
        raise TypeError(
            f"problem must be a ContractProblem, e.g. PROFILES['paper_high'], got {type(problem).__name__}"
        )
    if contract not in CONTRACTS:
        raise ValueError(f"contract must be one of {CONTRACTS}, got {contract!r}")
    if not -1 <= c <= 1:
        raise ValueError(f"c must be in [-1, 1], the information of one check, got {c}")
    if not is_count(n):
        raise ValueError(f"n must be a whole number of checks, at least 1, got {n}")
    base_low, bonus_high = map(float, wage_bounds)
    if not (np.isfinite(base_low) and 0 <= bonus_high < np.inf):
        raise ValueError(
            f"wage_bounds must be a finite lowest base and a finite bonus of at least 0, got {wage_bounds}"
        )
    lowest = max(base_low, problem.utility.lower)
    if contract == "binary" and not np.isfinite(problem.utility.value(lowest)):
        raise ValueError(
            f"the utility of the lowest base, {lowest:g}, is minus infinity: the smallest chance of it would deter from "
            "anything, and there is no best binary contract. Give wage_bounds with a lowest base inside the domain of "
            "the utility"
        )
    return float(c), int(n), (base_low, bonus_high)


def choose_effort(
    problem: ContractProblem,
    c: float,
    n: int,
    contract: str,
    wage_bounds: tuple[float, float],
    best: FirstBest,
    score: Score,
    tolerance: float = INCENTIVE_TOLERANCE,
) -> ContractSolution:
    """The contract with the largest `score(effort, expected_wage)`; `-inf` refuses a contract."""
    flat = _flat_contract(problem, c, n, contract, "second_best", wage_bounds, best)
    found = None
    if c > 0 and contract == "linear":
        effort = linear.best_effort(problem, c, n, wage_bounds, score)
        if effort is not None:
            found = _linear_solution(problem, c, n, "second_best", wage_bounds, best, effort)
    elif c > 0:
        search = binary.BinarySearch(problem, c, n, wage_bounds, tolerance, score)
        pair = search.solve()
        if pair is not None:
            found = _binary_solution(search, "second_best", best, *pair)

    def rank(solution: ContractSolution | None) -> float:
        if solution is None or not solution.feasible:
            return -np.inf
        return float(score(np.asarray(solution.effort), np.asarray(solution.expected_wage)))

    return found if found is not None and rank(found) > rank(flat) else flat


def implement(
    problem: ContractProblem,
    c: float,
    n: int,
    contract: str,
    effort: float,
    wage_bounds: tuple[float, float],
    best: FirstBest,
    tolerance: float = INCENTIVE_TOLERANCE,
) -> ContractSolution:
    """The cheapest contract under which the annotator chooses `effort`."""
    if effort == 0:
        return _flat_contract(problem, c, n, contract, "restricted", wage_bounds, best)
    if c <= 0:
        return _infeasible(contract, "restricted", c, n, "c <= 0: agreement does not reward effort")
    if contract == "linear":
        return _linear_solution(problem, c, n, "restricted", wage_bounds, best, effort)
    search = binary.BinarySearch(
        problem, c, n, wage_bounds, tolerance, lambda effort, wage: problem.benefit.value(effort) - wage
    )
    pair = search.solve(effort)
    if pair is None:
        return _infeasible("binary", "restricted", c, n, _why_no_binary(search, effort))
    return _binary_solution(search, "restricted", best, *pair)


def _infeasible(contract: str, regime: str, c: float, n: int, reason: str) -> ContractSolution:
    return ContractSolution(contract, regime, c, n, feasible=False, reason=reason)


def _flat_contract(problem, c, n, contract, regime, wage_bounds, best) -> ContractSolution:
    required = problem.reservation + float(problem.cost.value(0.0))
    wage = float(problem.utility.inverse(required))
    base = max(wage, wage_bounds[0], problem.utility.lower)
    if not np.isfinite(base):
        return _infeasible(contract, regime, c, n, "no wage gives the reservation utility, even for no effort")
    value = float(problem.benefit.value(0.0)) - base
    terms = {"slope": 0.0}
    if contract == "binary":
        passing = float(pass_probability(n, n, agreement(0.0, c)))
        terms = {"bonus": 0.0, "threshold": n, "pass_probability": passing}
    return ContractSolution(
        contract,
        regime,
        c,
        n,
        feasible=True,
        reason="a flat wage for no effort",
        value=value,
        effort=0.0,
        expected_wage=base,
        agent_utility=float(problem.utility.value(base)) - float(problem.cost.value(0.0)),
        gap=best.value - value,
        base=base,
        participation_binds=bool(base == wage),
        wage_bound_binds=bool(base > wage),
        incentive_check="exact: the wage does not depend on effort",
        **terms,
    )


def _linear_solution(problem, c, n, regime, wage_bounds, best, effort) -> ContractSolution:
    terms = linear.cheapest_terms(problem, c, n, np.array([effort]), wage_bounds)
    if not terms.feasible[0]:
        if terms.too_steep[0]:
            reason = f"the slope needed, {terms.slope[0]:.6g}, exceeds the bound {wage_bounds[1]:g}"
        else:
            reason = f"no linear contract of {n} checks within the wage bounds makes effort {effort:.6g} worthwhile"
        return _infeasible("linear", regime, c, n, reason)
    base, slope, wage = float(terms.base[0]), float(terms.slope[0]), float(terms.expected_wage[0])
    expected = linear.make_moments(problem, n, agreement(np.array([effort]), c))(terms.base, terms.slope)[0]
    utility = float(expected[0]) - float(problem.cost.value(effort))
    value = float(problem.benefit.value(effort)) - wage
    lowest = max(wage_bounds[0], problem.utility.lower)
    return ContractSolution(
        "linear",
        regime,
        c,
        n,
        feasible=True,
        reason="",
        value=value,
        effort=effort,
        expected_wage=wage,
        agent_utility=utility,
        gap=best.value - value,
        base=base,
        slope=slope,
        participation_binds=bool(utility <= problem.reservation + 1e-9),
        wage_bound_binds=bool(base <= lowest + 1e-9 or slope >= wage_bounds[1] - 1e-9),
        incentive_check=linear.INCENTIVE_CHECK,
    )


def _binary_solution(search: binary.BinarySearch, regime, best, k, effort) -> ContractSolution:
    problem = search.problem
    terms = search.terms(np.array([[k]]), np.array([[effort]]))
    base, bonus, wage = (float(part[0, 0]) for part in (terms.base, terms.bonus, terms.expected_wage))
    fail = float(fail_probability(k, search.n, agreement(effort, search.c)))
    top_utility = float(problem.utility.value(base + bonus))
    utility = top_utility - fail * float(terms.spread[0, 0]) - float(problem.cost.value(effort))
    value = float(problem.benefit.value(effort)) - wage
    replies, utilities = binary.best_replies(problem, search.c, search.n, k, float(terms.spread[0, 0]))
    rivals = np.abs(replies - effort) > 1e-3
    return ContractSolution(
        "binary",
        regime,
        search.c,
        search.n,
        feasible=True,
        reason="",
        value=value,
        effort=effort,
        expected_wage=wage,
        agent_utility=utility,
        gap=best.value - value,
        base=base,
        bonus=bonus,
        threshold=k,
        pass_probability=1 - fail,
        participation_binds=bool(utility <= problem.reservation + 1e-9),
        wage_bound_binds=bool(base <= search.base_low + 1e-9 or bonus >= search.wage_bounds[1] - 1e-9),
        global_incentive_binds=bool(utilities.max() - utilities[rivals].max(initial=-np.inf) <= 1e-6),
        incentive_check=binary.INCENTIVE_CHECK,
    )


def _why_no_binary(search: binary.BinarySearch, effort: float) -> str:
    first, last = search.thresholds(effort, effort)
    k = np.arange(first, last + 1)[:, None].astype(np.float64)
    terms = search.terms(k, np.full(k.shape, effort))
    kept = terms.temptation <= search.tolerance
    if not kept.any():
        return f"under every threshold the annotator prefers another effort to {effort:.6g}"
    if not (kept & terms.affordable).any():
        return f"no wage pays for the risk of a bonus that makes effort {effort:.6g} worthwhile"
    return f"the bonus that makes effort {effort:.6g} worthwhile exceeds the bound {search.wage_bounds[1]:g}"
