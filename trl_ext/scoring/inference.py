"""The model's part of scoring: rewards of batches, with a cache for prefixes that several rows continue."""

import time
from collections.abc import Iterable
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn
from transformers import DynamicCache, PreTrainedModel

from ..shared_prefix import core_model
from .batching import PackedBatch, PaddedBatch


@torch.inference_mode()
def compute_rewards(
    model: nn.Module, batches: Iterable[PackedBatch | PaddedBatch], num_sequences: int
) -> tuple[np.ndarray, float]:
    """
    Run a model in evaluation mode over the batches of `num_sequences` sequences.

    Returns:
        `tuple[np.ndarray, float]`: Rewards `(num_sequences,)` in float32, and the seconds that the model took.
    """
    core = core_model(model)
    device = core.get_input_embeddings().weight.device
    rewards = np.empty(num_sequences, dtype=np.float32)
    started = time.perf_counter()
    cache: DynamicCache | None = None
    with _evaluation_mode(model), _restored_config(core):
        for batch in batches:
            if isinstance(batch, PaddedBatch):
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
            rewards[batch.indices] = output.logits.squeeze(-1).float().cpu().numpy()
    return rewards, time.perf_counter() - started


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
            delattr(config, name)
        for name, value in before.items():
            setattr(config, name, value)
