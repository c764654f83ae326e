#!/usr/bin/env python
"""
What it costs not to see effort: gaps between first best and contracts that rest on monitoring (section 4 of the paper).

    python tasks/annotators/contract_gaps.py                                         # gap, effort and utility against n
    python tasks/annotators/contract_gaps.py with delta_sensitivity                  # nine values of delta
    python tasks/annotators/contract_gaps.py with delta_sensitivity delta='[0,0.02]' datasets=pku,sky skip_plots=True
    python tasks/annotators/contract_gaps.py with utility_profiles                   # of the paper's updated version
    python tasks/annotators/contract_gaps.py with solver=paper_grid n_list=51        # as the original program searches

Writes delta_sweep_summary.csv, figure3_delta_utility_summary.csv, results.json and figures, each with its numbers as
CSV. An interrupted run is resumed by the same command.
"""

import copy
import sys
import time
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.annotators.section4_config import checked
from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train_config import ConfigError
from tasks.train_observers import PrivateExperiment


SCRIPT = "tasks/annotators/contract_gaps.py"

ex = set_up(PrivateExperiment("contract_gaps", save_git_info=False))


@ex.config
def default():
    # Lists may be written as [a,b], a,b or a single value
    datasets = ["pku", "sky", "helpsteer", "ultra"]  # synthetic sets, or directories of prepare_oracle_data.py
    monitors = ["self", "expert"]
    contracts = ["linear", "binary"]
    delta = [0.02]  # disagreement of a committed annotator with herself
    delta_convention = "paper"  # c = 1 - delta; "model": 1 - 2 delta, which follows from the stated model
    profiles = ["paper_high", "paper_low", "paper_high_half", "paper_low_half"]  # utilities, see PROFILES
    reservation = 0.0  # utility of the annotator without a contract, U_0
    n_list = None  # monitored samples; None: 1, 11, ..., 201 for pku and 1, 11, ..., 101 for others
    uniform_n_grid = False  # 1, 11, ..., 201 for all datasets
    solver = "exact"  # or paper_grid, the search of the original: 3 s a binary problem
    processes = 2
    skip_plots = False
    output_dir = "outputs/contract_gaps"


ex.add_named_config(
    "delta_sensitivity",
    {"delta": [0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3], "output_dir": "outputs/delta_sensitivity"},
)
ex.add_named_config(
    "utility_profiles",
    {
        "delta": [0.0, 0.01, 0.02, 0.05, 0.1, 0.2],
        "profiles": ["risk_averse_poly", "high_cost_exp"],
        "uniform_n_grid": True,
        "output_dir": "outputs/utility_profiles",
    },
)


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything
    checked(config, _DEFAULTS, SCRIPT)
    return {}


_DEFAULTS = dict(ex.configurations[0]())


@ex.main
def main(_config):
    raise_on_sigterm()
    try:
        return run(copy.deepcopy(dict(_config)) | checked(_config, _DEFAULTS, SCRIPT))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


def run(config: dict) -> dict:
    """Solve, write the files, and return the results."""
    from tasks.annotators.section4_solve import make_problem
    from tasks.annotators.section4_sweep import mean_gaps, sweep, sweep_table, wide_table
    from tasks.atomic_files import atomic_path, remove_stale
    from tasks.json_files import write_json
    from tasks.provenance import command, hash_rows, package_versions
    from trl_ext.annotators.contracts import PROFILES, first_best

    output = Path(config["output_dir"])
    start = time.perf_counter()
    rows, facts = sweep(config, output / "unfinished.jsonl")
    solved = time.perf_counter()
    for name, table in (
        ("delta_sweep_summary", sweep_table(rows)),
        ("figure3_delta_utility_summary", wide_table(rows)),
    ):
        with atomic_path(output / f"{name}.csv") as temporary:
            table.to_csv(temporary, index=False)
    names = [*(f"gaps_{profile}_delta*" for profile in PROFILES), "gap_by_delta", "profiles"]
    remove_stale(output / "figures", *(f"{name}.{suffix}" for name in names for suffix in ("png", "csv")))
    figures = [] if config["skip_plots"] else _plot(rows, config, output / "figures")
    best = {name: vars(first_best(make_problem(name, config["reservation"]))) for name in config["profiles"]}
    results = {
        **facts,
        "n_rows": len(rows),
        "first_best": best,
        "gaps": mean_gaps(rows),
        "seconds": {"contracts": solved - start, "figures": time.perf_counter() - solved},
        "figures": [str(path.relative_to(output)) for path in figures],
        "method": f"solver {config['solver']}; deterministic, no sampling error",
        "provenance": {
            "command": command(SCRIPT),
            # without the seed that Sacred draws: nothing here is random
            "config": {key: value for key, value in config.items() if key != "seed"},
            "versions": package_versions(),
            "rows_sha256": hash_rows(rows, list(rows.columns)),
        },
    }
    write_json(output / "results.json", results)
    print(_summary(rows, results))
    print(f"Written to {output}")
    return {name: value for name, value in results.items() if name not in ("provenance", "gaps", "figures")}


def _plot(rows, config: dict, folder: Path) -> list[Path]:
    from tasks.annotators.section4_solve import make_problem, parallel_map
    from trl_ext.reporting import plot_contract_gaps, plot_gaps_by_delta, plot_utility_profiles

    groups = [
        (group, folder / f"gaps_{profile}_delta{delta:g}.png", f"{profile}, δ = {delta:g}")
        for (profile, delta), group in rows.groupby(["profile", "delta"], sort=False)
    ]
    paths = [png for png, _ in parallel_map(plot_contract_gaps, groups, config["processes"], "figures")]
    if len(config["delta"]) > 1 and "self" in config["monitors"]:
        paths.append(plot_gaps_by_delta(rows, folder / "gap_by_delta.png")[0])
    problems = {name: make_problem(name, config["reservation"]) for name in config["profiles"]}
    paths.append(plot_utility_profiles(problems, folder / "profiles.png")[0])
    return paths


def _summary(rows, results: dict) -> str:
    second = rows[rows["regime"] == "SB"].sort_values("n")
    largest = second.groupby(["profile", "dataset", "monitor", "contract", "delta"])["gap"].last()
    table = largest.unstack("delta")
    seconds = results["seconds"]
    return (
        f"Relative gap of the second best at the largest n, by delta:\n{table.to_string(float_format='{:.4f}'.format)}\n"
        f"{results['n_rows']} rows of {results['n_combinations']} combinations, {results['n_problems']} distinct "
        f"problems; {seconds['contracts']:.1f} s contracts, {seconds['figures']:.1f} s figures; infeasible: "
        + ", ".join(f"{regime} {count}" for regime, count in results["n_infeasible"].items())
    )


if __name__ == "__main__":
    run_experiment(ex)
