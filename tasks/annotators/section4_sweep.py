"""Contracts for every dataset, δ, monitor, kind of contract, n and profile, as tables."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tasks.annotators.probability_sets import load_probabilities
from tasks.annotators.section4_solve import REGIMES, Problem, solve_all
from trl_ext.annotators import expert_c, self_consistency_c


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
