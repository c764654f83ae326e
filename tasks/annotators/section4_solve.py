"""Contracts for many problems: each distinct problem is solved once, in several processes, and can be resumed."""

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tasks.atomic_files import atomic_path
from tasks.json_files import as_recorded
from tasks.provenance import package_versions
from trl_ext.annotators.contracts import PROFILES, ContractProblem, first_best, solve_contract
from trl_ext.annotators.contracts.paper_grid import solve_on_grid


logger = logging.getLogger(__name__)

REGIMES = ("FB", "SB_tilde", "SB")
_SOLVED_BY = ("trl_ext", "numpy", "scipy")


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
    versions = package_versions()
    # Another version of the solver may find another contract
    head = {"solver": solver, "reservation": reservation, "versions": {name: versions[name] for name in _SOLVED_BY}}
    solved = _read_store(store, head)
    todo = [problem for problem in wanted if problem not in solved]
    arguments = [(problem, solver, reservation) for problem in todo]
    with atomic_path(store) as temporary:  # without the line that was cut off, and those of other settings
        temporary.write_text("".join(_line(head, *item) for item in solved.items()), encoding="utf-8")
    with store.open("a", encoding="utf-8") as file:
        results = parallel_map(solve, arguments, processes, f"{solver} contracts")
        for problem, rows in zip(todo, results, strict=True):
            solved[problem] = rows
            file.write(_line(head, problem, rows))
            file.flush()
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


def _line(head: Mapping[str, Any], problem: Problem, rows: Mapping[str, Any]) -> str:
    return json.dumps(as_recorded(dict(head) | {"problem": list(problem), "rows": rows})) + "\n"


def _read_store(store: Path, head: Mapping[str, Any]) -> dict[Problem, dict]:
    """What an interrupted run has solved with the same settings."""
    if not store.is_file():
        return {}
    solved, others = {}, 0
    lines = store.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                continue  # the last line of a killed run
            raise ValueError(f"{_damaged(store, number)} ({error})") from error
        try:
            found = {
                regime: {
                    key: value if key == "feasible" else float(value) for key, value in row["rows"][regime].items()
                }
                for regime in REGIMES
            }
            problem = Problem(*row["problem"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"{_damaged(store, number)} ({type(error).__name__}: {error})") from error
        if all(row.get(key) == value for key, value in head.items()):
            solved[problem] = found
        else:
            others += 1
    if others:
        logger.warning("%s: %d contracts of another solver, reservation or version are solved anew", store, others)
    return solved


def _damaged(store: Path, number: int) -> str:
    return f"line {number} of '{store}' is no contract of an interrupted run: remove the file to solve all anew"
