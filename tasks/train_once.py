"""A training that is not repeated when it is finished."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.train import ex as train_experiment


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
