"""Exact contracts against the search on a grid: seconds, memory, and what the contracts are worth when they are used.

    python benchmarks/contracts.py                    # two or three minutes
    python benchmarks/contracts.py --one-piece        # also with all cells of a threshold at once, as the original does

Both solve the second best of the same problems in one process. The grid is that of the original program, in blocks that
stay in the cache. Contracts are compared by `check_contract`: what is left for the employer if the annotator chooses the
best effort, whatever effort the contract was meant for. A contract that the annotator would refuse is worth nothing.

"warm" is the exact solver after the first best is known, as in a sweep over n; "cold" is a first problem, with nothing kept.
Profiles: that of the paper, whose utility of pay is one exponential, and one whose utility is a sum of two: the slow case.
"""

import argparse
import json
import math
import resource
import statistics
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tasks.annotators.probability_sets import load_probabilities
from trl_ext.annotators import expert_c, self_consistency_c
from trl_ext.annotators.contracts import (
    PROFILES,
    ContractProblem,
    check_contract,
    first_best,
    linear_cara,
    solve_contract,
)
from trl_ext.annotators.contracts.paper_grid import BLOCK_CELLS, GridSolution, solve_on_grid


PROFILE_NAMES = ("paper_high", "risk_averse_poly")
REPETITIONS = {"linear": (5, 200), "binary": (1, 5)}  # of the grid, of the exact solver
COLD_REPETITIONS = 5
ONE_PIECE = 10**9


def problems(sizes: list[int]) -> list[tuple[str, float, int]]:
    """Monitor, c and n."""
    monitors = {"self, δ = 0.02": self_consistency_c(0.02)}
    monitors |= {f"expert, {name}": expert_c(load_probabilities(name)) for name in ("pku", "helpsteer")}
    return [(name, float(c), n) for name, c in monitors.items() for n in sizes]


def timed(
    function: Callable[[], Any], repetitions: int, before: Callable[[], None] = lambda: None
) -> tuple[Any, float]:
    """Result, and median seconds of CPU time of this process; `before` each repetition something untimed may be done."""
    seconds = []
    for _ in range(repetitions):
        before()
        start = time.process_time()
        result = function()
        seconds.append(time.process_time() - start)
    return result, statistics.median(seconds)


class PeakMemory:
    """Largest resident memory of the process above that at the start, in MiB, sampled every millisecond."""

    def __enter__(self):
        self._process, self._stop = psutil.Process(), threading.Event()
        self._start = self._peak = self._process.memory_info().rss
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(1e-3):
            self._peak = max(self._peak, self._process.memory_info().rss)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        self.mib = (self._peak - self._start) / 2**20


def forget() -> None:
    """Empty what the solver keeps between problems."""
    first_best.cache_clear()
    linear_cara._value_without_effort.cache_clear()


def value_in_use(
    problem: ContractProblem, contract: str, c: float, n: int, found: GridSolution, slack: float = 1e-8
) -> float:
    """What a contract of the grid leaves the employer at the annotator's best effort; nothing if it is refused."""
    terms = {"base": found.base}
    if contract == "linear":
        terms["slope"] = found.slope
    else:  # more than threshold * n agreements
        terms |= {"bonus": found.slope, "threshold": math.floor(found.threshold * n) + 1}
    check = check_contract(problem, c, n, **terms)
    return check.value if check.participation_slack >= -slack else 0.0


def run(contract: str, c: float, n: int, one_piece: bool, profile: str = PROFILE_NAMES[0]) -> dict[str, Any]:
    """Solve one problem both ways."""
    problem = PROFILES[profile]
    often_grid, often_exact = REPETITIONS[contract]

    def grid(block_cells: int = BLOCK_CELLS) -> GridSolution:
        return solve_on_grid(problem, c, n, contract=contract, regimes=["SB"], block_cells=block_cells)["SB"]

    def exact():
        return solve_contract(problem, c, n, contract=contract)

    exact()  # what is computed once and kept is not part of the time of a problem
    # Watching memory takes time of the process: not while it is timed
    with PeakMemory() as memory_exact:
        exact()
    with PeakMemory() as memory_grid:
        grid()
    solution, seconds_exact = timed(exact, often_exact)
    _, seconds_cold = timed(exact, COLD_REPETITIONS, forget)
    found, seconds_grid = timed(grid, often_grid)
    check = check_contract(problem, c, n, **solution.terms(), effort=solution.effort)
    row = {
        "profile": profile,
        "contract": contract,
        "c": c,
        "n": n,
        "seconds_exact": seconds_exact,
        "seconds_cold": seconds_cold,
        "seconds_grid": seconds_grid,
        "ratio": seconds_grid / seconds_exact,
        "ratio_cold": seconds_grid / seconds_cold,
        "mib_exact": memory_exact.mib,
        "mib_grid": memory_grid.mib,
        "value_exact": solution.value,
        "checked_exact": check.value if check.participation_slack >= -1e-8 else 0.0,
        "claimed_grid": found.principal_utility,
        "checked_grid": value_in_use(problem, contract, c, n, found),
    }
    if one_piece:
        with PeakMemory() as memory:
            _, seconds = timed(lambda: grid(ONE_PIECE), 1)
        row |= {"seconds_one_piece": seconds, "ratio_one_piece": seconds / seconds_exact, "mib_one_piece": memory.mib}
    return row


def summary(name: str, group: list[dict[str, Any]], one_piece: bool) -> str:
    """What the rows of a profile and a kind of contract come to."""
    better = [row["checked_exact"] >= row["checked_grid"] - 1e-9 for row in group]
    lines = [
        f"{name}: at least as good in use in {sum(better)} of {len(better)}; additional memory at most "
        f"{max(row['mib_exact'] for row in group):.0f} MiB, grid {max(row['mib_grid'] for row in group):.0f} MiB"
    ]
    kinds = {"ratio": "warm", "ratio_cold": "cold"} | ({"ratio_one_piece": "grid in one piece"} if one_piece else {})
    for key, kind in kinds.items():
        ratios = [row[key] for row in group]
        lines.append(
            f"{name}, {kind}: exact is {min(ratios):,.0f} to {max(ratios):,.0f} times as fast (median "
            f"{statistics.median(ratios):,.0f})"
        )
    if one_piece:
        lines.append(f"{name}, grid in one piece: {max(row['mib_one_piece'] for row in group):.0f} MiB")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[11, 51, 101], help="n (default: 11 51 101)")
    parser.add_argument("--contracts", nargs="+", default=["linear", "binary"], choices=["linear", "binary"])
    parser.add_argument("--profiles", nargs="+", default=list(PROFILE_NAMES), choices=sorted(PROFILES))
    parser.add_argument("--one-piece", action="store_true", help="also without blocks: up to 0.5 GB")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()

    print(
        "| profile | contract | monitor | n | exact | grid, s | exact, ms | ratio | grid claims | in use | exact in use |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for profile in options.profiles:
        for contract in options.contracts:
            for monitor, c, n in problems(options.sizes):
                row = run(contract, c, n, options.one_piece, profile)
                rows.append({"monitor": monitor} | row)
                for caches, seconds, ratio in (
                    ("warm", "seconds_exact", "ratio"),
                    ("cold", "seconds_cold", "ratio_cold"),
                ):
                    print(
                        f"| {profile} | {contract} | {monitor} | {n} | {caches} | {row['seconds_grid']:.3f} | "
                        f"{1e3 * row[seconds]:.2f} | {row[ratio]:,.0f} | {row['claimed_grid']:.5f} | "
                        f"{row['checked_grid']:.5f} | {row['checked_exact']:.5f} |",
                        flush=True,
                    )
    for profile in options.profiles:
        for contract in options.contracts:
            group = [row for row in rows if (row["profile"], row["contract"]) == (profile, contract)]
            print(summary(f"{profile}, {contract}", group, options.one_piece))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(f"largest resident memory of the process, libraries included: {peak:.0f} MiB")
    if options.output is not None:
        options.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
