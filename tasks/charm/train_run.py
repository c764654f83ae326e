"""One calibrated reward model: find pairs and model, train, or see that it is done already."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.charm.train_config import training_keys
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError


PAIRS_FILE, REPORT_FILE = "pairs.jsonl", "report.json"


def run_training(config: Mapping[str, Any]) -> None:
    """Train as [`tasks.charm.train`] configures it; a finished training with the same configuration is left alone."""
    from tasks.finished_runs import is_finished
    from tasks.train_data import load_training_data
    from tasks.train_run import hash_data

    pairs, model = find_pairs(config["pairs"], config["model"])
    keys = training_keys(config, str(pairs), model)
    defaults = dict(train_experiment.configurations[0]())
    whole, folder = defaults | keys, Path(config["output_dir"])
    if is_finished(folder, whole, defaults, lambda: hash_data(load_training_data(whole), whole), {"frozen_cache_dir"}):
        print(f"The training in {folder} is finished.")
        return
    train_experiment.run(config_updates=keys, options={"--loglevel": "WARNING"})


def find_pairs(source: str, model: str | None) -> tuple[Path, str]:
    """
    The file of pairs of a folder of calibrate.py, and the reward model whose scores they have.

    Raises:
        ConfigError: There are no pairs, or no report that names the model.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path = path / PAIRS_FILE
    if not path.is_file():
        raise ConfigError(f"pairs={source!r}: there is no file {path}. tasks/charm/calibrate.py writes it.")
    if model is not None:
        return path, model
    report = path.with_name(REPORT_FILE)
    try:
        return path, json.loads(report.read_text(encoding="utf-8"))["reward_model"]
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(
            f"the reward model to calibrate is not known: {report} does not name it ({error!r}). Set model."
        ) from None
