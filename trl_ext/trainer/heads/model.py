"""A model with as many outputs as a head has, where TRL's trainer would make or accept one with a single output."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForSequenceClassification, set_seed
from trl.trainer.utils import create_model_from_path

from ...model_entries import REWARD_CALIBRATION, REWARD_HEAD, REWARD_INTERVALS, name_outputs, output_names
from ...shared_prefix import core_model
from .base import RewardHead


logger = logging.getLogger(__name__)


def model_with_outputs(model: Any, args: Any, head: RewardHead, quantization_config: Any) -> tuple[Any, Any]:
    """
    The model of a trainer, loaded here if it is a name and has several outputs, as TRL does for one; and the quantization
    that is still to be applied.

    Raises:
        ValueError: The model has another head already, of other outputs.
    """
    if head.num_outputs == 1:
        _check_one_output(model, args)
        return model, quantization_config
    if isinstance(model, nn.Module):
        _check_outputs(core_model(model).config, head, "the model in memory")
        return model, quantization_config
    kwargs = dict(args.model_init_kwargs or {})
    kwargs.setdefault("trust_remote_code", args.trust_remote_code)
    loading = {name: kwargs[name] for name in ("revision", "trust_remote_code") if name in kwargs}
    config = AutoConfig.from_pretrained(model, **loading)
    if any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
        _check_outputs(config, head, model)
    if quantization_config is not None:
        kwargs["quantization_config"] = quantization_config
    if args.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        kwargs["device_map"] = None
    set_seed(args.seed)  # the heads are drawn, each with values of its own
    kwargs["num_labels"] = head.num_outputs
    return create_model_from_path(model, AutoModelForSequenceClassification, **kwargs), None


def _check_one_output(model: Any, args: Any) -> None:
    if isinstance(model, nn.Module):
        name, config = "the model in memory", core_model(model).config
    else:
        kwargs = {"trust_remote_code": args.trust_remote_code} | dict(args.model_init_kwargs or {})
        loading = {name: kwargs[name] for name in ("revision", "trust_remote_code") if name in kwargs}
        try:
            name, config = model, AutoConfig.from_pretrained(model, **loading)
        except OSError:  # an adapter, or nothing: loading it says so
            return
        if not any(name.endswith("ForSequenceClassification") for name in config.architectures or ()):
            return  # a language model, which gets one output
    stored = getattr(config, REWARD_HEAD.key, None)
    if config.num_labels != 1:
        what = f", trained with reward_head={stored['kind']!r}" if stored else ""
        raise ValueError(
            f"{name} has a reward head with {config.num_labels} outputs{what}, but reward_head='scalar' needs 1: go on with "
            "the head that it has, or start from a language model"
        )


def _check_outputs(config: Any, head: RewardHead, name: str) -> None:
    entry, stored = head.entry(), getattr(config, REWARD_HEAD.key, None)
    if config.num_labels != head.num_outputs:
        raise ValueError(
            f"{name} has a reward head with {config.num_labels} outputs, but reward_head={entry['kind']!r} needs "
            f"{head.num_outputs}: start from a language model, or load it with num_labels={head.num_outputs}"
        )
    if stored is not None and output_names(stored) != output_names(entry):
        raise ValueError(f"{name} was trained with reward_head={stored['kind']!r}: go on with that, or start anew")


@contextmanager
def one_output(model: Any, head: RewardHead) -> Iterator[None]:
    """Let the configuration of a model with a head of several outputs say that it has one, on which TRL's trainer insists."""
    config = core_model(model).config if isinstance(model, nn.Module) else None
    if config is None or head.num_outputs == 1:
        yield
        return
    names = config.id2label, config.label2id
    config.num_labels = 1
    try:
        yield
    finally:
        config.id2label, config.label2id = names


def describe_outputs(model: nn.Module, head: RewardHead) -> None:
    """Let the model's configuration say what its outputs are. What was fitted to those before training is removed."""
    config = core_model(model).config
    for entry, name in ((REWARD_CALIBRATION, "calibration"), (REWARD_INTERVALS, "uncertainty")):
        if hasattr(config, entry.key):
            logger.warning(
                "The %s that is stored with the model is removed: it is of the rewards before training.", name
            )
            entry.remove(model)
    REWARD_HEAD.remove(model)
    if head.num_outputs > 1:
        name_outputs(config, head.entry())
