"""One calibrated reward model: find the pairs, train, or see that it is done already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.charm.train_config import training_keys
from tasks.train_config import ConfigError
from tasks.train_once import train_once


PAIRS_FILE = "pairs.jsonl"


def run_training(config: Mapping[str, Any]) -> None:
    """Train as tasks/charm/train.py configures it."""
    train_once(training_keys(config, str(find_pairs(config["pairs"]))))


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
