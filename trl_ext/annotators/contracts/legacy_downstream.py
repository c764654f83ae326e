"""The contract that the original's downstream script solves, with its mistakes: for comparison with older results."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from .paper_grid import ContractGrid, original_grid
from .problem import PROFILES, ContractProblem


@dataclass(frozen=True)
class LegacyDownstreamContract:
    """
    Result of [`legacy_downstream_contract`].

    Args:
        eta (`float`):
            What the script calls η: the agreement probability q at the effort, not the effort.
        effort (`float`):
            Effort that the agent chooses; NaN, as all others, if no contract of the grid is accepted.
        threshold, slope, base (`float`):
            The contract; see [`ContractGrid`].
        agent_utility, principal_utility (`float`):
            As the script evaluates them.
    """

    eta: float
    effort: float
    threshold: float
    slope: float
    base: float
    agent_utility: float
    principal_utility: float


def legacy_downstream_grid(contract: str) -> ContractGrid:
    """The script's grid: the contracts of [`original_grid`], and 50 efforts from 0.1 to 0.99."""
    grid = original_grid(contract)
    return ContractGrid(np.linspace(0.1, 0.99, 50), grid.threshold, grid.slope, grid.base)


def legacy_downstream_contract(
    c: float,
    n: int,
    *,
    contract: str,
    grid: ContractGrid | None = None,
    problem: ContractProblem = PROFILES["paper_high"],
) -> LegacyDownstreamContract:
    """
    Best contract of a grid when the agent answers with his best effort, as the original's downstream script solves it.

    What it reproduces: under a linear contract the agent's utility is that of the *mean* pay, without risk, so that n
    does not matter; under a binary one it is the expected utility. The bonus is paid for `floor(threshold * n)`
    agreements or more. The first best effort and the first contract count among equals, in the order threshold, slope,
    base.

    Args:
        c (`float`):
            Information of one check, P(agree) = (1 + cη)/2, in [0, 1].
        n (`int`):
            Number of monitored samples.
        contract (`str`):
            `"linear"` or `"binary"`.
        grid ([`ContractGrid`], *optional*):
            Defaults to [`legacy_downstream_grid`].
        problem ([`ContractProblem`], *optional*, defaults to `PROFILES["paper_high"]`):
            The script has only this one.

    Returns:
        [`LegacyDownstreamContract`]

    Raises:
        ValueError: An unknown contract.

    Example:
        ```python
        >>> from trl_ext.annotators.contracts.legacy_downstream import legacy_downstream_contract
        >>> found = legacy_downstream_contract(0.98, 100, contract="linear")
        >>> round(found.eta, 4), round(found.effort, 2), round(found.slope, 2)
        (0.9851, 0.99, 3.75)

        ```
    """
    grid = legacy_downstream_grid(contract) if grid is None else grid
    utility = problem.utility.value
    q = (1 + grid.effort * c) / 2
    cost, benefit = problem.cost.value(grid.effort)[:, None], problem.benefit.value(grid.effort)
    best, value = None, -math.inf
    for threshold in grid.threshold:
        paid = q if contract == "linear" else binom.sf(threshold * n - 1, n, q)
        for slope in grid.slope:
            if contract == "linear":
                agent = utility(slope * paid[:, None] + grid.base)
            else:
                agent = paid[:, None] * utility(slope + grid.base) + (1 - paid)[:, None] * utility(grid.base)
            agent -= cost
            chosen = agent.argmax(axis=0)
            agent = np.take_along_axis(agent, chosen[None], axis=0)[0]
            principal = benefit[chosen] - (slope * paid[chosen] + grid.base)
            principal[agent < problem.reservation] = -np.inf
            i = int(principal.argmax())
            if principal[i] > value:
                value, effort = principal[i], chosen[i]
                best = (q[effort], grid.effort[effort], threshold, slope, grid.base[i], agent[i], value)
    return LegacyDownstreamContract(*map(float, best or [math.nan] * 7))
