"""A calibration in the model's configuration, from where it travels with the model and nothing applies it unasked."""

import json
from pathlib import Path
from typing import Any

from torch import nn
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

from ...atomic_files import write_text_atomically
from ...data.bundled import resolve_model
from ...shared_prefix import core_model
from ...trainer.head_fingerprint import HEAD_KEY, head_fingerprint, saved_head_fingerprint
from .calibration import RewardCalibration


CONFIG_KEY = "reward_calibration"
# PEFT drops what it does not know of adapter_config.json when it loads it, and warns at every load
ADAPTER_FILE = "reward_calibration.json"


def save_calibration(
    model_or_folder: nn.Module | str | Path, calibration: RewardCalibration, *, overwrite: bool = False
) -> None:
    """
    Store a calibration with the model it was fitted on: under `reward_calibration` in `config.json`, of an adapter in
    `reward_calibration.json` beside `adapter_config.json`. Weights are not touched.

    Whatever loads the model gives raw rewards as before; [`CalibratedScorer`] applies the calibration. It belongs to these
    weights: a hash of the reward head is stored with it, and a scorer refuses it with a model whose head is another.
    After further training, fit it again or remove it.

    Args:
        model_or_folder ([`~transformers.PreTrainedModel`], `str` or `Path`):
            A saved model or adapter, or a model in memory, whose `save_pretrained` and `push_to_hub` then write it.
        calibration ([`RewardCalibration`]):
            The calibration.
        overwrite (`bool`, *optional*, defaults to `False`):
            Replace another one.

    Raises:
        ValueError: There is another calibration already, it is no model, or an adapter in memory, which has no place that
            is saved with it.

    Example:
        ```python
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from trl_ext.scoring.calibrated import RewardCalibration, read_calibration, save_calibration
        >>> folder = Path(tempfile.mkdtemp())  # of a saved model
        >>> written = (folder / "config.json").write_text('{"model_type": "llama"}')
        >>> save_calibration(folder, RewardCalibration({"a": 0.5, "b": -0.5}, gauge="sum_zero"))
        >>> sorted(json.loads((folder / "config.json").read_text())), read_calibration(folder).source_offsets
        (['model_type', 'reward_calibration'], {'a': 0.5, 'b': -0.5})

        ```
    """
    if not isinstance(calibration, RewardCalibration):
        raise TypeError(f"`calibration` must be a RewardCalibration, got {type(calibration).__name__}")
    if isinstance(model_or_folder, nn.Module):
        config = _config_in_memory(model_or_folder)
        _check_free(getattr(config, CONFIG_KEY, None), calibration, overwrite, "the model")
        setattr(config, CONFIG_KEY, _with_head(calibration, head_fingerprint(core_model(model_or_folder))))
        return
    path, values = _local_file(model_or_folder)
    if path.name == ADAPTER_FILE:
        _check_free(values, calibration, overwrite, str(path))
        values = _with_head(calibration, saved_head_fingerprint(path.parent))
    else:
        _check_free(values.get(CONFIG_KEY), calibration, overwrite, str(path))
        values = values | {CONFIG_KEY: _with_head(calibration, saved_head_fingerprint(path.parent))}
    write_text_atomically(path, json.dumps(values, indent=2) + "\n")


def read_calibration(
    model: nn.Module | str | Path, *, revision: str | None = None, token: str | None = None
) -> RewardCalibration:
    """
    The calibration that was stored with a model. An adapter has its own: its base model's is of other rewards.

    Args:
        model ([`~transformers.PreTrainedModel`], `str` or `Path`):
            Hub id or folder of a model or adapter, or a model in memory.
        revision (`str`, *optional*):
            Branch, tag or commit.
        token (`str`, *optional*):
            Access token. By default that of the environment.

    Raises:
        ValueError: None is stored, or it is damaged or of another version.
        OSError: There is no such model.
    """
    return read_stored(model, revision=revision, token=token)[0]


def read_stored(
    model: nn.Module | str | Path, *, revision: str | None = None, token: str | None = None
) -> tuple[RewardCalibration, str | None]:
    """[`read_calibration`], and the hash of the reward head that it was stored with, where there is one."""
    if isinstance(model, nn.Module):
        name, values = "the model", getattr(_config_in_memory(model), CONFIG_KEY, None)
        place = CONFIG_KEY
    else:
        name = resolve_model(str(model))
        place, values = _stored(name, revision, token)
    if values is None:
        raise ValueError(
            f"{name} has no calibration ({place}). Fit one (tasks/calibrate.py, or "
            "trl_ext.scoring.calibrated.fit_preference_calibration, fit_length_calibration, trl_ext.arena.solve_offset) and "
            "store it with `save_calibration`, or give `calibration`."
        )
    head = values.get(HEAD_KEY) if isinstance(values, dict) else None
    return RewardCalibration.from_dict(_without_head(values), f"the calibration of {name} ({place})"), head


def remove_calibration(model_or_folder: nn.Module | str | Path) -> None:
    """
    Remove a calibration that was stored with a model, if there is one.

    Args:
        model_or_folder ([`~transformers.PreTrainedModel`], `str` or `Path`):
            As for [`save_calibration`].
    """
    if isinstance(model_or_folder, nn.Module):
        config = _config_in_memory(model_or_folder)
        if hasattr(config, CONFIG_KEY):
            delattr(config, CONFIG_KEY)
        return
    path, values = _local_file(model_or_folder)
    if path.name == ADAPTER_FILE:
        path.unlink(missing_ok=True)
    elif CONFIG_KEY in values:
        del values[CONFIG_KEY]
        write_text_atomically(path, json.dumps(values, indent=2) + "\n")


def _config_in_memory(model: nn.Module) -> Any:
    if getattr(model, "peft_config", None):
        raise ValueError(
            "an adapter in memory has no place for a calibration that is saved with it: `save_pretrained` it to a folder "
            "first and name that folder (the configuration in memory is its base model's), or give `calibration`"
        )
    return core_model(model).config


def _with_head(calibration: RewardCalibration, head: str | None) -> dict[str, Any]:
    return calibration.to_dict() | ({} if head is None else {HEAD_KEY: head})


def _without_head(values: Any) -> Any:
    return {key: value for key, value in values.items() if key != HEAD_KEY} if isinstance(values, dict) else values


def _check_free(there: Any, calibration: RewardCalibration, overwrite: bool, name: str) -> None:
    if there is not None and not overwrite and _without_head(there) != calibration.to_dict():
        raise ValueError(f"{name} has another calibration already: replace it with overwrite=True")


def _local_file(folder: str | Path) -> tuple[Path, Any]:
    """Where a saved model or adapter has its calibration, and what that file holds; `None` if it does not exist."""
    folder = Path(folder).expanduser()
    if (folder / "adapter_config.json").is_file():
        path = folder / ADAPTER_FILE
        return path, _read(path) if path.is_file() else None
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{str(folder)!r} is no saved model: it has neither config.json nor adapter_config.json")
    values = _read(path)
    if not isinstance(values, dict):
        raise ValueError(f"{path} is damaged: it must hold an object")
    return path, values


def _stored(name: str, revision: str | None, token: str | None) -> tuple[str, Any]:
    """Place and content of the calibration of a model or adapter by name; `None` if there is none."""
    arguments = {"revision": revision or "main", "token": token}
    if find_adapter_config_file(name, revision=revision, token=token) is not None:
        path = cached_file(name, ADAPTER_FILE, _raise_exceptions_for_missing_entries=False, **arguments)
        return ADAPTER_FILE, None if path is None else _read(Path(path))
    path = cached_file(name, "config.json", **arguments)
    if path is None:  # of a folder; a name that the Hub does not know is an error of `cached_file`
        raise OSError(f"{name!r} is no saved model: it has neither config.json nor adapter_config.json")
    values = _read(Path(path))
    return f"{CONFIG_KEY} in config.json", values.get(CONFIG_KEY) if isinstance(values, dict) else None


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is damaged: {error}") from error
