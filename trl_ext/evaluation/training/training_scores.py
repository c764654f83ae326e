"""Rewards by a model that is being trained: of all processes, and without any trace in the training."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import Trainer
from transformers.integrations import is_deepspeed_zero3_enabled

from ...scoring.batching import batch_maker, pad_token_id_of
from ...scoring.encoding import Encoder
from ...scoring.groups import groups_from_lists
from ...scoring.inference import scored_windows
from ...scoring.loading import check_one_label
from ...scoring.padding import padding_problem
from ...scoring.preparation import Preparation, PreparedWindow
from ...scoring.reduction import Reduction, rewards_of_output, stored_reduction
from ...scoring.results import all_rewards, check_finite
from ...scoring.scorer import RewardScorer
from ...scoring.timing import Timing
from ...shared_prefix import core_model, unsupported_reason
from ...shared_prefix.forward import has_plan
from ...trainer.reward_head import find_reward_heads, run_head_in_float32


class TrainingScorer:
    """
    Rewards of responses that stay the same, by the model of a trainer as it is now.

    Rows are encoded once, when this is made. Whole models (one process, DDP, ZeRO-1 and ZeRO-2) score their share of the
    responses in every process; prompts are shared if the trainer shares them, else sequences are padded. Models whose
    weights are divided (ZeRO-3, FSDP2, tensor parallelism) need all processes for every forward pass: all of them run
    the same padded batches, which is no faster than one process.

    Args:
        trainer ([`~transformers.Trainer`]):
            Trainer of a sequence-classification model with one label, or with a `reward_head` of several outputs, of which
            the reward is their default combination.
        prompts (`list[str]` or `list[list[dict]]`):
            Texts or messages.
        responses (`list[list]`):
            For each prompt its responses.
        max_length, max_length_policy, max_tokens_per_batch:
            As in [`~trl_ext.RewardScorer`].

    Raises:
        ValueError: The model can't be scored while it is trained, or a row can't be encoded; the row is named.

    Example:
        ```python
        >>> scorer = TrainingScorer(trainer, prompts=["2 + 2 = "], responses=[["4", "5"]])
        >>> scorer.score()
        [array([0.31, -0.12], dtype=float32)]
        ```
    """

    def __init__(
        self,
        trainer: Trainer,
        prompts: Sequence[Any],
        responses: Sequence[Sequence[Any]],
        *,
        max_length: int | None = None,
        max_length_policy: str = "error",
        max_tokens_per_batch: int | None = None,
    ):
        check_can_score(trainer)
        self.trainer = trainer
        if max_tokens_per_batch is None:
            max_tokens_per_batch = 4096 if trainer.args.device.type == "cpu" else 16384
        self.max_tokens_per_batch = max_tokens_per_batch
        self._tokenizer = trainer.processing_class
        self._encoder = Encoder(self._tokenizer, max_length, max_length_policy)
        self._groups = groups_from_lists(prompts, responses)
        self._sizes = [len(group.responses) for group in self._groups]
        self._windows: dict[bool, list[PreparedWindow]] = {}  # by whether prefixes are shared
        config = core_model(trainer.model).config
        self._reduction, self._outputs = stored_reduction(config, None), config.num_labels
        self.truncated = self._encoder.encode(self._groups)[1]

    def score(self) -> list[np.ndarray]:
        """For each prompt the rewards of its responses, in every process. All must call it."""
        model = self.trainer.model
        with _left_as_it_was(model, self._outputs):
            run_head_in_float32(model, self._outputs)
            if divides_weights(self.trainer):
                windows = self._prepare(False, divide=False, pad=unsupported_reason(model) is None)
                rewards = [_rewards_of_divided(model, window, self._reduction) for window in windows]
            else:
                windows = self._prepare(has_plan(core_model(model)), divide=True)
                rewards = [all_rewards(scored_windows(model, iter(windows), Timing(), self._reduction))]
        return np.split(np.concatenate(rewards), np.cumsum(self._sizes)[:-1])

    def _prepare(self, share: bool, divide: bool, pad: bool | None = None) -> list[PreparedWindow]:
        """The windows of this process, made once."""
        if share not in self._windows:
            if pad is None:
                problem = (
                    None
                    if share
                    else padding_problem(self.trainer.model, pad_token_id_of(self._tokenizer), self._reduction)
                )
                pad = problem is None
            processes = self.trainer.accelerator.num_processes if divide else 1
            # A share for every process, where all of it is less than a window for each
            size = min(RewardScorer.window_size, -(-sum(self._sizes) // processes))
            preparation = Preparation(
                self._encoder,
                batch_maker(share, self.max_tokens_per_batch, self._tokenizer, pad=pad),
                size,
                process=self.trainer.accelerator.process_index if divide else 0,
                num_processes=processes,
            )
            self._windows[share] = [_checked(window) for window in preparation.windows(self._groups)]
        return self._windows[share]


def divides_weights(trainer: Trainer) -> bool:
    """Whether no process holds the whole model, so that all must run the same forward passes."""
    parallelism = trainer.accelerator.parallelism_config
    return (
        is_deepspeed_zero3_enabled()
        or trainer.is_fsdp_enabled
        or (parallelism is not None and parallelism.tp_size > 1)
    )


def check_can_score(trainer: Trainer) -> None:
    """Raise a `ValueError` unless the model of a trainer can be scored while it is trained."""
    check_one_label(core_model(trainer.model).config)
    if trainer.processing_class is None:
        raise ValueError("the trainer has no `processing_class`, which must encode the benchmark")
    accelerator = trainer.accelerator
    if trainer.is_fsdp_enabled and not accelerator.is_fsdp2:
        raise ValueError(
            "a model under FSDP version 1 can't be scored while it is trained: set fsdp_version to 2, or score the saved "
            "model"
        )
    parallelism = accelerator.parallelism_config
    if parallelism is not None and (parallelism.cp_size > 1 or parallelism.sp_size > 1):
        raise ValueError(
            "a model under context or sequence parallelism can't be scored while it is trained, as each process sees a "
            "part of a sequence: score the saved model"
        )


def _checked(item: PreparedWindow | Exception) -> PreparedWindow:
    if isinstance(item, Exception):
        raise item
    return item


@torch.no_grad()  # not inference mode: FSDP2 keeps buffers of its first forward pass, which training needs
def _rewards_of_divided(model: nn.Module, window: PreparedWindow, reduction: Reduction | None) -> np.ndarray:
    """Rewards of a window by a model whose weights are divided, in the same batches in every process."""
    core = core_model(model)
    config = core.config.get_text_config()
    device = core.get_input_embeddings().weight.device
    rewards = np.empty(window.num_sequences, dtype=np.float32)
    for batch in window.batches:
        config.pad_token_id = batch.pad_token_id
        output = model(input_ids=batch.input_ids.to(device), attention_mask=batch.attention_mask.to(device))
        rewards[batch.indices] = rewards_of_output(output, len(batch.indices), reduction).cpu().numpy()
    rewards = rewards[window.slots]
    check_finite(rewards, window.labels)
    return rewards


@contextmanager
def kept_random_states() -> Iterator[None]:
    """Python, NumPy and torch draw afterwards as if nothing had been drawn."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


@contextmanager
def _left_as_it_was(model: nn.Module, num_labels: int) -> Iterator[None]:
    """
    Evaluation mode without a cache; afterwards every module has the mode, the forward method and the buffers (those of
    a rotary embedding may follow the longest sequence) that it had, and the configuration its entries.
    """
    config = core_model(model).config.get_text_config()
    entries = {name: getattr(config, name) for name in ("pad_token_id", "use_cache") if hasattr(config, name)}
    heads = [(head, vars(head).get("forward")) for head in find_reward_heads(model, num_labels)]
    modules = [
        (
            module,
            module.training,
            dict(module._buffers),
            {name: value for name, value in vars(module).items() if name.endswith("max_seq_len_cached")},
        )
        for module in model.modules()
    ]
    model.eval()
    config.use_cache = False
    try:
        yield
    finally:
        for module, training, buffers, lengths in modules:
            module.training = training
            module._buffers.update(buffers)
            vars(module).update(lengths)
        for head, forward in heads:
            if forward is None:
                vars(head).pop("forward", None)
            else:
                head.forward = forward
        for name in ("pad_token_id", "use_cache"):
            if name in entries:
                setattr(config, name, entries[name])
            elif hasattr(config, name):
                delattr(config, name)
