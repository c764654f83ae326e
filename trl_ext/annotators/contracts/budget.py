"""Money in, effort out: contracts under a budget, and how many checks are worth their price."""

from dataclasses import dataclass, replace

import numpy as np

from .first_best import first_best
from .problem import ContractProblem
from .solution import ContractSolution
from .solve import DEFAULT_WAGE_BOUNDS, check_arguments, choose_effort, implement, solve_contract


def contract_for_budget(
    problem: ContractProblem,
    c: float,
    n: int,
    budget: float,
    contract: str = "linear",
    wage_bounds: tuple[float, float] = DEFAULT_WAGE_BOUNDS,
    cost_per_check: float = 0.0,
) -> ContractSolution:
    """
    The most effort that can be bought if expected wage and checks may not cost more than `budget`.

    Args:
        problem ([`ContractProblem`]):
            Utility, cost, benefit and reservation utility. The benefit plays no part in the choice.
        c (`float`), n (`int`):
            Information of one check, P(agree) = (1 + c η)/2, and number of checks.
        budget (`float`):
            For the expected wage and the checks, in units of wage.
        contract (`str`, defaults to `"linear"`), wage_bounds (`tuple[float, float]`, defaults to `(-10, 10)`):
            As in [`solve_contract`].
        cost_per_check (`float`, defaults to `0.0`):
            Price of a check, in units of wage.

    Raises:
        ValueError: As in [`solve_contract`], a budget that is not finite, or a negative price.

    Returns:
        [`ContractSolution`] with `regime="budget"`; infeasible if the budget doesn't even buy a flat wage.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import PROFILES, contract_for_budget
        >>> solution = contract_for_budget(PROFILES["paper_high"], c=0.98, n=101, budget=0.1)
        >>> round(solution.effort, 4), round(solution.expected_wage, 6)
        (0.7264, 0.1)

        ```
    """
    c, n, wage_bounds = check_arguments(problem, c, n, contract, wage_bounds)
    if not (np.isfinite(budget) and cost_per_check >= 0):
        raise ValueError(f"need a finite budget and cost_per_check >= 0, got {budget} and {cost_per_check}")
    wages = budget - n * cost_per_check

    def score(effort: np.ndarray, wage: np.ndarray) -> np.ndarray:
        return np.where(wage <= wages, effort, -np.inf)

    best = first_best(problem)
    found = choose_effort(problem, c, n, contract, wage_bounds, best, score)
    if not found.feasible:
        return replace(found, regime="budget")
    if found.expected_wage > wages:
        reason = f"budget {budget:g} less {n} checks at {cost_per_check:g} does not pay the flat wage {found.base:.6g}"
        return ContractSolution(contract, "budget", c, n, feasible=False, reason=reason)
    if found.effort > 0:
        # several thresholds may reach the same effort, above all full effort: take the cheapest
        cheapest = implement(problem, c, n, contract, found.effort, wage_bounds, best)
        if cheapest.feasible and cheapest.expected_wage <= found.expected_wage:
            found = cheapest
    return replace(found, regime="budget")


@dataclass(frozen=True)
class ChecksChoice:
    """
    How many checks to buy.

    Args:
        n (`int`):
            Number of checks; 0 if none is worth its price, with the flat contract of a single check.
        net_value (`float`):
            The employer's value less the price of the checks.
        solution ([`ContractSolution`]):
            The contract to offer.
    """

    n: int
    net_value: float
    solution: ContractSolution


def best_number_of_checks(
    problem: ContractProblem,
    c: float,
    cost_per_check: float,
    contract: str = "linear",
    wage_bounds: tuple[float, float] = DEFAULT_WAGE_BOUNDS,
    max_checks: int = 10**6,
) -> ChecksChoice:
    """
    The number of checks that maximises the value of the second best less the price of the checks.

    More checks than (first best − value of a flat wage)/price never pay. Up to there a grid of numbers, even in the
    logarithm, is refined around its best. For linear contracts the value is smooth in n and the answer exact; for
    binary ones it is slightly jagged (the threshold is a whole number), and the answer is the best of those tried.

    Args:
        problem ([`ContractProblem`]):
            Utility, cost, benefit and reservation utility.
        c (`float`):
            Information of one check.
        cost_per_check (`float`):
            Price of a check in units of wage, positive.
        contract (`str`, defaults to `"linear"`), wage_bounds (`tuple[float, float]`, defaults to `(-10, 10)`):
            As in [`solve_contract`].
        max_checks (`int`, defaults to `1000000`):
            Largest number considered.

    Raises:
        ValueError: As in [`solve_contract`], a price that is not positive, or `max_checks` below 1.

    Returns:
        [`ChecksChoice`].

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import PROFILES, best_number_of_checks
        >>> choice = best_number_of_checks(PROFILES["paper_high"], c=0.98, cost_per_check=1e-5)
        >>> choice.n, round(choice.net_value, 6)
        (34, 0.301949)

        ```
    """
    if not cost_per_check > 0:
        raise ValueError(f"cost_per_check must be positive, got {cost_per_check}: free checks have no best number")
    if max_checks < 1:
        raise ValueError(f"max_checks must be at least 1, got {max_checks}")
    solved: dict[int, ContractSolution] = {}

    def net_value(n: int) -> float:
        if n not in solved:
            solved[n] = solve_contract(problem, c, n, contract, wage_bounds=wage_bounds)
        return solved[n].value - cost_per_check * n if solved[n].feasible else -np.inf

    flat = solve_contract(problem, 0.0, 1, contract, wage_bounds=wage_bounds)
    if not flat.feasible:
        return ChecksChoice(0, np.nan, flat)
    last = int(min((first_best(problem).value - flat.value) / cost_per_check, max_checks))
    candidates = np.unique(np.geomspace(1, max(last, 1), 25).astype(int))
    while True:
        values = [net_value(int(n)) for n in candidates]
        best = int(np.argmax(values))
        low, high = candidates[max(best - 1, 0)], candidates[min(best + 1, len(candidates) - 1)]
        following = np.unique(np.linspace(low, high, 11).astype(int))
        if np.isin(following, candidates).all():
            break
        candidates = following
    n = max(solved, key=net_value)
    if net_value(n) <= flat.value:
        return ChecksChoice(0, flat.value, flat)
    return ChecksChoice(n, net_value(n), solved[n])
