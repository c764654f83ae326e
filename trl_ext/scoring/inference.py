"""Rewards of prepared windows: by the model, and from all processes in order."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from ..shared_prefix import core_model
from .batching import PackedBatch, PaddedBatch
from .preparation import PreparedWindow
from .processes import process_state
from .reduction import ALL_OUTPUTS, Reduction, rewards_of_output
from .results import ScoredWindow, check_finite
from .timing import Timing


@torch.inference_mode()
def compute_rewards(
    model: nn.Module,
    batches: Iterable[PackedBatch | PaddedBatch],
    num_sequences: int,
    reduction: Reduction | None = None,
) -> tuple[np.ndarray, float]:
    """
    Run a model in evaluation mode over the batches of `num_sequences` sequences.

    `reduction` makes one reward of several outputs: the index of one, a weight for each, or a combination of heads.

    Returns:
        `tuple[np.ndarray, float]`: Rewards `(num_sequences,)` in float32, or all outputs `(num_sequences, K)` with
        `ALL_OUTPUTS`, and the seconds that the model took.
    """
    core = core_model(model)
    device = _input_device(core)
    outputs = (core.config.num_labels,) if reduction == ALL_OUTPUTS else ()
    rewards = np.empty((num_sequences, *outputs), dtype=np.float32)
    started = time.perf_counter()
    cache: DynamicCache | None = None
    with _evaluation_mode(model), _restored_config(core):
        for batch in batches:
            if isinstance(batch, PaddedBatch):
                _forget_longest_sequence(core)
                core.config.get_text_config().pad_token_id = batch.pad_token_id
                output = model(input_ids=batch.input_ids.to(device), attention_mask=batch.attention_mask.to(device))
            else:
                plan = batch.plan.to(device)
                if not batch.indices:
                    # Without a config every layer keeps all keys; the plan's masks know the windows
                    cache = DynamicCache()
                    model(**plan.model_inputs(), past_key_values=cache)
                    continue
                if plan.layout.cached:
                    output = model(**plan.model_inputs(), past_key_values=cache)
                    cache.crop(-plan.layout.num_tokens)
                else:
                    cache = None
                    output = model(**plan.model_inputs())
            rewards[batch.indices] = rewards_of_output(output, len(batch.indices), reduction).cpu().numpy()
    return rewards, time.perf_counter() - started


def _input_device(model: PreTrainedModel) -> torch.device:
    try:
        return model.get_input_embeddings().weight.device
    except NotImplementedError:  # a class with code of its own need not tell
        return model.device


def _forget_longest_sequence(model: nn.Module) -> None:
    """A dynamic rotary embedding would keep the frequencies of the longest sequence it has seen, in a batch before."""
    for module in model.modules():
        for name in vars(module):
            if name.endswith("max_seq_len_cached"):
                setattr(module, name, 0)


@contextmanager
def _evaluation_mode(model: nn.Module):
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


@contextmanager
def _restored_config(model: PreTrainedModel):
    config = model.config.get_text_config()
    names = ("pad_token_id", "use_cache")
    before = {name: getattr(config, name) for name in names if hasattr(config, name)}
    config.use_cache = False  # not an argument: encoders don't take it
    try:
        yield
    finally:
        for name in names:
            if name in before:
                setattr(config, name, before[name])
            elif hasattr(config, name):
                delattr(config, name)


def scored_windows(
    model: nn.Module, prepared: Iterator[PreparedWindow], timing: Timing, reduction: Reduction | None = None
) -> Iterator[ScoredWindow]:
    """Prepared windows of all processes, scored; see [`gathered_windows`]."""
    return gathered_windows((_score(model, window, reduction) for window in prepared), timing)


def gathered_windows(scored: Iterator[ScoredWindow], timing: Timing) -> Iterator[ScoredWindow]:
    """Windows of all processes in order, for every process. What one process raises, all raise. `timing` is kept up."""
    num_processes = process_state().num_processes
    started = time.perf_counter()
    while True:
        try:
            mine = next(scored, None)
        except Exception as error:  # whatever it is, the other processes wait
            if num_processes == 1:
                raise
            mine = error
        for window in gather_object([mine]):
            timing.wall_seconds = time.perf_counter() - started
            if window is None:
                return
            if isinstance(window, Exception):
                raise window
            timing.model_seconds += window.model_seconds
            timing.responses += len(window.rewards)
            timing.computed_tokens += window.computed_tokens
            timing.sequence_tokens += window.sequence_tokens
            timing.truncated += window.truncated
            yield window


def _score(model: nn.Module, window: PreparedWindow, reduction: Reduction | None) -> ScoredWindow:
    rewards, seconds = compute_rewards(model, window.batches, window.num_sequences, reduction)
    rewards = rewards[window.slots]
    check_finite(rewards, window.labels)
    return ScoredWindow(
        groups=window.groups,
        labels=window.labels,
        rewards=rewards,
        model_seconds=seconds,
        computed_tokens=sum(batch.num_tokens for batch in window.batches),
        sequence_tokens=window.sequence_tokens,
        truncated=window.truncated,
    )
