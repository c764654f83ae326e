"""What a reward model says of itself beside its weights: entries of its configuration that plain loading keeps."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers.utils.hub import cached_file
from transformers.utils.peft_utils import find_adapter_config_file

from .atomic_files import write_text_atomically
from .data.bundled import resolve_model
from .shared_prefix import core_model


@dataclass(frozen=True)
class ModelEntry:
    """
    An entry of the configuration of a model: of a full model under `key` in `config.json`, of an adapter in `<key>.json`
    beside `adapter_config.json`, as PEFT drops what it does not know of the latter.

    Args:
        key (`str`):
            Name of the entry.

    Example:
        ```python
        >>> import tempfile
        >>> from pathlib import Path
        >>> from trl_ext.model_entries import ModelEntry
        >>> folder = Path(tempfile.mkdtemp())  # of a saved model
        >>> written = (folder / "config.json").write_text('{"model_type": "llama"}')
        >>> entry = ModelEntry("reward_head")
        >>> entry.write(folder, {"kind": "ensemble", "num_heads": 4})
        >>> entry.read(folder)
        {'kind': 'ensemble', 'num_heads': 4}

        ```
    """

    key: str

    @property
    def file_name(self) -> str:
        """File of an adapter's entry."""
        return f"{self.key}.json"

    def read(
        self, model: nn.Module | str | Path, *, revision: str | None = None, token: str | None = None
    ) -> dict[str, Any] | None:
        """
        The entry of a model in memory, or of a model or adapter by its folder or Hub id; `None` if there is none. An
        adapter has its own: its base model's is about other outputs.

        Raises:
            ValueError: It is damaged.
            OSError: There is no such model.
        """
        if isinstance(model, nn.Module):
            return getattr(core_model(model).config, self.key, None)
        name = resolve_model(str(Path(model).expanduser() if isinstance(model, Path) else model))
        arguments = {"revision": revision or "main", "token": token}
        if find_adapter_config_file(name, revision=revision, token=token) is not None:
            path = cached_file(name, self.file_name, _raise_exceptions_for_missing_entries=False, **arguments)
            values = None if path is None else _read(Path(path))
        else:
            path = cached_file(name, "config.json", **arguments)
            if path is None:
                raise OSError(f"{name!r} is no saved model: it has neither config.json nor adapter_config.json")
            values = _read(Path(path)).get(self.key)
        if values is not None and not isinstance(values, dict):
            raise ValueError(f"{self.key!r} of {name} is damaged: it must be an object, got {type(values).__name__}")
        return values

    def write(self, model_or_folder: nn.Module | str | Path, values: dict[str, Any]) -> None:
        """
        Set the entry of a model in memory, which `save_pretrained` then writes, or of a saved model or adapter.

        Raises:
            ValueError: It is an adapter in memory, which has no place that is saved with it, or no saved model.
        """
        if isinstance(model_or_folder, nn.Module):
            if getattr(model_or_folder, "peft_config", None):
                raise ValueError(
                    f"an adapter in memory has no place for {self.key!r} that is saved with it: `save_pretrained` it to a "
                    "folder first and name that folder"
                )
            setattr(core_model(model_or_folder).config, self.key, values)
            return
        path, there = self._local(model_or_folder)
        content = values if path.name == self.file_name else there | {self.key: values}
        write_text_atomically(path, json.dumps(content, indent=2) + "\n")

    def remove(self, model_or_folder: nn.Module | str | Path) -> None:
        """Remove the entry, if there is one."""
        if isinstance(model_or_folder, nn.Module):
            config = core_model(model_or_folder).config
            if hasattr(config, self.key):
                delattr(config, self.key)
            return
        path, there = self._local(model_or_folder)
        if path.name == self.file_name:
            path.unlink(missing_ok=True)
        elif self.key in there:
            del there[self.key]
            write_text_atomically(path, json.dumps(there, indent=2) + "\n")

    def _local(self, folder: str | Path) -> tuple[Path, dict[str, Any]]:
        folder = Path(folder).expanduser()
        if (folder / "adapter_config.json").is_file():
            return folder / self.file_name, {}
        path = folder / "config.json"
        if not path.is_file():
            raise ValueError(f"{str(folder)!r} is no saved model: it has neither config.json nor adapter_config.json")
        return path, _read(path)


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not JSON, or not UTF-8
        raise ValueError(f"{path} is damaged: {error}") from error


REWARD_CALIBRATION = ModelEntry("reward_calibration")
REWARD_HEAD = ModelEntry("reward_head")
REWARD_INTERVALS = ModelEntry("reward_intervals")


def output_names(entry: dict[str, Any] | None) -> list[str] | None:
    """Names of the outputs of a model by its entry `reward_head`; `None` for a model with one reward."""
    if entry is None:
        return None
    if entry.get("kind") == "gaussian":
        return ["reward_mean", "reward_log_variance"]
    if entry.get("kind") == "ensemble" and isinstance(entry.get("num_heads"), int) and entry["num_heads"] > 1:
        return [f"head_{head}" for head in range(entry["num_heads"])]
    raise ValueError(f"the entry 'reward_head' of the model is damaged or of a later version: {entry}")


def name_outputs(config: Any, entry: dict[str, Any]) -> None:
    """Let a configuration say what the outputs of its model are."""
    names = output_names(entry)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: index for index, name in enumerate(names)}
    setattr(config, REWARD_HEAD.key, entry)
