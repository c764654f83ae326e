"""Contracts by exhaustive search, as the paper's program searches: its grids, its slack and its slices."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from .problem import ContractProblem
from .wage_utilities import ExponentialUtility


REGIMES = ("FB", "SB", "SB_tilde")
# The agent takes any effort within this many utils of the best: the original's tolerance, large beside a cost of 0.18
PAPER_IC_SLACK = 0.01
STRICT_IC_SLACK = 1e-12

# Cells evaluated at once: an array of them takes 1 MiB and stays in the cache of a core
BLOCK_CELLS = 2**17


@dataclass(frozen=True)
class ContractGrid:
    """
    Efforts and contracts that are tried, in every combination.

    Args:
        effort (`np.ndarray` of shape `(E,)`):
            Efforts, ascending, in [0, 1].
        threshold (`np.ndarray` of shape `(T,)`):
            Binary contracts pay the bonus for more than `threshold * n` agreements. `[0]` for linear contracts.
        slope (`np.ndarray` of shape `(S,)`):
            Bonus of a binary contract; pay per unit of the agreement rate of a linear one. In units of money.
        base (`np.ndarray` of shape `(B,)`):
            Pay without bonus, in units of money.
    """

    effort: np.ndarray
    threshold: np.ndarray
    slope: np.ndarray
    base: np.ndarray

    def __post_init__(self):
        for name in ("effort", "threshold", "slope", "base"):
            values = np.asarray(getattr(self, name), dtype=np.float64)
            if values.ndim != 1 or not values.size or not np.isfinite(values).all():
                raise ValueError(f"{name} must be a list of at least one finite number, got shape {values.shape}")
            object.__setattr__(self, name, values)


def original_grid(contract: str) -> ContractGrid:
    """
    The grid of the original program: 101 efforts, 200 slopes, 400 bases and, for binary contracts, 51 thresholds.

    Args:
        contract (`str`):
            `"linear"` (8.1 million cells) or `"binary"` (412 million).

    Returns:
        [`ContractGrid`]
    """
    _check_contract(contract)
    threshold = np.zeros(1) if contract == "linear" else np.arange(0, 1.02, 0.02)
    return ContractGrid(np.arange(0, 1.01, 0.01), threshold, np.arange(0, 10, 0.05), np.arange(-10, 10, 0.05))


@dataclass(frozen=True)
class GridSolution:
    """
    Best cell of a grid.

    Args:
        regime (`str`):
            `"FB"` (first best), `"SB"` (second best) or `"SB_tilde"` (restricted to the effort of the first best).
        feasible (`bool`):
            Whether any cell satisfies the constraints. If none does, the numbers are NaN; in the regime `"SB_tilde"` they
            are those that the original reports: effort 0 without pay at the reservation utility.
        effort (`float`):
            Effort of the cell.
        threshold (`float`):
            Share of agreements that must be exceeded for the bonus; 0 for linear contracts.
        slope (`float`):
            Bonus or slope, in units of money.
        base (`float`):
            Pay without bonus, in units of money.
        principal_utility (`float`):
            Benefit less expected pay.
        agent_utility (`float`):
            Expected utility of pay less cost of effort.
    """

    regime: str
    feasible: bool
    effort: float
    threshold: float
    slope: float
    base: float
    principal_utility: float
    agent_utility: float


def grid_utilities(problem: ContractProblem, c: float, n: int, contract: str, effort, threshold, slope, base):
    r"""
    Expected utilities of given contracts at given efforts.

    With \( q = (1 + cη)/2 \) and \( G(w) = \sum_j α_j(1 - e^{-β_j w}) \), a linear contract has
    \( E[G] = \sum_j α_j (1 - e^{-β_j b}(1 - q + q e^{-β_j s/n})^n) \); a binary one pays the bonus with probability
    P(X > threshold · n), the strict inequality of the original.

    Args:
        problem ([`ContractProblem`]):
            With an [`ExponentialUtility`].
        c (`float`):
            Information of one check, P(agree) = (1 + cη)/2, in [0, 1].
        n (`int`):
            Number of monitored samples.
        contract (`str`):
            `"linear"` or `"binary"`.
        effort, threshold, slope, base (`float` or `np.ndarray`):
            Shapes that broadcast against each other.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: utility of the agent and utility of the principal.
    """
    _check_contract(contract)
    effort, threshold, slope, base = (np.asarray(v, dtype=np.float64) for v in (effort, threshold, slope, base))
    q = (1 + effort * c) / 2
    if contract == "linear":
        paid = q
        expected = sum(
            scale * (1 - np.exp(-rate * base) * (1 - q + q * np.exp(-rate * slope / n)) ** n)
            for scale, rate in problem.utility.terms
        )
    else:
        paid = binom.sf(threshold * n, n, q)
        expected = paid * _utility(problem, slope + base) + (1 - paid) * _utility(problem, base)
    return expected - problem.cost.value(effort), problem.benefit.value(effort) - (slope * paid + base)


def solve_on_grid(
    problem: ContractProblem,
    c: float,
    n: int,
    *,
    contract: str,
    grid: ContractGrid | None = None,
    regimes: Sequence[str] = REGIMES,
    ic_slack: float = PAPER_IC_SLACK,
    block_cells: int = BLOCK_CELLS,
) -> dict[str, GridSolution]:
    """
    Search a grid of efforts and contracts as the original program does. For comparison; use [`solve_contract`] to solve.

    What it reproduces:

    - `"FB"` maximises over cells with agent utility ≥ reservation: the first best depends on grid and contract family.
    - `"SB"` also asks that the effort is within `ic_slack` of the agent's best. The original's 0.01 lets effort be
      chosen that nobody would choose: values up to 0.1 too high. [`STRICT_IC_SLACK`] asks for a best response.
    - `"SB_tilde"` fixes the effort at index i of the first best. The best response may be any effort from index i − 1
      on: the original's slice ends at `max(i + 2, E)` where `min` was meant; at i = 0 it has only the largest effort.
    - Equal values: the first in the order effort, threshold, slope, base.

    Cells are evaluated in blocks: memory does not depend on the size of the grid.

    Args:
        problem ([`ContractProblem`]):
            Utility (an [`ExponentialUtility`]), cost, benefit and reservation utility.
        c (`float`):
            Information of one check, P(agree) = (1 + cη)/2, in [0, 1]: from [`self_consistency_c`] or [`expert_c`].
        n (`int`):
            Number of monitored samples.
        contract (`str`):
            `"linear"` or `"binary"`.
        grid ([`ContractGrid`], *optional*):
            Defaults to [`original_grid`].
        regimes (`Sequence[str]`, *optional*):
            Which to return. `"SB_tilde"` takes a second pass over the grid.
        ic_slack (`float`, *optional*, defaults to `0.01`):
            Tolerance of the agent's incentive compatibility in `"SB"`, in utils.
        block_cells (`int`, *optional*, defaults to `131072`):
            How many cells are evaluated at once. Five arrays of this size are kept.

    Returns:
        `dict[str, GridSolution]`: by regime.

    Raises:
        ValueError: An unknown contract or regime, n < 1, c outside [0, 1], a negative slack.
        TypeError: A utility that is not a sum of exponentials.

    References:
        - How Humans Help LLMs, section 4.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.annotators.contracts import PROFILES
        >>> from trl_ext.annotators.contracts.paper_grid import ContractGrid, solve_on_grid
        >>> grid = ContractGrid(np.linspace(0, 1, 21), [0.0], np.linspace(0, 2.5, 26), np.linspace(-1.5, 0.5, 41))
        >>> found = solve_on_grid(PROFILES["paper_high"], 0.98, 50, contract="linear", grid=grid)["SB"]
        >>> found.feasible, round(found.effort, 2), round(found.principal_utility, 3)
        (True, 0.9, 0.301)

        ```
    """
    _check_contract(contract)
    if unknown := [name for name in regimes if name not in REGIMES]:
        raise ValueError(f"unknown regime {unknown[0]!r}; there are {', '.join(REGIMES)}")
    if n < 1 or n != int(n):
        raise ValueError(f"n must be a whole number of at least 1, got {n!r}")
    if not 0 <= c <= 1:
        raise ValueError(f"c must lie in [0, 1], got {c!r}")
    if not ic_slack >= 0:
        raise ValueError(f"ic_slack must be at least 0, got {ic_slack!r}")
    if not isinstance(problem.utility, ExponentialUtility):
        raise TypeError(f"the grid needs an ExponentialUtility, got {type(problem.utility).__name__}")
    grid = original_grid(contract) if grid is None else grid
    cells = _Cells(problem, float(c), int(n), contract, grid, block_cells)
    first, second = _search(cells, problem.reservation, ic_slack if "SB" in regimes else None)
    found = {"FB": first, "SB": second}
    if "SB_tilde" in regimes:
        found["SB_tilde"] = _search_at_effort(cells, problem.reservation, first.index[0]) if first.index else first
    return {name: cells.solution(name, found[name]) for name in regimes}


def _utility(problem: ContractProblem, wage: np.ndarray) -> np.ndarray:
    # Not by expm1, which is better: cells that tie do so to the last bit of the original's arithmetic
    return sum(scale * (1 - np.exp(-rate * wage)) for scale, rate in problem.utility.terms)


def _check_contract(contract: str) -> None:
    if contract not in ("linear", "binary"):
        raise ValueError(f"contract must be 'linear' or 'binary', got {contract!r}")


@dataclass
class _Best:
    """Best cell so far, the first among equals."""

    value: float = -math.inf
    agent: float = math.nan
    index: tuple[int, int, int, int] | None = None

    def update(self, values: np.ndarray, agent: np.ndarray, start: tuple[int, int, int, int]) -> None:
        """Consider a block of utilities, both of shape (efforts, slopes, bases), that starts at the given indices."""
        e, s, b = np.unravel_index(values.argmax(), values.shape)
        value = values[e, s, b]
        index = (int(e) + start[0], start[1], int(s) + start[2], int(b) + start[3])
        if value > self.value or (value == self.value and self.index is not None and index < self.index):
            self.value, self.agent, self.index = float(value), float(agent[e, s, b]), index


class _Cells:
    """Utilities of the cells of a grid, block by block."""

    def __init__(
        self, problem: ContractProblem, c: float, n: int, contract: str, grid: ContractGrid, block_cells: int
    ):
        self.problem, self.n, self.contract, self.grid = problem, n, contract, grid
        self.q = (1 + grid.effort * c) / 2
        self.cost = problem.cost.value(grid.effort)[:, None, None]
        self.benefit = problem.benefit.value(grid.effort)[:, None, None]
        self.base_width = max(1, min(grid.base.size, block_cells // grid.effort.size))
        self.slope_width = max(1, min(grid.slope.size, block_cells // (grid.effort.size * self.base_width)))

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[int, int, int], slice, slice]]:
        """
        Agent utilities of shape (efforts, slopes, bases), the probability of each effort that the slope is paid, where
        the block starts, and its slopes and bases. The array is overwritten by the next block.
        """
        grid = self.grid
        buffer = np.empty((grid.effort.size, self.slope_width, self.base_width))
        spare = np.empty_like(buffer)
        for t, threshold in enumerate(grid.threshold):
            paid = self.q if self.contract == "linear" else binom.sf(threshold * self.n, self.n, self.q)
            for s in range(0, grid.slope.size, self.slope_width):
                slopes = slice(s, s + self.slope_width)
                for b in range(0, grid.base.size, self.base_width):
                    bases = slice(b, b + self.base_width)
                    shape = (slice(None), slice(grid.slope[slopes].size), slice(grid.base[bases].size))
                    agent = buffer[shape]
                    if self.contract == "linear":
                        self._linear(agent, spare[shape], grid.slope[slopes], grid.base[bases])
                    else:
                        self._binary(agent, paid[:, None, None], grid.slope[slopes], grid.base[bases])
                    agent -= self.cost
                    yield agent, paid, (t, s, b), slopes, bases

    # The order of operations is that of `grid_utilities`, so that the values are equal to the last bit

    def _linear(self, agent: np.ndarray, spare: np.ndarray, slope: np.ndarray, base: np.ndarray) -> None:
        q = self.q[:, None]
        for number, (scale, rate) in enumerate(self.problem.utility.terms):
            term = spare if number else agent
            factor = (1 - q + q * np.exp(-rate * slope / self.n)) ** self.n
            np.multiply(factor[:, :, None], np.exp(-rate * base), out=term)
            np.subtract(1, term, out=term)
            if scale != 1:
                term *= scale
            if number:
                agent += term

    def _binary(self, agent: np.ndarray, paid: np.ndarray, slope: np.ndarray, base: np.ndarray) -> None:
        np.multiply(paid, _utility(self.problem, slope[:, None] + base), out=agent)
        agent += (1 - paid) * _utility(self.problem, base)

    def principal(self, paid: np.ndarray, slopes: slice, bases: slice, out: np.ndarray) -> np.ndarray:
        """Principal utilities of a block."""
        np.add((self.grid.slope[slopes] * paid[:, None])[:, :, None], self.grid.base[bases], out=out)
        return np.subtract(self.benefit, out, out=out)

    def solution(self, regime: str, best: _Best) -> GridSolution:
        if best.index is not None:
            e, t, s, b = best.index
            grid = self.grid
            cell = map(float, (grid.effort[e], grid.threshold[t], grid.slope[s], grid.base[b]))
            return GridSolution(regime, True, *cell, best.value, best.agent)
        if regime == "SB_tilde":
            idle = float(self.problem.benefit.value(0.0))
            return GridSolution(regime, False, 0.0, 0.0, 0.0, 0.0, idle, float(self.problem.reservation))
        return GridSolution(regime, False, *[math.nan] * 6)


def _search(cells: _Cells, reservation: float, ic_slack: float | None) -> tuple[_Best, _Best]:
    """First and second best; without a slack, the first alone."""
    first, second = _Best(), _Best()
    buffers = None
    for agent, paid, start, slopes, bases in cells.blocks():
        if buffers is None:
            buffers = np.empty_like(agent), np.empty_like(agent)
        principal, tolerated = (buffer[:, : agent.shape[1], : agent.shape[2]] for buffer in buffers)
        cells.principal(paid, slopes, bases, out=principal)
        np.copyto(principal, -np.inf, where=agent < reservation)
        first.update(principal, agent, (0, *start))
        if ic_slack is not None:
            np.add(agent, ic_slack, out=tolerated)
            np.copyto(principal, -np.inf, where=tolerated < agent.max(axis=0))
            second.update(principal, agent, (0, *start))
    return first, second


def _search_at_effort(cells: _Cells, reservation: float, effort: int) -> _Best:
    """Best cell at one effort, if the agent's best response is any effort from the one before on."""
    best = _Best()
    begin = effort - 1 if effort else cells.grid.effort.size - 1
    for agent, paid, start, slopes, bases in cells.blocks():
        allowed = agent[begin:].max(axis=0)
        feasible = agent[effort] >= reservation
        if begin:
            feasible &= allowed >= agent[:begin].max(axis=0)
        pay = (cells.grid.slope[slopes] * paid[effort])[:, None] + cells.grid.base[bases]
        principal = np.where(feasible, cells.benefit[effort] - pay, -np.inf)
        best.update(principal[None], agent[effort : effort + 1], (effort, *start))
    return best
