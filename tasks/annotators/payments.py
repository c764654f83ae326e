#!/usr/bin/env python
"""
What the best contracts pay: expected pay, pay at the best and at the worst outcome, against monitored samples.

    python tasks/annotators/payments.py
    python tasks/annotators/payments.py with datasets=pku,ultra profiles=paper_low delta=0.1
    python tasks/annotators/payments.py with restricted=True                     # at the effort of the first best
    python tasks/annotators/payments.py with original_plot=True                  # also the setting of the original's plot

Writes payments.csv, results.json and a figure per profile and delta, each with its numbers as CSV.
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


SCRIPT = "tasks/annotators/payments.py"

ex = set_up(PrivateExperiment("payments", save_git_info=False))


@ex.config
def default():
    # Lists may be written as [a,b], a,b or a single value
    datasets = ["pku", "sky", "helpsteer", "ultra"]  # synthetic sets, or directories of prepare_oracle_data.py
    monitors = ["self", "expert"]
    contracts = ["linear", "binary"]
    delta = [0.02]
    delta_convention = "paper"
    profiles = ["paper_high"]
    reservation = 0.0
    n_list = None  # None: 1, 11, ..., 201 for pku and 1, 11, ..., 101 for others
    uniform_n_grid = False
    solver = "exact"  # or paper_grid
    processes = 2
    restricted = False  # True: contracts for the effort of the first best
    original_plot = False  # True: also expected bonus by effort, as in the original's plot of payments
    skip_plots = False
    output_dir = "outputs/payments"


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
    from tasks.annotators.original_payments import bonus_by_effort
    from tasks.annotators.section4_sweep import sweep
    from tasks.atomic_files import atomic_path, remove_stale
    from tasks.json_files import write_json
    from tasks.provenance import command, hash_rows, package_versions
    from trl_ext.annotators.contracts import PROFILES
    from trl_ext.reporting import plot_bonus_by_effort, plot_payments

    output = Path(config["output_dir"])
    start = time.perf_counter()
    rows, facts = sweep(config, output / "unfinished.jsonl")
    table = payment_table(rows, "SB_tilde" if config["restricted"] else "SB", config["reservation"])
    with atomic_path(output / "payments.csv") as temporary:
        table.to_csv(temporary, index=False)
    names = [*(f"payments_{profile}_delta*" for profile in PROFILES), "bonus_by_effort"]
    remove_stale(output / "figures", *(f"{name}.{suffix}" for name in names for suffix in ("png", "csv")))
    remove_stale(output, "bonus_by_effort.csv")
    figures = []
    if not config["skip_plots"]:
        for (profile, delta), group in table.groupby(["profile", "delta"], sort=False):
            path = output / "figures" / f"payments_{profile}_delta{delta:g}.png"
            title = f"{profile}, δ = {delta:g}, " + ("first-best effort" if config["restricted"] else "second best")
            figures.append(plot_payments(group, path, title=title)[0])
    if config["original_plot"]:
        bonus = bonus_by_effort(config["datasets"], config["monitors"])
        with atomic_path(output / "bonus_by_effort.csv") as temporary:
            bonus.to_csv(temporary, index=False)
        if not config["skip_plots"]:
            figures.append(plot_bonus_by_effort(bonus, output / "figures" / "bonus_by_effort.png")[0])
    results = {
        **facts,
        "n_rows": len(table),
        "seconds": time.perf_counter() - start,
        "figures": [str(path.relative_to(output)) for path in figures],
        "method": f"solver {config['solver']}; deterministic, no sampling error",
        "provenance": {
            "command": command(SCRIPT),
            # without the seed that Sacred draws: nothing here is random
            "config": {key: value for key, value in config.items() if key != "seed"},
            "versions": package_versions(),
            "rows_sha256": hash_rows(table, list(table.columns)),
        },
    }
    write_json(output / "results.json", results)
    shown = table.sort_values("n").groupby(["profile", "delta", "dataset", "monitor", "contract"]).last()
    columns = ["n", "effort", "expected_pay", "pay_worst", "pay_best", "first_best_pay"]
    print(shown[columns].to_string(float_format="{:.4f}".format))
    print(f"Written to {output}")
    return {name: value for name, value in results.items() if name not in ("provenance", "figures")}


def payment_table(rows, regime: str, reservation: float):
    """Expected pay, pay without any agreement and with all of them, and the pay of the first best."""
    from tasks.annotators.section4_solve import make_problem
    from trl_ext.annotators.contracts import first_best

    table = rows.loc[rows["regime"] == regime].drop(columns=["agent_utility", "gap", "exp_para", "mu_variant"])
    problems = {name: make_problem(name, reservation) for name in table["profile"].unique()}
    pairs = zip(table["profile"], table["effort"], strict=True)
    benefits = [float(problems[name].benefit.value(effort)) for name, effort in pairs]
    best = {name: first_best(problem).wage for name, problem in problems.items()}
    return table.assign(
        expected_pay=benefits - table["principal_utility"],
        pay_worst=table["c2"],
        pay_best=table["c1"] + table["c2"],
        first_best_pay=table["profile"].map(best),
    ).reset_index(drop=True)


if __name__ == "__main__":
    run_experiment(ex)
