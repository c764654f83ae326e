"""Exact contracts against the search on a grid: seconds, memory, and what the contracts are worth when they are used.

    python benchmarks/contracts.py                    # a minute or two
    python benchmarks/contracts.py --one-piece        # also with all cells of a threshold at once, as the original does

Both solve the second best of the same problems in one process. The grid is that of the original program, in blocks that
stay in the cache. Contracts are compared by `check_contract`: what is left for the employer if the annotator chooses the
best effort, whatever effort the contract was meant for. A contract that the annotator would refuse is worth nothing.
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
from trl_ext.annotators.contracts import PROFILES, check_contract, solve_contract
from trl_ext.annotators.contracts.paper_grid import BLOCK_CELLS, GridSolution, solve_on_grid


PROFILE = "paper_high"
REPETITIONS = {"linear": (5, 200), "binary": (1, 5)}  # of the grid, of the exact solver
ONE_PIECE = 10**9


def problems(sizes: list[int]) -> list[tuple[str, float, int]]:
    """Monitor, c and n."""
    monitors = {"self, δ = 0.02": self_consistency_c(0.02)}
    monitors |= {f"expert, {name}": expert_c(load_probabilities(name)) for name in ("pku", "helpsteer")}
    return [(name, float(c), n) for name, c in monitors.items() for n in sizes]


def timed(function: Callable[[], Any], repetitions: int) -> tuple[Any, float]:
    """Result, and median seconds of CPU time of this process."""
    seconds = []
    for _ in range(repetitions):
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


def value_in_use(contract: str, c: float, n: int, found: GridSolution, slack: float = 1e-8) -> float:
    """What a contract of the grid leaves the employer at the annotator's best effort; nothing if it is refused."""
    terms = {"base": found.base}
    if contract == "linear":
        terms["slope"] = found.slope
    else:  # more than threshold * n agreements
        terms |= {"bonus": found.slope, "threshold": math.floor(found.threshold * n) + 1}
    check = check_contract(PROFILES[PROFILE], c, n, **terms)
    return check.value if check.participation_slack >= -slack else 0.0


def run(contract: str, c: float, n: int, one_piece: bool) -> dict[str, Any]:
    """Solve one problem both ways."""
    problem = PROFILES[PROFILE]
    often_grid, often_exact = REPETITIONS[contract]

    def grid(block_cells: int = BLOCK_CELLS) -> GridSolution:
        return solve_on_grid(problem, c, n, contract=contract, regimes=["SB"], block_cells=block_cells)["SB"]

    def exact():
        return solve_contract(problem, c, n, contract=contract)

    exact()  # what is computed once and kept is not part of the time of a problem
    with PeakMemory() as memory_exact:
        solution, seconds_exact = timed(exact, often_exact)
    with PeakMemory() as memory_grid:
        found, seconds_grid = timed(grid, often_grid)
    check = check_contract(problem, c, n, **solution.terms(), effort=solution.effort)
    row = {
        "contract": contract,
        "c": c,
        "n": n,
        "seconds_exact": seconds_exact,
        "seconds_grid": seconds_grid,
        "ratio": seconds_grid / seconds_exact,
        "mib_exact": memory_exact.mib,
        "mib_grid": memory_grid.mib,
        "value_exact": solution.value,
        "checked_exact": check.value if check.participation_slack >= -1e-8 else 0.0,
        "claimed_grid": found.principal_utility,
        "checked_grid": value_in_use(contract, c, n, found),
    }
    if one_piece:
        with PeakMemory() as memory:
            _, seconds = timed(lambda: grid(ONE_PIECE), 1)
        row |= {"seconds_one_piece": seconds, "ratio_one_piece": seconds / seconds_exact, "mib_one_piece": memory.mib}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[11, 51, 101], help="n (default: 11 51 101)")
    parser.add_argument("--contracts", nargs="+", default=["linear", "binary"], choices=["linear", "binary"])
    parser.add_argument("--one-piece", action="store_true", help="also without blocks: up to 0.5 GB")
    parser.add_argument("--output", type=Path, help="JSON file for the figures")
    options = parser.parse_args()

    print("| contract | monitor | n | grid, s | exact, ms | ratio | grid claims | grid in use | exact in use |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for contract in options.contracts:
        for monitor, c, n in problems(options.sizes):
            row = run(contract, c, n, options.one_piece)
            rows.append({"monitor": monitor} | row)
            print(
                f"| {contract} | {monitor} | {n} | {row['seconds_grid']:.3f} | {1e3 * row['seconds_exact']:.2f} | "
                f"{row['ratio']:,.0f} | {row['claimed_grid']:.5f} | {row['checked_grid']:.5f} | "
                f"{row['checked_exact']:.5f} |",
                flush=True,
            )
    for contract in options.contracts:
        group = [row for row in rows if row["contract"] == contract]
        ratios = [row["ratio"] for row in group]
        better = [row["checked_exact"] >= row["checked_grid"] - 1e-9 for row in group]
        print(
            f"{contract}: exact is {min(ratios):,.0f} to {max(ratios):,.0f} times as fast (median "
            f"{statistics.median(ratios):,.0f}), at least as good in use in {sum(better)} of {len(better)}; additional "
            f"memory at most {max(row['mib_exact'] for row in group):.0f} MiB, grid "
            f"{max(row['mib_grid'] for row in group):.0f} MiB"
        )
        if options.one_piece:
            ratios = [row["ratio_one_piece"] for row in group]
            print(
                f"{contract}, grid in one piece per threshold: {min(ratios):,.0f} to {max(ratios):,.0f} times (median "
                f"{statistics.median(ratios):,.0f}), {max(row['mib_one_piece'] for row in group):.0f} MiB"
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    print(f"largest resident memory of the process, libraries included: {peak:.0f} MiB")
    if options.output is not None:
        options.output.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
