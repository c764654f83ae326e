"""Rewards of a packed row: a sequence-classification model whose forward method understands a plan."""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutputWithPast

from .attention import ATTENTION_NAME, active_layout
from .last_layer import (
    announce_scored_rows,
    compute_all_rows,
    rows_left_over,
    skip_unscored_rows,
    skips_unscored_rows,
)
from .plan import Layout


def core_model(model: nn.Module) -> PreTrainedModel:
    """The sequence-classification model inside wrappers (PEFT, DistributedDataParallel, DeepSpeed, torch.compile)."""
    if isinstance(model, PreTrainedModel):
        return model
    for name in ("get_base_model", "module", "_orig_mod"):
        inner = getattr(model, name, None)
        if inner is not None:
            return core_model(inner() if name == "get_base_model" else inner)
    raise TypeError(f"no transformers model inside {type(model).__name__}")


@torch.compiler.disable(recursive=False)
def _forward(self: PreTrainedModel, *args: Any, layout: Layout | None = None, **kwargs: Any):
    if layout is None:
        return self._forward_without_plan(*args, **kwargs)
    kwargs.pop("use_cache", None)  # a plan decides itself: only with a cache
    kwargs.pop("return_dict", None)
    # PEFT passes every argument that it knows, most of them None
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    unknown = set(kwargs) - {"input_ids", "position_ids", "last_index", "past_key_values"}
    if args or unknown:
        raise ValueError(
            f"a plan gives rewards and nothing else, but it came with {', '.join(sorted(unknown)) or args}"
        )
    return _forward_plan(self, layout, **kwargs)


def _forward_plan(
    model: PreTrainedModel,
    layout: Layout,
    input_ids: Tensor,
    position_ids: Tensor,
    last_index: Tensor,
    past_key_values: Any = None,
) -> SequenceClassifierOutputWithPast:
    try:
        with active_layout(layout, announce_rows=skips_unscored_rows(model)):
            hidden_states = model.base_model(
                input_ids=input_ids,
                position_ids=position_ids,
                past_key_values=past_key_values,
                use_cache=past_key_values is not None,
            ).last_hidden_state
        if rows_left_over():  # the MLP came first, and computed them all
            compute_all_rows(model)
    finally:
        announce_scored_rows(None)  # also after an interruption: what comes next must not find them
    # Only the scored positions go through the head
    return SequenceClassifierOutputWithPast(logits=model.score(hidden_states[0, last_index]))


def add_plan_to_forward(model: PreTrainedModel) -> None:
    """
    Let the model take the inputs of a plan ([`SharedPrefixPlan.model_inputs`]) beside its usual ones.

    Its `logits` then have shape `(S, num_labels)`. The forward method of the instance is replaced, not the head hooked:
    a hook on the head would read its weights outside the window in which ZeRO-3 has them gathered for backward.
    """
    if not has_plan(model):
        model._forward_without_plan = model.forward
        model._attention_without_plan = model.config._attn_implementation
        model.forward = types.MethodType(_forward, model)
        model.set_attn_implementation(ATTENTION_NAME)
        skip_unscored_rows(model)


def has_plan(model: PreTrainedModel) -> bool:
    """Whether the model takes the inputs of a plan."""
    return "_forward_without_plan" in vars(model)


def remove_plan_from_forward(model: PreTrainedModel) -> None:
    """Undo [`add_plan_to_forward`]."""
    if not has_plan(model):
        return
    model.set_attn_implementation(model._attention_without_plan)
    compute_all_rows(model)
    if getattr(model.forward, "__func__", None) is not _forward:
        return  # accelerate has wrapped it since, in autocast: that must stay, and without a plan it does what it did
    original = vars(model).pop("_forward_without_plan")
    if getattr(original, "__func__", None) is type(model).forward:
        del model.forward
    else:
        model.forward = original


@contextmanager
def attention_without_plan(model: PreTrainedModel) -> Iterator[None]:
    """Within this context, the model's attention is the one it had before."""
    model.set_attn_implementation(model._attention_without_plan)
    try:
        yield
    finally:
        model.set_attn_implementation(ATTENTION_NAME)
