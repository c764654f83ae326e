"""Whether a stored calibration is of the present weights: a hash of the reward head, which every training changes."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ...shared_prefix import core_model
from ...trainer.reward_head import HEAD_NAMES, find_reward_heads


def head_fingerprint(model: nn.Module) -> str | None:
    """
    SHA-256 of the weights of the reward head of a model in memory, rounded to bfloat16, so that it does not depend on the
    precision of the rest; `None` if there is no head of a known kind, or its weights are divided among processes.
    """
    heads = find_reward_heads(model, core_model(model).config.num_labels)
    names = {id(module): name for name, module in model.named_modules()}
    trained = [
        head for head in heads if "modules_to_save" in names[id(head)].split(".")
    ]  # PEFT keeps the original too
    weights = [head.weight for head in trained or heads]
    return None if any(hasattr(weight, "ds_id") for weight in weights) else _digest(weights)


def saved_head_fingerprint(folder: Path, num_labels: int | None = None) -> str | None:
    """
    [`head_fingerprint`] of a saved model or adapter; `None` if its files hold no head. An adapter's files do not say how many
    outputs there are: without `num_labels`, fewer than the head has inputs.
    """
    weights = []
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118  no mapping
                parts = name.split(".")
                if parts[-1] != "weight" or not HEAD_NAMES.intersection(parts) or "lora_" in name:
                    continue
                shape = file.get_slice(name).get_shape()
                if len(shape) == 2 and (shape[0] < shape[1] if num_labels is None else shape[0] == num_labels):
                    weights.append(file.get_tensor(name))
    return _digest(weights)


def _digest(weights: Iterable[Tensor]) -> str | None:
    rounded = [weight.detach().to("cpu", torch.bfloat16).contiguous() for weight in weights]
    if not rounded:
        return None
    parts = sorted(
        f"{tuple(weight.shape)}".encode() + weight.view(torch.int16).numpy().tobytes() for weight in rounded
    )
    return hashlib.sha256(b"".join(parts)).hexdigest()
