"""Contracts for every dataset, δ, monitor, kind of contract, n and profile: each distinct problem is solved once."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from tqdm import tqdm

from tasks.annotators.probability_sets import load_probabilities
from tasks.json_files import as_recorded
from trl_ext.annotators import expert_c, self_consistency_c
from trl_ext.annotators.contracts import PROFILES, ContractProblem, first_best, solve_contract
from trl_ext.annotators.contracts.paper_grid import solve_on_grid


REGIMES = ("FB", "SB_tilde", "SB")
SWEEP_COLUMNS = (
    *("dataset", "delta", "monitor", "contract", "n", "regime", "principal_utility", "agent_utility", "effort"),
    *("c0", "c1", "c2", "exp_para", "U_0", "mu_variant"),
)
# exp_para and mu_variant in the original's words; other profiles have no exp_para
_ORIGINAL_NAMES = {
    "paper_high": (1.0, "high"),
    "paper_low": (1.0, "low"),
    "paper_high_half": (0.5, "high"),
    "paper_low_half": (0.5, "low"),
}


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
        return {regime: _row(s.feasible, s.principal_utility, s.agent_utility, s.effort, s.threshold, s.slope, s.base)
                for regime, s in found.items()}  # fmt: skip
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
    arguments = ([solver] * len(todo), [reservation] * len(todo))
    pool = ProcessPoolExecutor(processes) if processes > 1 and len(todo) > 1 else nullcontext()
    with pool as executor, store.open("a", encoding="utf-8") as file:
        mapped: Callable = map if executor is None else executor.map
        results = tqdm(mapped(solve, todo, *arguments), total=len(todo), desc=f"{solver} contracts", disable=None)
        for problem, rows in zip(todo, results, strict=True):
            solved[problem] = rows
            file.write(json.dumps(as_recorded(head | {"problem": list(problem), "rows": rows})) + "\n")
            file.flush()
        os.fsync(file.fileno())
    store.unlink()
    return {problem: solved[problem] for problem in wanted}


def _read_store(store: Path, head: Mapping[str, Any]) -> dict[Problem, dict]:
    solved = {}
    if store.is_file():
        for line in store.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
            except json.JSONDecodeError:
                continue  # the last line of a killed run
            if all(row[key] == value for key, value in head.items()):
                rows = {regime: {k: v if k == "feasible" else float(v) for k, v in values.items()}
                        for regime, values in row["rows"].items()}  # fmt: skip
                solved[Problem(*row["problem"])] = rows
    return solved


def sample_sizes(source: str, config: Mapping[str, Any]) -> list[int]:
    """Numbers of monitored samples of a dataset: as configured, else the original's, up to 201 for PKU and 101 else."""
    if config["n_list"] is not None:
        return list(config["n_list"])
    return list(range(1, 202 if source == "pku" or config["uniform_n_grid"] else 102, 10))


def sweep(config: Mapping[str, Any], store: Path) -> tuple[pd.DataFrame, dict[str, Any]]:
    """
    Contracts for every combination of the configuration.

    Args:
        config (`dict`):
            Keys `datasets`, `monitors`, `contracts`, `delta`, `n_list`, `uniform_n_grid`, `profiles`, `reservation`,
            `delta_convention`, `solver`, `processes`.
        store (`Path`):
            See [`solve_all`].

    Returns:
        `tuple[pandas.DataFrame, dict]`: a row per combination and regime, with the columns `SWEEP_COLUMNS` and
        `profile`, `c`, `feasible` and `gap`, the relative gap (FB − value)/FB clipped to [0, 1]; and facts: c of each
        dataset's expert, number of combinations and of distinct problems.
    """
    sources = list(config["datasets"])
    expert = (
        {source: expert_c(load_probabilities(source)) for source in sources} if "expert" in config["monitors"] else {}
    )
    cells = []
    for profile in config["profiles"]:
        for source in sources:
            for delta in config["delta"]:
                for monitor in config["monitors"]:
                    is_self = monitor == "self"
                    c = float(self_consistency_c(delta, config["delta_convention"])) if is_self else expert[source]
                    for contract in config["contracts"]:
                        for n in sample_sizes(source, config):
                            cells.append((Path(source).name, delta, monitor, Problem(profile, contract, c, n)))
    problems = [problem for *_, problem in cells]
    solved = solve_all(problems, config["solver"], config["reservation"], config["processes"], store)
    rows = []
    for dataset, delta, monitor, problem in cells:
        exp_para, mu = _ORIGINAL_NAMES.get(problem.profile, (np.nan, problem.profile))
        found = solved[problem]
        first = found["FB"]["principal_utility"]
        for regime in REGIMES:
            value = found[regime]["principal_utility"]
            rows.append(
                {
                    "dataset": dataset,
                    "delta": delta,
                    "monitor": monitor,
                    "contract": problem.contract,
                    "n": problem.n,
                    "regime": regime,
                    **found[regime],
                    "exp_para": exp_para,
                    "U_0": config["reservation"],
                    "mu_variant": mu,
                    "profile": problem.profile,
                    "c": problem.c,
                    "gap": float(np.clip((first - value) / first, 0, 1)) if first > 0 else np.nan,
                }
            )
    facts = {
        "expert_c": {Path(source).name: c for source, c in expert.items()},
        "n_combinations": len(cells),
        "n_problems": len(solved),
        "n_infeasible": {
            regime: sum(not found[regime]["feasible"] for found in solved.values()) for regime in REGIMES
        },
    }
    return pd.DataFrame(rows), facts


def sweep_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of the original's `delta_sweep_summary.csv`."""
    return rows[list(SWEEP_COLUMNS)]


def wide_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The columns of the updated version's `figure3_delta_utility_summary.csv`, a row per combination."""
    names = {"FB": "fb", "SB": "sb", "SB_tilde": "sb_tilde"}
    keys = ["dataset", "profile", "delta", "monitor", "contract", "n"]
    by = {regime: rows[rows["regime"] == regime].set_index(keys) for regime in names}
    columns = {f"{name}_principal_util": by[regime]["principal_utility"] for regime, name in names.items()}
    columns |= {f"gap_{names[regime]}": by[regime]["gap"] for regime in ("SB", "SB_tilde")}
    for value, suffix in (("effort", "effort"), ("agent_utility", "agent_util")):
        columns |= {f"{name}_{suffix}": by[regime][value] for regime, name in names.items()}
    renamed = {"profile": "utility_profile", "monitor": "monitor_type", "contract": "contract_type"}
    return pd.concat(columns, axis=1).reset_index().rename(columns=renamed)


def mean_gaps(rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Relative gaps averaged over n, and at the largest n."""
    keys = ["profile", "dataset", "delta", "monitor", "contract", "regime"]
    groups = rows[rows["regime"] != "FB"].sort_values("n", kind="stable").groupby(keys, sort=False)["gap"]
    return groups.agg(mean_gap="mean", gap_at_largest_n="last", n_sizes="size").reset_index().to_dict("records")
