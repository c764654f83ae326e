"""One calibrated reward model: find the pairs, train, or see that it is done already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.charm.train_config import training_keys
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError


PAIRS_FILE = "pairs.jsonl"


def run_training(config: Mapping[str, Any]) -> None:
    """Train as tasks/charm/train.py configures it."""
    train_once(training_keys(config, str(find_pairs(config["pairs"]))))


def train_once(keys: Mapping[str, Any]) -> None:
    """
    Train with tasks/train.py, unless the training is finished.

    Args:
        keys (`Mapping`): Keys of tasks/train.py that are not at their defaults.
    """
    from tasks.finished_runs import check_weights, is_finished
    from tasks.train_data import load_training_data
    from tasks.train_run import hash_data

    defaults = dict(train_experiment.configurations[0]())
    whole, folder = defaults | keys, Path(keys["output_dir"])
    if is_finished(folder, whole, defaults, lambda: hash_data(load_training_data(whole), whole), {"frozen_cache_dir"}):
        check_weights(folder)
        print(f"The training in {folder} is finished.")
        return
    train_experiment.run(config_updates=dict(keys), options={"--loglevel": "WARNING"})


def find_pairs(source: str) -> Path:
    """
    The file of pairs: `source`, or the one in the folder `source`.

    Raises:
        ConfigError: There is none.
    """
    path = Path(source).expanduser()
    if path.is_dir():
        path = path / PAIRS_FILE
    if not path.is_file():
        raise ConfigError(f"pairs={source!r}: there is no file {path}. tasks/charm/calibrate.py writes it.")
    return path
