"""Whether what was fitted to a model's rewards is of its present weights: a hash of the head, which every training changes."""

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ..model_entries import REWARD_CALIBRATION, REWARD_HEAD, REWARD_INTERVALS, ModelEntry, output_names
from ..shared_prefix import core_model
from .reward_head import HEAD_NAMES, find_reward_heads


logger = logging.getLogger(__name__)

# Beside the entries of a calibration or of intervals: the reward head that they were stored with
HEAD_KEY = "head_sha256"
FITTED_ENTRIES = (REWARD_CALIBRATION, REWARD_INTERVALS)


def head_fingerprint(model: nn.Module) -> str | None:
    """
    SHA-256 of the weights of the reward head of a model in memory, rounded to bfloat16, so that it does not depend on the
    precision of the rest; `None` if there is no head of a known kind, its weights are divided among processes, or they
    are in float16, from which bfloat16 would round them to other values than from float32.
    """
    heads = find_reward_heads(model, core_model(model).config.num_labels)
    names = {id(module): name for name, module in model.named_modules()}
    trained = [
        head for head in heads if "modules_to_save" in names[id(head)].split(".")
    ]  # PEFT keeps the original too
    weights = [head.weight for head in trained or heads]
    unknown = any(hasattr(weight, "ds_id") or weight.dtype == torch.float16 for weight in weights)
    return None if unknown else _digest(weights)


def saved_head_fingerprint(folder: Path) -> str | None:
    """[`head_fingerprint`] of a saved model or adapter; `None` if its files hold no head."""
    num_labels = _saved_outputs(folder)
    weights = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  no mapping
                parts = name.split(".")
                if parts[-1] != "weight" or not HEAD_NAMES.intersection(parts) or "lora_" in name:
                    continue
                shape = file.get_slice(name).get_shape()
                if len(shape) == 2 and shape[0] == num_labels:
                    weights.append(file.get_tensor(name))
    return _digest(weights)


def _saved_outputs(folder: Path) -> int:
    if (folder / "adapter_config.json").is_file():
        return len(output_names(REWARD_HEAD.read(folder)) or [""])
    return len(json.loads((folder / "config.json").read_text(encoding="utf-8")).get("id2label", "1"))


def remove_stale_entries(folder: Path) -> None:
    """Remove the calibration and the intervals of a saved adapter, if they were fitted to other weights."""
    for entry in FITTED_ENTRIES:
        stored = entry.read(folder)
        if stored is not None and (HEAD_KEY not in stored or stored[HEAD_KEY] != saved_head_fingerprint(folder)):
            logger.warning("%s of %s is removed: it is of the rewards before training.", entry.file_name, folder.name)
            entry.remove(folder)


def fitted_entries(model: nn.Module) -> dict[ModelEntry, dict[str, Any]]:
    """The calibration and the intervals of a model in memory, if they are of its weights."""
    found = {entry: entry.read(model) for entry in FITTED_ENTRIES}
    head = head_fingerprint(model)
    return {entry: values for entry, values in found.items() if values and head and values.get(HEAD_KEY) == head}


def _digest(weights: Iterable[Tensor]) -> str | None:
    rounded = [weight.detach().to("cpu", torch.bfloat16).contiguous() for weight in weights]
    if not rounded:
        return None
    parts = sorted(
        f"{tuple(weight.shape)}".encode() + weight.view(torch.int16).numpy().tobytes() for weight in rounded
    )
    return hashlib.sha256(b"".join(parts)).hexdigest()
