"""The score head of a sequence-classification reward model: find it, scale it, run it in float32, save it with LoRA."""

import copy
import dataclasses
import logging
import types
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel


if TYPE_CHECKING:
    from accelerate import Accelerator
    from peft import PeftConfig


logger = logging.getLogger(__name__)

# How transformers names the last layers of its sequence-classification models
HEAD_NAMES = {"score", "classifier", "classification_head", "logits_proj"}


def find_reward_heads(model: nn.Module, num_labels: int = 1) -> list[nn.Linear]:
    """
    Return the linear layers that map a hidden state to the reward, or to `num_labels` outputs.

    A plain model has one; PEFT keeps the original beside the trained copy, so an adapted model has two.
    """
    return [
        module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear)
        and module.out_features == num_labels
        and HEAD_NAMES.intersection(name.split("."))
    ]


def is_fresh_head(model: PreTrainedModel) -> bool:
    """Whether the checkpoint had no reward head, so that the head is random (a causal language model, or no checkpoint)."""
    architectures = getattr(model.config, "architectures", None) or []
    return not any(name.endswith("ForSequenceClassification") for name in architectures)


@torch.no_grad()
def scale_reward_head(model: nn.Module, factor: float, num_labels: int = 1) -> None:
    """Multiply the weights of the reward head, with `num_labels` outputs, by `factor`: the initial rewards shrink by it."""
    for head in find_reward_heads(model, num_labels):
        parameters = [head.weight] if head.bias is None else [head.weight, head.bias]
        if hasattr(head.weight, "ds_id"):  # ZeRO-3 keeps an empty shard outside this context
            import deepspeed

            with deepspeed.zero.GatheredParameters(parameters, modifier_rank=0):
                for parameter in parameters:
                    parameter.mul_(factor)
        else:
            for parameter in parameters:
                parameter.mul_(factor)


def _float32_forward(self: nn.Linear, hidden_states: Tensor) -> Tensor:
    dtype = torch.promote_types(hidden_states.dtype, torch.float32)
    with torch.autocast(hidden_states.device.type, enabled=False):
        bias = None if self.bias is None else self.bias.to(dtype)
        return F.linear(hidden_states.to(dtype), self.weight.to(dtype), bias)


def run_head_in_float32(model: nn.Module, num_labels: int = 1) -> None:
    """
    Make the reward head, with `num_labels` outputs, compute in float32 whatever the precision of the rest.

    In bfloat16 a reward has 8 significant bits, so that pairs tie. The forward method of the head's instance is
    replaced, not hooked: a hook would run outside the window in which ZeRO-3 has the weights gathered for backward.
    """
    for head in find_reward_heads(model, num_labels):
        head.forward = types.MethodType(_float32_forward, head)


def keep_output_dtype_under_fsdp(accelerator: "Accelerator") -> None:
    """
    Let FSDP2 return what the model computed.

    With bfloat16, accelerate's policy casts the output of every unit, and so the float32 rewards of the model, to
    bfloat16. Nothing else needs that cast: the inputs of every unit are cast anyway.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is not None and plugin.fsdp_version == 2 and plugin.mixed_precision_policy is not None:
        plugin.mixed_precision_policy = dataclasses.replace(plugin.mixed_precision_policy, output_dtype=None)


def disable_functional_dropout(model: nn.Module) -> None:
    """
    Set every dropout probability that modules keep as a number to 0.

    TRL's `disable_dropout` zeroes `nn.Dropout` modules only; attention dropout is passed to a function as a number.
    """
    for module in model.modules():
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float) and value > 0:
                setattr(module, name, 0.0)


def save_head_with_adapter(peft_config: "PeftConfig") -> "PeftConfig":
    """
    Return a PEFT configuration whose adapter trains and saves the reward head.

    Without `task_type="SEQ_CLS"` the head stays at its random initial value and is missing from the saved adapter, so
    that the reloaded model gives other rewards. The configuration that was passed is not changed.
    """
    if getattr(peft_config, "task_type", None) == "SEQ_CLS":
        return peft_config
    logger.info("PEFT task_type %r becomes 'SEQ_CLS': the reward head is trained and saved.", peft_config.task_type)
    peft_config = copy.deepcopy(peft_config)
    peft_config.task_type = "SEQ_CLS"
    return peft_config
