"""Runs of a grid that `tasks/train.py` has finished, so that the same command goes on where it was stopped."""

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.resume import RUN_FILE, fixed_part
from tasks.train_config import ConfigError


def is_finished(
    folder: Path,
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    data_sha256: Callable[[], str],
    places: Collection[str] = (),
    hashed_files: Collection[str] = (),
) -> bool:
    """
    Whether the results of a run are there.

    Args:
        folder (`Path`): Output directory of the run.
        config (`dict`): Whole configuration of `tasks/train.py` for the run.
        defaults (`dict`): Default configuration of `tasks/train.py`: a key it got since a run had the effect of its default.
        data_sha256 (`Callable`): Gives the hash of the training pairs; only called if there is something to compare.
        places (`Collection[str]`): Keys that say where things are, not what they are: they are not compared.
        hashed_files (`Collection[str]`): Keys of files whose names tell their content: names are compared, folders not.

    Raises:
        ConfigError: If the results there are those of another configuration or of other data.
    """
    try:
        state = json.loads((folder / RUN_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    if state["status"] != "complete" or not (folder / "results.json").is_file():
        return False
    there = fixed_part(defaults) | state["config"]
    here = fixed_part(config)
    for part, key in ((part, key) for part in (there, here) for key in hashed_files):
        part[key] = Path(part[key]).name
    for key in sorted((there.keys() | here.keys()) - set(places)):
        if there.get(key) != here.get(key):
            raise ConfigError(
                f"{folder} has the results of another configuration ({key}: {there.get(key)!r} there, "
                f"{here.get(key)!r} here). Set another output_dir, or remove the folder."
            )
    if state["data_sha256"] != data_sha256():
        raise ConfigError(f"{folder} has the results of other data. Set another output_dir, or remove it.")
    return True


def remove_weights(folder: Path) -> None:
    """Remove the weights of a finished run; its rewards and figures stay."""
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
