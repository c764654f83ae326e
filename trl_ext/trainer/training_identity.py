"""What the result of a training depends on, so that a kept result is not taken for that of another training."""

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import torch
from datasets import Dataset
from torch import nn


if TYPE_CHECKING:
    from .reward_trainer import PairwiseRewardTrainer

# Arguments that say where a run is kept, how it is reported or how data are loaded, and don't change what is learned
_IRRELEVANT_PREFIXES = ("hub_", "push_", "log_", "logging_", "trackio_", "dataloader_")
_IRRELEVANT = {
    "output_dir", "run_name", "project", "report_to", "disable_tqdm", "resume_from_checkpoint", "chat_template_path",
    "dataset_num_proc", "ddp_timeout", "local_rank", "skip_memory_metrics", "include_num_input_tokens_seen",
    "save_total_limit", "save_only_model", "save_on_each_node", "do_train", "do_eval", "do_predict",
}  # fmt: skip
_RELEVANT = {"dataloader_drop_last"}
_VALUES_PER_PARAMETER = 1024


def training_identity(trainer: "PairwiseRewardTrainer") -> dict[str, Any]:
    """
    Arguments, tokenised training set and initial model of a trainer that has not trained yet.

    A template that is copied from a path shows in the tokens. Callbacks and optimizers that were passed as objects are not
    part of it.

    Args:
        trainer ([`PairwiseRewardTrainer`]):
            The trainer. Its training set is a [`~datasets.Dataset`].

    Returns:
        `dict[str, Any]`: plain types for JSON; equal for trainings that are the same, whatever their `output_dir`.
    """
    arguments = {
        name: value
        for name, value in trainer.args.to_dict().items()
        if name in _RELEVANT or (name not in _IRRELEVANT and not name.startswith(_IRRELEVANT_PREFIXES))
    }
    annotators = getattr(trainer, "annotators", None)
    identity = {
        "trainer": type(trainer).__name__,
        "loss": {"name": type(trainer.loss).__name__, **vars(trainer.loss)},
        "commitment": None if annotators is None else annotators.eta.tolist(),
        "processes": trainer.args.world_size,
        "arguments": arguments,
        "tokens": _hash_tokens(trainer.train_dataset),
        "model": _hash_model(trainer.model),
        "commit": getattr(trainer.model.config, "_commit_hash", None),
    }
    return json.loads(json.dumps(identity, default=str))


def differing(identity: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[str]:
    """Names of what differs between two identities, with both values where they are short."""
    found = []
    for name in sorted({*identity, *other}):
        a, b = identity.get(name), other.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            found += differing(a, b, f"{prefix}{name}.")
        elif a != b:
            values = f"{a!r} and {b!r}"
            found.append(f"{prefix}{name}" + (f" ({values})" if len(values) < 80 else ""))
    return found


def _hash_tokens(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    tokens = dataset.select_columns(["chosen_ids", "rejected_ids"]).with_format("arrow")
    for table in tokens.iter(batch_size=1000):
        for column in table.columns:
            digest.update(pc.list_value_length(column).to_numpy().tobytes())
            digest.update(pc.list_flatten(column).to_numpy().tobytes())
    return digest.hexdigest()


def _hash_model(model: nn.Module) -> str:
    """Every parameter's name, kind and evenly spaced values: training changes all of them, and reading a few is cheap."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        kind = [name, list(parameter.shape), str(parameter.dtype), parameter.requires_grad]
        digest.update(json.dumps(kind).encode())
        values = parameter.detach().flatten()
        values = values[:: max(1, len(values) // _VALUES_PER_PARAMETER)]
        digest.update(values.contiguous().cpu().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
