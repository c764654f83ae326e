"""What the employer could have if effort were seen: the benchmark of every contract."""

import functools
from dataclasses import dataclass

import numpy as np

from .problem import ContractProblem


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


def _marginal_value(problem: ContractProblem, effort: np.ndarray) -> np.ndarray:
    """Derivative of benefit less wage: decreasing in effort. `-inf` where no wage pays for the effort."""
    wage = problem.utility.inverse(problem.cost.value(effort) + problem.reservation)
    with np.errstate(all="ignore"):
        wage_per_effort = problem.cost.derivative(effort) / problem.utility.derivative(wage)
        return np.where(np.isfinite(wage), problem.benefit.derivative(effort) - wage_per_effort, -np.inf)


def _best_effort(problem: ContractProblem) -> float:
    low, high = 0.0, 1.0
    for _ in range(3):
        grid = np.linspace(low, high, 97)
        marginal = _marginal_value(problem, grid)
        if marginal[-1] >= 0:
            return high
        if not marginal[0] > 0:
            return low
        after = int(np.argmax(marginal <= 0))
        low, high = float(grid[after - 1]), float(grid[after])
    at_low, at_high = float(marginal[after - 1]), float(marginal[after])
    if not np.isfinite(at_low - at_high):
        return low  # beyond it no wage pays for the effort
    # the bracket is 1e-6 wide: what a straight line misses is of order 1e-12
    return low + (high - low) * at_low / (at_low - at_high)
