"""What the employer could have if effort were seen: the benchmark of every contract."""

import functools
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from .problem import ContractProblem


_LEAST_EFFORT = 1e-15  # derivatives may be infinite at 0


@dataclass(frozen=True)
class FirstBest:
    """
    The first best of a problem.

    Args:
        value (`float`):
            The employer's benefit less wage.
        effort (`float`):
            η* in [0, 1].
        wage (`float`):
            The constant wage w* that leaves the annotator with the reservation utility.
        corner (`str` or `None`):
            `"no effort"` if η* = 0, `"full effort"` if η* = 1, else `None`. The rates of
            [`contract_rates`] hold for `None` only.
    """

    value: float
    effort: float
    wage: float
    corner: str | None


@functools.lru_cache(maxsize=256)  # every contract of a problem is measured against it
def first_best(problem: ContractProblem) -> FirstBest:
    r"""
    The best effort and wage if effort could be written into the contract:
    \( \eta^* = \arg\max \mu(\eta) - G^{-1}(E(\eta) + U_0) \), \( w^* = G^{-1}(E(\eta^*) + U_0) \). It depends neither
    on the monitor nor on the kind of contract.

    Args:
        problem ([`ContractProblem`]):
            Utility, cost, benefit and reservation utility.

    Returns:
        [`FirstBest`]. Where even no effort costs more utility than any wage gives, values are `nan`.

    References:
        - How Humans Help LLMs, https://arxiv.org/abs/2502.06387, section 4

    Example:
        ```python
        >>> from trl_ext.annotators.contracts import PROFILES, first_best
        >>> best = first_best(PROFILES["paper_high"])
        >>> round(best.value, 10), round(best.effort, 7), round(best.wage, 7), best.corner
        (0.3026366458, 0.9438093, 0.1747579, None)

        ```
    """
    effort = _best_effort(problem)
    wage = float(problem.utility.inverse(problem.cost.value(effort) + problem.reservation))
    if not np.isfinite(wage):
        return FirstBest(np.nan, np.nan, np.nan, None)
    value = float(problem.benefit.value(effort)) - wage
    return FirstBest(value, effort, wage, {0.0: "no effort", 1.0: "full effort"}.get(effort))


def _best_effort(problem: ContractProblem) -> float:
    def value(effort: float) -> float:
        wage = problem.utility.inverse(problem.cost.value(effort) + problem.reservation)
        return float(problem.benefit.value(effort) - wage)

    def marginal(effort: float) -> float:  # derivative of the value: it decreases, as the value is concave
        cost, slope, _ = problem.cost.expand(effort)
        return problem.benefit.expand(effort)[1] - slope / problem.utility.slope_at(cost + problem.reservation)

    low, high = _LEAST_EFFORT, _most_affordable_effort(problem)
    if not low < high or marginal(low) <= 0:
        return 0.0
    if marginal(high) >= 0:
        return high
    root = brentq(marginal, low, high, xtol=1e-16, rtol=1e-15)
    return max(root, 0.0, key=value)


def _most_affordable_effort(problem: ContractProblem) -> float:
    """The largest effort that some wage pays for, or just below it."""
    room = problem.utility.supremum - problem.reservation
    if float(problem.cost.value(1.0)) < room:
        return 1.0
    if float(problem.cost.value(0.0)) >= room:
        return 0.0
    return (1 - 1e-12) * brentq(lambda effort: float(problem.cost.value(effort)) - room, 0.0, 1.0)
