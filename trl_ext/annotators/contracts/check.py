"""What a given contract does: the annotator's best reply, and what is left for the employer."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .linear import make_moments
from .monitor import agreement, efforts_around, fail_probability, is_count
from .problem import ContractProblem
from .search import all_maxima


@dataclass(frozen=True)
class ContractCheck:
    """
    Exact expectations under a contract.

    Args:
        accepted (`bool`):
            Whether the best reply gives the annotator the reservation utility, up to the tolerance.
        effort (`float`):
            The annotator's best reply; of several that are equally good up to the tolerance, the employer's favourite.
        value (`float`):
            The employer's expected benefit less wage at that effort, whether accepted or not.
        expected_wage (`float`), agent_utility (`float`):
            At that effort.
        participation_slack (`float`):
            The annotator's utility at the best reply less the reservation utility.
        incentive_slack (`float`):
            Utility at the effort asked for less that of the best reply: 0 if the annotator does what is asked,
            negative otherwise; `nan` if no effort was asked for.
        method (`str`):
            How the best reply was found.
    """

    accepted: bool
    effort: float
    value: float
    expected_wage: float
    agent_utility: float
    participation_slack: float
    incentive_slack: float
    method: str


def check_contract(
    problem: ContractProblem,
    c: float,
    n: int,
    *,
    base: float,
    slope: float | None = None,
    bonus: float | None = None,
    threshold: int | None = None,
    effort: float | None = None,
    tolerance: float = 1e-8,
    grid_points: int = 2001,
) -> ContractCheck:
    """
    Expected utilities of any linear or binary contract, wherever it comes from, at the annotator's best reply to it.

    Args:
        problem ([`ContractProblem`]):
            Utility, cost, benefit and reservation utility.
        c (`float`), n (`int`):
            Information of one check, P(agree) = (1 + c η)/2, and number of checks.
        base (`float`), slope (`float`):
            A linear contract: base + slope · (share of agreements).
        base (`float`), bonus (`float`), threshold (`int`):
            A binary contract: base, and bonus on top if at least `threshold` of the `n` checks agree (≤ 0: always,
            > n: never).
        effort (`float`, *optional*):
            The effort that the contract asks for.
        tolerance (`float`, defaults to `1e-8`):
            Utility up to which replies count as equally good, and the contract as accepted.
        grid_points (`int`, defaults to `2001`):
            Efforts tried before every local maximum is refined.

    Raises:
        ValueError: Terms that are missing, of both kinds or not finite; c, n or an effort out of range.

    Returns:
        [`ContractCheck`].

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import PROFILES, check_contract, solve_contract
        >>> problem = PROFILES["paper_high"]
        >>> solution = solve_contract(problem, c=0.98, n=11)
        >>> check = check_contract(problem, 0.98, 11, effort=solution.effort, **solution.terms())
        >>> check.accepted, round(check.value, 7), abs(check.effort - solution.effort) < 1e-5
        (True, 0.3016569, True)

        ```
    """
    if not (-1 <= c <= 1 and is_count(n)):
        raise ValueError(f"need c in [-1, 1] and a whole number n >= 1, got c={c}, n={n}")
    if (slope is None) == (bonus is None or threshold is None) or (slope is not None and bonus is not None):
        raise ValueError("give either slope, or both bonus and threshold")
    if threshold is not None and int(threshold) != threshold:
        raise ValueError(f"threshold is a whole number of agreements, got {threshold}")
    terms = {"base": base, "slope": slope, "bonus": bonus}
    if bad := {name: term for name, term in terms.items() if term is not None and not np.isfinite(term)}:
        raise ValueError(f"the terms of a contract must be finite, got {bad}")
    if effort is not None and not 0 <= effort <= 1:
        raise ValueError(f"effort must be in [0, 1], got {effort}")
    grid = np.linspace(0.0, 1.0, grid_points)
    if slope is not None:
        utility, wage = _linear_expectations(problem, c, n, base, slope)
    else:
        utility, wage = _binary_expectations(problem, c, n, base, bonus, threshold)
        grid = np.union1d(grid, efforts_around(threshold, n, c, points=257))
    replies, utilities = all_maxima(utility, grid)
    if effort is not None:
        replies, utilities = np.append(replies, effort), np.append(utilities, utility(np.array([effort])))
    most = utilities.max()
    equal = np.flatnonzero(~(utilities < most - tolerance))
    values = problem.benefit.value(replies) - wage(replies)
    chosen = equal[np.argmax(values[equal])]
    return ContractCheck(
        accepted=bool(utilities[chosen] >= problem.reservation - tolerance),
        effort=float(replies[chosen]),
        value=float(values[chosen]),
        expected_wage=float(wage(replies[[chosen]])[0]),
        agent_utility=float(utilities[chosen]),
        participation_slack=float(utilities[chosen] - problem.reservation),
        incentive_slack=np.nan if effort is None else float(utilities[-1] - most),
        method=f"exact expectations on {len(grid)} efforts, every local maximum refined",
    )


def _linear_expectations(problem, c, n, base, slope) -> tuple[Callable, Callable]:
    def utility(effort: np.ndarray) -> np.ndarray:
        flat = effort.ravel()
        bases, slopes = np.full(flat.shape, float(base)), np.full(flat.shape, float(slope))
        with np.errstate(all="ignore"):
            expected = make_moments(problem, n, agreement(flat, c))(bases, slopes)[0]
        return np.nan_to_num(expected, nan=-np.inf).reshape(effort.shape) - problem.cost.value(effort)

    return utility, lambda effort: base + slope * agreement(effort, c)


def _binary_expectations(problem, c, n, base, bonus, threshold) -> tuple[Callable, Callable]:
    low, high = float(problem.utility.value(base)), float(problem.utility.value(base + bonus))

    def failing(effort: np.ndarray) -> np.ndarray:
        if not 1 <= threshold <= n:
            return np.full(effort.shape, float(threshold > n))
        return fail_probability(threshold, n, agreement(effort, c))

    def utility(effort: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # failing is tiny where the penalty is huge: nothing cancels
            expected = high - failing(effort) * (high - low)
        return np.nan_to_num(expected, nan=-np.inf) - problem.cost.value(effort)

    return utility, lambda effort: base + bonus * (1 - failing(effort))
