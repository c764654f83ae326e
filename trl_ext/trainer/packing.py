"""Whether a trainer can pack its batches, decided on its own model and settings."""

import logging
from collections.abc import Sequence
from itertools import chain
from typing import Any

import pyarrow.compute as pc
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType
from datasets import Dataset
from torch import Tensor
from transformers import TrainingArguments
from transformers.integrations import is_deepspeed_zero3_enabled

from ..shared_prefix import (
    MIN_SHARED_TOKENS,
    SharedPrefixReport,
    active_dropout,
    common_prefix_length,
    disable_shared_prefix,
    enable_shared_prefix,
    self_check,
    unpack_sequences,
)


logger = logging.getLogger(__name__)


def blocking_settings(args: TrainingArguments, accelerator: Accelerator) -> str | None:
    """Return which setting of the trainer rules out packed rows; `None` if none does."""
    loader = accelerator.dataloader_config
    if loader.dispatch_batches or loader.split_batches:
        return "`dispatch_batches` and `split_batches` cut batches along a dimension that a packed row does not have"
    if accelerator.distributed_type == DistributedType.NO and args.n_gpu > 1:
        return "DataParallel cuts batches along a dimension that a packed row does not have"
    if "inputs" in (args.include_for_metrics or []):
        return "`include_for_metrics` asks for the inputs of every pair"
    parallelism = accelerator.parallelism_config
    if parallelism is not None and (parallelism.cp_size > 1 or parallelism.sp_size > 1):
        return "context and sequence parallelism cut rows"
    return None


class Packing:
    """
    Packed rows of one trainer: set up when it is built, checked on its model, given up where the check fails.

    Args:
        model ([`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            The model of the trainer, not yet wrapped.
        args ([`~transformers.TrainingArguments`]):
            Arguments of the trainer.
        accelerator ([`~accelerate.Accelerator`]):
            Accelerator of the trainer.

    Attributes:
        report ([`~trl_ext.shared_prefix.SharedPrefixReport`]):
            Whether rows are packed, and why not.
        pending (`bool`):
            Whether the check waits for the first batch, because parameters are sharded until then.
    """

    def __init__(self, model, args: TrainingArguments, accelerator: Accelerator):
        self.accelerator = accelerator
        self.pending = False
        reason = blocking_settings(args, accelerator)
        if reason is None and active_dropout(model):
            reason = "dropout is on: sequences that share a token would share its dropout"
        if reason is not None:
            self.report = SharedPrefixReport(False, reason)
        else:
            self.report = enable_shared_prefix(model, check=False)
        if self.report.enabled:
            # accelerate would take a stream's batches apart otherwise
            accelerator.dataloader_config.dispatch_batches = False
            self.pending = is_deepspeed_zero3_enabled() or accelerator.distributed_type == DistributedType.FSDP
            if not self.pending:
                self.check(model)
        else:
            _log_fall_back(self.report)

    def check(self, model) -> None:
        """Run the self-check, under the precision of training; give up packed rows if it fails."""
        self.pending = False
        self.report = self_check(model, context=self.accelerator.autocast)
        if not self.report.enabled:
            disable_shared_prefix(model)
            _log_fall_back(self.report)


def _log_fall_back(report: SharedPrefixReport) -> None:
    logger.warning("Batches are padded, prompts are computed for each response: %s.", report.reason)


def as_pairs(inputs: dict[str, Any]) -> list[dict[str, list[int]]]:
    """The pairs of a packed batch, as examples for a padding collator."""
    sequences = unpack_sequences(inputs["input_ids"], inputs["layout"], inputs["last_index"])
    count = len(sequences) // 2
    return [
        {"chosen_ids": chosen, "rejected_ids": rejected}
        for chosen, rejected in zip(sequences[:count], sequences[count:], strict=True)
    ]


def longer_lengths(dataset: Dataset) -> list[int]:
    """Tokens of the longer sequence of every pair."""
    table = dataset.with_format("arrow")[:]
    chosen, rejected = (pc.list_value_length(table[column]) for column in ("chosen_ids", "rejected_ids"))
    return pc.max_element_wise(chosen, rejected).to_pylist()


def packed_lengths(dataset: Dataset) -> list[int]:
    """Tokens of every pair in a packed row: those of both sequences, the common prefix once."""
    dataset = dataset.select_columns(["chosen_ids", "rejected_ids"]).with_format(None)
    return list(chain.from_iterable(map(_packed_lengths, dataset.iter(batch_size=1000))))


def _packed_lengths(batch: dict[str, Sequence[Sequence[int]]]) -> list[int]:
    lengths = []
    for chosen, rejected in zip(batch["chosen_ids"], batch["rejected_ids"], strict=True):
        shared = common_prefix_length(chosen, rejected)
        lengths.append(len(chosen) + len(rejected) - (shared if shared >= MIN_SHARED_TOKENS else 0))
    return lengths


def num_pairs(inputs: dict[str, Any]) -> int:
    """Pairs of a batch, padded or packed."""
    return inputs["last_index" if "layout" in inputs else "input_ids"].shape[0] // 2


def num_tokens(inputs: dict[str, Any]) -> tuple[Tensor, int]:
    """Tokens of every sequence of a batch `(2B,)`, and token slots that the model computes for them."""
    if "layout" in inputs:
        return torch.tensor(inputs["layout"].sequence_lengths), inputs["layout"].num_tokens
    return inputs["attention_mask"].sum(1), inputs["input_ids"].numel()
