#!/usr/bin/env python
"""
Train a grid of reward models, method x reliability x fold x seed, and print the table of the RAPL paper.

    python tasks/rapl/experiment.py                                              # demo data, bundled model
    python tasks/rapl/experiment.py with table1 lie_data_dir=PATH train.model_name=Qwen/Qwen3-0.6B
    python tasks/rapl/experiment.py with lie minilm lie_data_dir=PATH
    python tasks/rapl/experiment.py report with lie minilm lie_data_dir=PATH     # the table of what is there so far

Finished runs are skipped and an interrupted one is resumed: the same command goes on.
"""

import copy
import json
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*", category=FutureWarning)

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.rapl.experiment_rows import PUBLISHED, parse_row
from tasks.train import LIE
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError, check_config, check_keys
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("rapl_experiment", save_git_info=False))

# Set by the grid itself
_OWN_KEYS = ("output_dir", "experiment_tag", "seed", "data_seed", "demo_seed", "lie_fold", "lie_data_dir")


@ex.config
def default():
    rows = ["standard", "beta/reliability", "p/reliability", "p/reliability/mean", "p/0.9"]  # see experiment_rows.py
    folds = [0]  # folds of LIE; of the demo data, seeds of the split and of the simulated annotators
    seeds = [42]
    lie_data_dir = None  # a clone of the RAPL data; None: the demo data
    output_dir = "outputs/rapl"
    keep_models = False  # False: the weights of a run are removed when its rewards are written
    train = {}  # any key of tasks/train.py, for all runs


_LIE_TRAINING = {
    key: value for key, value in LIE.items() if key not in ("rapl_col_id", "is_rapl_score_correctness_prob")
}

# The comparison of docs/rapl_results.md
ex.add_named_config(
    "lie",
    {
        "rows": [
            *("standard", "beta/confidence", "p/confidence", "beta/true", "p/true"),
            *("p/true/mean", "p/0.9", "filter/true/0.65"),
        ],
        "folds": [0, 1, 2, 3, 4],
        "output_dir": "outputs/rapl-lie",
        "train": _LIE_TRAINING,
    },
)
# Every row of Table 1 for which the data have a column, as the paper trains
ex.add_named_config(
    "table1",
    {
        "rows": [name for name in PUBLISHED if "llm" not in name],
        "folds": [0, 1, 2, 3, 4],
        "output_dir": "outputs/rapl-lie",
        "train": _LIE_TRAINING,
    },
)
# Small enough for a CPU: the last two layers, on hidden states of the others that all runs share
_SMALL = {
    "train_last_layers": 2,
    "weight_scale": 1.0,
    "learning_rate": 1e-4,
    "num_train_epochs": 1,
    "per_device_train_batch_size": 16,
    "gradient_accumulation_steps": 1,
    "lr_warmup_ratio": 0.1,
    "group_by_length": True,
}
for _name, _model in (("minilm", "bundled:all-minilm-l6-v2"), ("smollm2", "bundled:smollm2-135m-instruct")):
    _train = {**_SMALL, "model_name": _model, "frozen_cache_dir": f"outputs/frozen-{_name}"}
    if _name == "smollm2":
        _train["bf16"] = True  # its hidden states are computed in half the time and take half the space
    ex.add_named_config(_name, {"output_dir": f"outputs/rapl-{_name}", "train": _train})


@ex.config_hook
def check(config, command_name, logger):
    check_keys({key: value for key, value in config.items() if key != "seed"}, _DEFAULTS, "tasks/rapl/experiment.py")
    for key, kind in (("rows", str), ("folds", int), ("seeds", int)):
        values = config[key]
        if not values or len(set(values)) < len(values) or not all(type(value) is kind for value in values):
            raise ConfigError(f"{key} must be a list of different {kind.__name__} values, got {list(values)}")
    if own := [key for key in _OWN_KEYS if key in config["train"]]:
        raise ConfigError(f"train.{own[0]} is set by the grid: use rows, folds, seeds, lie_data_dir and output_dir")
    if config["lie_data_dir"] is None and config["train"].get("eval_on_lie_test"):
        raise ConfigError("these rows are of LIE: set lie_data_dir to a clone of the RAPL data")
    try:
        for cell in make_cells(config):
            check_config(effective_config(config, cell), _TRAIN_DEFAULTS)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return {}


_DEFAULTS = dict(ex.configurations[0]())
_TRAIN_DEFAULTS = dict(train_experiment.configurations[0]())


def make_cells(config: Mapping[str, Any]) -> list:
    """Every run of the grid; all rows of a fold before the next fold, so that part of a grid can be compared."""
    from tasks.rapl.experiment_table import Cell

    root = Path(config["output_dir"])
    return [
        Cell(row, fold, seed, root / row.folder / f"fold{fold}-seed{seed}")
        for seed in config["seeds"]
        for fold in config["folds"]
        for row in map(parse_row, config["rows"])
    ]


def cell_config(config: Mapping[str, Any], cell) -> dict[str, Any]:
    """Keys of `tasks/train.py` for one run."""
    data = {"demo_seed": cell.fold}
    if config["lie_data_dir"] is not None:
        data = {"lie_data_dir": config["lie_data_dir"], "lie_fold": cell.fold}
    fixed = {"eval_before_training": False, "verify_round_trip": False, "eval_strategy": "no", "save_steps": 0.5}
    return {
        **fixed,
        **copy.deepcopy(dict(config["train"])),
        **cell.row.updates,
        **data,
        "seed": cell.seed,
        "output_dir": str(cell.folder),
    }


def effective_config(config: Mapping[str, Any], cell) -> dict[str, Any]:
    """The whole configuration of `tasks/train.py` for one run."""
    return _TRAIN_DEFAULTS | cell_config(config, cell)


# Where things are, not what they are: the data are compared by their hash
_PLACES = {"lie_data_dir", "frozen_cache_dir"}


class FinishedRuns:
    """
    Which runs of a grid are there already.

    Args:
        config (`dict`): Configuration of the grid.
    """

    def __init__(self, config: Mapping[str, Any]):
        self.config = config
        self.hashes: dict[tuple[int, int], str] = {}

    def _data_hash(self, cell) -> str:
        from tasks.provenance import hash_training_data
        from tasks.train_data import load_training_data

        key = (cell.fold, cell.seed)
        if key not in self.hashes:  # all rows of the table share the data
            self.hashes[key] = hash_training_data(load_training_data(effective_config(self.config, cell)).train)
        return self.hashes[key]

    def __contains__(self, cell) -> bool:
        """Whether the results of a run are there. Raises if they are those of another configuration or other data."""
        from tasks.finished_runs import is_finished

        config = effective_config(self.config, cell)
        return is_finished(cell.folder, config, _TRAIN_DEFAULTS, lambda: self._data_hash(cell), _PLACES)


@ex.main
def main(_config, _run, train):
    raise_on_sigterm()
    from tasks.finished_runs import remove_weights

    config = copy.deepcopy(_config)
    cells = make_cells(config)
    finished = FinishedRuns(config)
    todo = [cell for cell in cells if cell not in finished]
    print(f"{len(cells)} runs, {len(cells) - len(todo)} of them finished before.", flush=True)
    is_main = int(os.environ.get("RANK", 0)) == 0
    if is_main and not config["keep_models"]:  # of a run that was killed before it could
        for cell in cells:
            if cell not in todo:
                remove_weights(cell.folder)
    failed = []
    for number, cell in enumerate(todo, 1):
        print(f"\n[{number}/{len(todo)}] {cell.row.title}, {cell.name}", flush=True)
        try:
            train_experiment.run(config_updates=cell_config(config, cell), options={"--loglevel": "WARNING"})
        except ConfigError:
            raise  # the next run would stumble over the same
        except Exception as error:  # the others are still worth having
            failed.append(f"{cell.folder}: {type(error).__name__}: {error}")
            print(f"FAILED: {failed[-1]}", file=sys.stderr, flush=True)
            continue
        if is_main and not config["keep_models"]:
            remove_weights(cell.folder)
    if is_main and len(failed) < len(cells):
        _report(config)
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(todo)} runs failed; the same command tries them again: {failed[0]}")


@ex.command
def report(_config, train):
    """The table of the runs that are finished."""
    _report(copy.deepcopy(_config))


def _report(config: dict[str, Any]) -> None:
    from tasks.json_files import write_json
    from tasks.provenance import command, package_versions
    from tasks.rapl import experiment_table as table

    cells: dict[str, list] = {}
    finished = FinishedRuns(config)
    for cell in make_cells(config):
        if cell in finished:
            cells.setdefault(cell.row.name, []).append(cell)
    if not cells:
        raise ConfigError(f"no finished run in {config['output_dir']}")
    summaries = {name: table.summarise(group) for name, group in cells.items()}
    figures = {name: figures for name, (figures, _) in summaries.items()}
    differences = {
        name: table.difference_to(gains, summaries["standard"][1])
        for name, (_, gains) in summaries.items()
        if "standard" in summaries and name != "standard"
    }
    root = Path(config["output_dir"])
    markdown = table.format_markdown(figures, differences, cells)
    (root / "table.md").write_text(markdown, encoding="utf-8")
    long = table.long_table(figures, differences, cells)
    long.to_csv(root / "table.csv", index=False)
    runs = {
        str(cell.folder.relative_to(root)): json.loads((cell.folder / "results.json").read_text())["provenance"]
        for group in cells.values()
        for cell in group
    }
    write_json(
        root / "table.json",
        {
            "figures": long.to_dict("records"),
            "provenance": {
                "command": command("tasks/rapl/experiment.py"),
                "config": config,
                "versions": package_versions(),
                "runs": {
                    name: {
                        key: run[key] for key in ("model", "data_sha256", "dtype", "autocast", "attention", "length")
                    }
                    for name, run in runs.items()
                },
            },
        },
    )
    print(f"\n{markdown}\n(95 % intervals, two-way clustered by test question and run; published: mean ± as printed)")
    try:
        table.plot(figures, cells, root / "table.png")
    except ModuleNotFoundError:
        print("No plot: pip install matplotlib")
    print(f"Written to {root}: table.md, table.csv, table.json, table.png")


if __name__ == "__main__":
    run_experiment(ex)
