"""Runs of a grid that `tasks/train.py` has finished, so that the same command goes on where it was stopped."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from tasks.resume import RUN_FILE, fixed_part
from tasks.train_config import ConfigError


_AGAIN = "Remove the folder to train again, or set another output_dir."


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
    except ValueError as error:
        raise ConfigError(f"{folder / RUN_FILE} is not JSON ({error}). {_AGAIN}") from error
    if not isinstance(state, dict) or not {"status", "config", "data_sha256"} <= state.keys():
        raise ConfigError(f"{folder / RUN_FILE} is damaged: it must have status, config and data_sha256. {_AGAIN}")
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


def remove_weights(folder: Path, *, checkpoints: bool = False) -> None:
    """Remove the weights of a finished run, and its checkpoints if asked for; its rewards and figures stay."""
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    if checkpoints:
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)


def check_weights(folder: Path) -> None:
    """
    Check that the weights of a finished run are there and whole; only their headers are read.

    Raises:
        ConfigError: There are none, or a file is damaged.
    """
    from safetensors import SafetensorError, safe_open

    files = sorted(folder.glob("*.safetensors"))
    index = folder / "model.safetensors.index.json"
    try:
        wanted = (
            set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()) if index.is_file() else set()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{index} is damaged ({error!r}). {_AGAIN}") from error
    lacking = sorted(wanted - {path.name for path in files})
    if not files or lacking:
        what = lacking[0] if lacking else "*.safetensors"
        raise ConfigError(f"the training in {folder} is finished, but its weights ({what}) are not there. {_AGAIN}")
    for path in files:
        try:
            with safe_open(path, framework="numpy") as file:
                file.keys()
        except (SafetensorError, OSError) as error:
            raise ConfigError(
                f"the training in {folder} is finished, but {path.name} is damaged: {error}. {_AGAIN}"
            ) from error
