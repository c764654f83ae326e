"""Contracts for many problems: each distinct problem is solved once, in several processes, and can be resumed."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tasks.json_files import as_recorded
from trl_ext.annotators.contracts import PROFILES, ContractProblem, first_best, solve_contract
from trl_ext.annotators.contracts.paper_grid import solve_on_grid


class Problem(NamedTuple):
    """What a contract depends on: of the data, c alone."""

    profile: str
    contract: str
    c: float
    n: int


def make_problem(profile: str, reservation: float) -> ContractProblem:
    """A profile with a reservation utility."""
    return dataclasses.replace(PROFILES[profile], reservation=float(reservation))


def solve(problem: Problem, solver: str, reservation: float) -> dict[str, dict[str, float]]:
    """
    First best, second best and restricted second best of a problem.

    Args:
        problem ([`Problem`]):
            Profile, kind of contract, c and n.
        solver (`str`):
            `"exact"` or `"paper_grid"`.
        reservation (`float`):
            Utility of the agent without a contract.

    Returns:
        `dict[str, dict[str, float]]`: by regime: `principal_utility`, `agent_utility`, `effort`, `feasible` and the
        contract: `c0` the share of agreements that earns the bonus (at least c0·n agreements; for `paper_grid` more
        than c0·n), `c1` bonus or slope, `c2` base.
    """
    functions = make_problem(problem.profile, reservation)
    if solver == "paper_grid":
        found = solve_on_grid(functions, problem.c, problem.n, contract=problem.contract)
        return {
            regime: _row(s.feasible, s.principal_utility, s.agent_utility, s.effort, s.threshold, s.slope, s.base)
            for regime, s in found.items()
        }
    best = first_best(functions)
    rows = {"FB": _row(np.isfinite(best.value), best.value, reservation, best.effort, 0.0, 0.0, best.wage)}
    for regime, name in (("SB_tilde", "restricted"), ("SB", "second_best")):
        s = solve_contract(functions, problem.c, problem.n, contract=problem.contract, regime=name)
        is_binary = problem.contract == "binary" and s.feasible
        share = s.threshold / problem.n if is_binary else 0.0
        pay = s.bonus if is_binary else s.slope
        rows[regime] = _row(s.feasible, s.value, s.agent_utility, s.effort, share, pay, s.base)
    return rows


def _row(feasible, principal, agent, effort, c0, c1, c2) -> dict[str, float]:
    values = {"principal_utility": principal, "agent_utility": agent, "effort": effort, "c0": c0, "c1": c1, "c2": c2}
    return {"feasible": bool(feasible)} | {name: float(value) for name, value in values.items()}


def solve_all(
    problems: Iterable[Problem], solver: str, reservation: float, processes: int, store: Path
) -> dict[Problem, dict[str, dict[str, float]]]:
    """
    Solve problems, each once, in several processes.

    Args:
        problems (`Iterable[Problem]`):
            May repeat.
        solver (`str`), reservation (`float`):
            See [`solve`].
        processes (`int`):
            How many to use.
        store (`Path`):
            File of what is solved already, to go on from after an interruption. It is removed at the end.

    Returns:
        `dict[Problem, dict]`
    """
    wanted = list(dict.fromkeys(problems))
    head = {"solver": solver, "reservation": reservation}
    solved = _read_store(store, head)
    todo = [problem for problem in wanted if problem not in solved]
    store.parent.mkdir(parents=True, exist_ok=True)
    arguments = [(problem, solver, reservation) for problem in todo]
    with store.open("w", encoding="utf-8") as file:

        def keep(problem: Problem, rows: dict) -> None:
            file.write(json.dumps(as_recorded(head | {"problem": list(problem), "rows": rows})) + "\n")
            file.flush()

        for problem, rows in solved.items():  # without the line that was cut off
            keep(problem, rows)
        results = parallel_map(solve, arguments, processes, f"{solver} contracts")
        for problem, rows in zip(todo, results, strict=True):
            solved[problem] = rows
            keep(problem, rows)
        os.fsync(file.fileno())
    store.unlink()
    return {problem: solved[problem] for problem in wanted}


def parallel_map(function: Callable, arguments: Sequence[tuple], processes: int, description: str) -> Iterator:
    """
    Results of `function(*arguments[i])` in order, with a progress bar.

    New processes are not forked: the process of an experiment has threads.
    """
    progress = tqdm(total=len(arguments), desc=description, disable=None)
    with progress:
        if processes == 1 or len(arguments) < 2:
            for each in arguments:
                yield function(*each)
                progress.update()
            return
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor:
            try:
                for result in executor.map(function, *zip(*arguments, strict=True)):
                    yield result
                    progress.update()
            except BaseException:
                executor.shutdown(wait=False, cancel_futures=True)
                raise


def _read_store(store: Path, head: Mapping[str, Any]) -> dict[Problem, dict]:
    solved = {}
    if store.is_file():
        for line in store.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run
            if all(row[key] == value for key, value in head.items()):
                solved[Problem(*row["problem"])] = {
                    regime: {key: value if key == "feasible" else float(value) for key, value in values.items()}
                    for regime, values in row["rows"].items()
                }
    return solved
