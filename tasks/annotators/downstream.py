#!/usr/bin/env python
"""
From a contract to a reward model: the effort it buys, the labels of that effort, and what a reward model learns from them.

    python tasks/annotators/downstream.py                                        # demo data, small, offline
    python tasks/annotators/downstream.py with n_monitor=5 budgets=0.02,0.05,0.1
    python tasks/annotators/downstream.py with paper datasets=outputs/oracle-helpsteer,outputs/oracle-pku
    python tasks/annotators/downstream.py report                                 # the table of what is there so far

Every training is made once, however many scenarios share it. Finished ones are skipped and an interrupted one is resumed:
the same command goes on.
"""

import copy
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.annotators.section4_config import CONTRACTS, MONITORS, parse_list
from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError, check_config, check_keys
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("annotators_downstream", save_git_info=False))

# Set by the experiment itself
_OWN_KEYS = (
    *("output_dir", "experiment_tag", "seed", "data_seed", "train_data_path", "eval_data_path", "rapl_col_id"),
    *("noise_method", "label_col_name", "eta_col_name", "oracle_col_name", "train_dataset_size"),
)
SCRIPT = "tasks/annotators/downstream.py"


@ex.config
def default():
    datasets = ["demo"]  # "demo", or directories that prepare_oracle_data.py has written
    monitors = ["self", "expert"]
    contracts = ["linear", "binary"]
    n_monitor = 10  # checks per annotator
    profile = "paper_high"  # utility, cost and benefit: a key of trl_ext.annotators.contracts.PROFILES
    regime = "second_best"  # second_best or restricted
    delta = 0.02  # probability that a committed annotator contradicts themselves
    delta_convention = "paper"  # paper: c = 1 - delta; model: c = 1 - 2 delta
    budgets = []  # expected wages for the budget curve
    budget_monitor = "expert"
    budget_contract = "linear"
    label_kind = "hard"  # hard or soft
    methods = ["plain", "forward"]  # trainings on corrupted labels: plain, or noise methods of tasks/train.py
    seeds = [42, 43, 44]  # of labels and training
    evaluation_share = 0.2
    split_seed = 0
    train_dataset_size = 0  # 0: all
    output_dir = "outputs/annotators-downstream"
    keep_models = False  # False: the weights of a run are removed when its rewards are written
    solve_only = False  # True: print the contracts and stop
    skip_plots = False
    # Any key of tasks/train.py, for all trainings. Small enough for a CPU: the last layer, on cached hidden states
    train = {
        "model_name": "bundled:all-minilm-l6-v2",
        "use_peft": False,
        "train_last_layers": 1,
        "frozen_cache_dir": "outputs/frozen-minilm",
        "weight_scale": 1.0,
        "learning_rate": 5e-4,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 8,
        "gradient_accumulation_steps": 1,
    }


# What the original trains
ex.add_named_config(
    "paper",
    {
        "n_monitor": 100,
        "train": {
            "model_name": "meta-llama/Llama-3.2-1B-Instruct",
            "train_last_layers": None,
            "frozen_cache_dir": None,
            "weight_scale": 1.0,
            "learning_rate": 1e-5,
            "num_train_epochs": 2,
            "per_device_train_batch_size": 8,
            "gradient_accumulation_steps": 16,
            "lr_warmup_ratio": 0.1,
            "weight_decay": 1e-3,
            "max_length": 2048,
        },
    },
)


_LISTS = {
    "datasets": (str, None),
    "monitors": (str, MONITORS),
    "contracts": (str, CONTRACTS),
    "methods": (str, ("plain", "forward", "backward")),
    "seeds": (int, None),
    "budgets": (float, None),
}
_CHOICES = {
    "regime": ("second_best", "restricted"),
    "delta_convention": ("paper", "model"),
    "label_kind": ("hard", "soft"),
    "budget_monitor": MONITORS,
    "budget_contract": CONTRACTS,
}


def _with_lists(config: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the configuration in which lists that were written as text are lists."""
    lists = {
        key: parse_list(key, config[key], *kind)
        for key, kind in _LISTS.items()
        if key != "budgets" or config[key]  # the only list that may be empty
    }
    return copy.deepcopy(dict(config)) | lists


@ex.config_hook
def check(config, command_name, logger):
    config = _with_lists(config)
    check_keys({key: value for key, value in config.items() if key != "seed"}, _DEFAULTS, SCRIPT)
    for key, allowed in _CHOICES.items():
        if config[key] not in allowed:
            raise ConfigError(f"{key} must be one of {', '.join(allowed)}, got {config[key]!r}")
    from trl_ext.annotators.contracts import PROFILES

    if config["profile"] not in PROFILES:
        raise ConfigError(f"profile must be one of {', '.join(PROFILES)}, got {config['profile']!r}")
    if not all(budget > 0 for budget in config["budgets"]):
        raise ConfigError(f"budgets must be positive, got {config['budgets']}")
    if config["train_dataset_size"] < 0:
        raise ConfigError(f"train_dataset_size must be 0 (all) or positive, got {config['train_dataset_size']}")
    if not config["n_monitor"] > 0:
        raise ConfigError(f"n_monitor must be positive, got {config['n_monitor']}")
    if not 0 < config["evaluation_share"] < 1:
        raise ConfigError(f"evaluation_share must lie strictly between 0 and 1, got {config['evaluation_share']}")
    if "plain" not in config["methods"]:
        raise ConfigError(
            "methods must contain plain: clean labels are trained on like that, and gains are against it"
        )
    names = [Path(dataset).name for dataset in config["datasets"]]
    if len(set(names)) < len(names):
        raise ConfigError(f"the directories of datasets must have different names, got {names}")
    if own := [key for key in _OWN_KEYS if key in config["train"]]:
        raise ConfigError(f"train.{own[0]} is set by the experiment: use datasets, methods, seeds and output_dir")
    check_config(
        _TRAIN_DEFAULTS | _training_keys(config, "plain", "train.parquet", "held_out.parquet"), _TRAIN_DEFAULTS
    )
    return {}


_DEFAULTS = dict(ex.configurations[0]())
_TRAIN_DEFAULTS = dict(train_experiment.configurations[0]())


def _training_keys(config: Mapping[str, Any], method: str, train_path: str, held_out_path: str) -> dict[str, Any]:
    fixed = {"eval_before_training": False, "verify_round_trip": False, "eval_strategy": "no", "save_steps": 0.5}
    return {
        **fixed,
        **copy.deepcopy(dict(config["train"])),
        "train_data_path": train_path,
        "eval_data_path": held_out_path,
        "rapl_col_id": None,
        "noise_method": "soft_label" if method == "plain" else method,
    }


def cell_config(config: Mapping[str, Any], cell, train_path: Path, held_out_path: Path) -> dict[str, Any]:
    """Keys of `tasks/train.py` for one training."""
    keys = _training_keys(config, cell.method, str(train_path), str(held_out_path))
    return {**keys, "seed": cell.seed, "output_dir": str(cell.folder)}


class Downstream:
    """
    The scenarios of a configuration, their data and their trainings.

    Args:
        config (`dict`): Configuration of the experiment.
    """

    def __init__(self, config: Mapping[str, Any]):
        from tasks.annotators.downstream_data import load_splits, write_held_out
        from tasks.annotators.downstream_scenarios import solve_scenarios, training_cells

        self.config, self.root = config, Path(config["output_dir"])
        self.splits = {dataset: load_splits(dataset, config) for dataset in config["datasets"]}
        self.scenarios = solve_scenarios(config, {name: splits.probabilities for name, splits in self.splits.items()})
        self.cells = training_cells(self.scenarios, config)
        self._training_pairs: dict[tuple[str, float, int], Path] = {}
        self.held_out = {name: write_held_out(splits, name, self.root) for name, splits in self.splits.items()}

    def training(self, cell) -> dict[str, Any]:
        """Keys of `tasks/train.py` for a training, of which the data are written."""
        from tasks.annotators.downstream_data import write_training_pairs

        key = (cell.dataset, cell.eta, cell.seed)  # the methods share the labels
        if key not in self._training_pairs:
            splits = self.splits[cell.dataset]
            self._training_pairs[key] = write_training_pairs(splits, cell, self.config["label_kind"], self.root)
        return cell_config(self.config, cell, self._training_pairs[key], self.held_out[cell.dataset])

    def is_finished(self, cell) -> bool:
        """Whether a training is complete. Raises if its folder holds another one."""
        from tasks.finished_runs import is_finished
        from tasks.provenance import hash_training_data
        from tasks.train_data import load_training_data

        config = _TRAIN_DEFAULTS | self.training(cell)
        return is_finished(
            cell.folder,
            config,
            _TRAIN_DEFAULTS,
            lambda: hash_training_data(load_training_data(config).train),
            places={"frozen_cache_dir"},
            hashed_files={"train_data_path", "eval_data_path"},
        )


@ex.main
def main(_config, _run, train):  # `train` declares that new keys below it are used
    raise_on_sigterm()
    from tasks.finished_runs import remove_weights

    config = _with_lists(_config)
    experiment = _open(config)
    is_main = int(os.environ.get("RANK", 0)) == 0
    if is_main:
        _show_contracts(experiment)
    if config["solve_only"]:
        return
    todo = []
    for cell in experiment.cells:
        if not experiment.is_finished(cell):
            todo.append(cell)
        elif is_main and not config["keep_models"]:  # of a run that was killed before it could
            remove_weights(cell.folder, checkpoints=not experiment.training(cell).get("keep_checkpoints", False))
    print(
        f"{len(experiment.cells)} trainings, {len(experiment.cells) - len(todo)} of them finished before.", flush=True
    )
    for number, cell in enumerate(todo, 1):
        print(f"\n[{number}/{len(todo)}] {cell.folder.name}", flush=True)
        train_experiment.run(config_updates=experiment.training(cell), options={"--loglevel": "WARNING"})
        if is_main and not config["keep_models"]:
            remove_weights(cell.folder)
    if is_main:
        _report(experiment)


@ex.command
def report(_config, train):
    """The table of the trainings that are finished."""
    _report(_open(_with_lists(_config)))


def _open(config: dict[str, Any]) -> Downstream:
    try:
        return Downstream(config)
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


def _show_contracts(experiment: Downstream) -> None:
    from tasks.annotators.downstream_scenarios import scenario_table
    from tasks.atomic_files import atomic_path

    table = scenario_table(experiment.scenarios)
    with atomic_path(experiment.root / "contracts.csv") as temporary:
        table.to_csv(temporary, index=False)
    columns = ["dataset", "name", "c", "n", "effort", "wage", "value", "reason"]
    print(table[columns].round(4).to_string(index=False), flush=True)


def _report(experiment: Downstream) -> None:
    from tasks.annotators import downstream_table as tables
    from tasks.atomic_files import atomic_path
    from tasks.json_files import write_json
    from tasks.provenance import command, hash_file, package_versions

    config, root = experiment.config, experiment.root
    finished = [cell for cell in experiment.cells if experiment.is_finished(cell)]
    if not finished:
        raise ConfigError(f"no finished training in {config['output_dir']}")
    results = tables.Results(finished)
    table = tables.result_table(experiment.scenarios, results, config["methods"])
    entropy = {name: tables.mean_entropy(splits.held_out) for name, splits in experiment.splits.items()}
    markdown = tables.format_markdown(table, entropy)
    for name, text in (("table.md", markdown), ("table.csv", table.to_csv(index=False))):
        with atomic_path(root / name) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(
        root / "results.json",
        {
            "figures": table.to_dict("records"),
            "entropy": entropy,
            "trainings": {"finished": len(finished), "planned": len(experiment.cells)},
            "provenance": {
                "command": command(SCRIPT),
                "config": config,
                "versions": package_versions(),
                "held_out_sha256": {name: hash_file(path) for name, path in experiment.held_out.items()},
            },
        },
    )
    print(f"\n{markdown}\n(95 % intervals, clustered by held-out prompt and by seed; figures after the last step)")
    if len(config["seeds"]) == 1:
        print("One seed: the intervals do not cover other draws of labels and weights.")
    print(f"{len(finished)} of {len(experiment.cells)} trainings are in it.")
    if not config["skip_plots"]:
        _plot(table, entropy, root)
    print(f"Written to {root}: contracts.csv, table.md, table.csv, results.json")


def _plot(table, entropy: Mapping[str, float], root: Path) -> None:
    from trl_ext.reporting.downstream_figures import plot_budget_curve, plot_scenarios

    try:
        plot_scenarios(table, entropy, root / "scenarios.png")
        if (table["condition"] == "budget").any():
            plot_budget_curve(table, entropy, root / "budget.png")
    except ImportError as error:
        print(f"No plots: {error}")


if __name__ == "__main__":
    run_experiment(ex)
