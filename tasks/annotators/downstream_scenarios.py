"""Which effort a contract buys, and which trainings follow: every scenario of the downstream experiment."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trl_ext.annotators import expert_c, self_consistency_c
from trl_ext.annotators.contracts import PROFILES, contract_for_budget, solve_contract


CLEAN, CORRUPTED, SOLVED, BUDGET = "clean", "fully_corrupted", "contract", "budget"
ETA_DIGITS = 2  # no training could tell efforts apart that agree so far: they share one


@dataclass(frozen=True)
class Scenario:
    """
    How the labels of a dataset come about.

    Args:
        dataset (`str`): Name of the dataset.
        condition (`str`): `clean` (every label is meant), `fully_corrupted` (every label is a coin flip), `contract` (the
            effort that the best contract buys), or `budget` (the effort that a given expected wage buys).
        monitor (`str` or `None`): `self` or `expert`.
        contract (`str` or `None`): `linear` or `binary`.
        c (`float`): Strength of the monitor: P(agreement) = (1 + c·effort)/2.
        n (`int`): Checks per annotator.
        effort (`float`): η of the labels; NaN if there is no such contract.
        wage (`float`): Expected wage, in the units of the contract problem.
        value (`float`): Utility of the one who pays.
        budget (`float` or `None`): Most that may be paid on average.
        reason (`str`): Why there is no contract; else empty.
    """

    dataset: str
    condition: str
    monitor: str | None = None
    contract: str | None = None
    c: float = np.nan
    n: int = 0
    effort: float = np.nan
    wage: float = np.nan
    value: float = np.nan
    budget: float | None = None
    reason: str = ""

    @property
    def is_feasible(self) -> bool:
        """Whether there are labels to train on."""
        return bool(np.isfinite(self.effort))

    @property
    def eta(self) -> float:
        """Effort as the trainings know it."""
        return round(float(self.effort), ETA_DIGITS)

    @property
    def name(self) -> str:
        """Short name for tables and axes."""
        if self.condition in (CLEAN, CORRUPTED):
            return self.condition
        paid = "" if self.budget is None else f", wage ≤ {self.budget:g}"
        return f"{self.monitor}, {self.contract}{paid}"


@dataclass(frozen=True)
class Cell:
    """
    One training run: all scenarios of a dataset with the same effort share it.

    Args:
        dataset (`str`): Name of the dataset.
        eta (`float`): Commitment of the annotators.
        method (`str`): `plain` or a noise method of `tasks/train.py`.
        seed (`int`): Seed of labels and training.
        folder (`Path`): Output directory.
    """

    dataset: str
    eta: float
    method: str
    seed: int
    folder: Path


def monitor_strength(monitor: str, probabilities: np.ndarray, config: Mapping[str, Any]) -> float:
    """c of a monitor; an expert knows the better response of every pair."""
    if monitor == "self":
        return self_consistency_c(config["delta"], config["delta_convention"])
    return expert_c(probabilities, expert=1.0, folded=True)


def solve_scenarios(config: Mapping[str, Any], probabilities: Mapping[str, np.ndarray]) -> list[Scenario]:
    """
    Solve the contract of every scenario.

    Args:
        config (`dict`): Configuration of `tasks/annotators/downstream.py`.
        probabilities (`dict[str, np.ndarray]`): True P(chosen is better) of the training pairs by dataset.

    Returns:
        `list[Scenario]`: For every dataset clean and fully corrupted labels, the contracts, and the budgets.
    """
    problem, n = PROFILES[config["profile"]], config["n_monitor"]
    scenarios = []
    for dataset, p in probabilities.items():
        scenarios.append(Scenario(dataset, CLEAN, effort=1.0))
        scenarios.append(Scenario(dataset, CORRUPTED, effort=0.0))
        for monitor in config["monitors"]:
            c = monitor_strength(monitor, p, config)
            for contract in config["contracts"]:
                found = solve_contract(problem, c, n, contract=contract, regime=config["regime"])
                scenarios.append(_from_solution(dataset, SOLVED, monitor, contract, c, n, found))
        c = monitor_strength(config["budget_monitor"], p, config)
        for budget in config["budgets"]:
            contract = config["budget_contract"]
            found = contract_for_budget(problem, c, n, budget, contract=contract)
            scenarios.append(_from_solution(dataset, BUDGET, config["budget_monitor"], contract, c, n, found, budget))
    return scenarios


def _from_solution(dataset, condition, monitor, contract, c, n, found, budget=None) -> Scenario:
    if not found.feasible:
        return Scenario(dataset, condition, monitor, contract, c, n, budget=budget, reason=found.reason)
    paid = found.expected_wage
    return Scenario(dataset, condition, monitor, contract, c, n, found.effort, paid, found.value, budget)


def methods_for(eta: float, methods: Iterable[str]) -> list[str]:
    """With η = 1 every method is the plain one, and with η = 0 the corrected likelihood is constant: nothing is learned."""
    return ["plain"] if eta in (0.0, 1.0) else list(methods)


def training_cells(scenarios: Iterable[Scenario], config: Mapping[str, Any]) -> list[Cell]:
    """Every training of the experiment, once; all trainings of a seed before the next seed."""
    root = Path(config["output_dir"]) / "runs"
    wanted = dict.fromkeys((s.dataset, s.eta) for s in scenarios if s.is_feasible)
    return [
        Cell(dataset, eta, method, seed, root / f"{slug(dataset)}-eta{eta:.{ETA_DIGITS}f}-{method}-seed{seed}")
        for seed in config["seeds"]
        for dataset, eta in wanted
        for method in methods_for(eta, config["methods"])
    ]


def slug(dataset: str) -> str:
    """Name of a dataset as part of a file name."""
    return Path(dataset).name


def scenario_table(scenarios: Iterable[Scenario]) -> pd.DataFrame:
    """One row per scenario."""
    rows = [{**asdict(s), "feasible": s.is_feasible, "name": s.name} for s in scenarios]
    return pd.DataFrame(rows)
