"""A model of a scorer that is in memory already, or is loaded by name when it is first needed."""

import functools
import hashlib
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from ..shared_prefix import core_model
from .loading import (
    ModelSource,
    code_fingerprint,
    config_fingerprint,
    load_tokenizer_of,
    tokenizer_fingerprint,
    weights_fingerprint,
)
from .processes import process_state


class LazyModel:
    """
    A model by name or in memory.

    Args:
        model (`str` or `torch.nn.Module`):
            Hub id, path or `"bundled:…"`, which is loaded at the first use of `model`, or a model in memory.
        source_class (`type[ModelSource]`):
            How a model by name is loaded.
        dtype (`str` or `torch.dtype`, *optional*):
            Precision of a model by name, by default float32.
        attn_implementation, device, adapter, revision, trust_remote_code, require_trained_head:
            As in [`~trl_ext.RewardScorer`].

    Raises:
        `ValueError`: An argument that applies to a model by name came with one in memory.
    """

    def __init__(
        self,
        model: str | nn.Module,
        source_class: type[ModelSource],
        *,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        device: str | torch.device | None = None,
        adapter: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        require_trained_head: bool = False,
    ):
        self.source: ModelSource | None = None
        if isinstance(model, str):
            self.source = source_class.find(
                model, adapter, revision, trust_remote_code, require_trained_head=require_trained_head
            )
            config = self.source.load_config()
            self.device = process_state().device if device is None else torch.device(device)
            arguments = (config, "float32" if dtype is None else dtype, attn_implementation, self.device)
            self._load = functools.partial(self.source.load_model, *arguments)
            return
        given = {"dtype": dtype, "attn_implementation": attn_implementation, "device": device, "adapter": adapter}
        for name, value in (given | {"revision": revision}).items():
            if value is not None:
                raise ValueError(f"`{name}` applies to a model by name; this one is in memory already")
        self.device = core_model(model).device
        self._load = lambda: model

    @functools.cached_property
    def model(self) -> nn.Module:
        """The model, loaded when it is first needed."""
        return self._load()

    def load_tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer that lies with the model."""
        return self.source.load_tokenizer() if self.source else load_tokenizer_of(core_model(self.model))

    def settings(self) -> dict[str, Any]:
        """What tells the model from others, for JSON."""
        core = core_model(self.model)
        return {
            "model_class": type(core).__name__,
            "model_code_sha256": code_fingerprint(core),
            "model_config_sha256": config_fingerprint(self.model),
            "model_weights_sha256": weights_fingerprint(self.model),
            "dtype": str(core.dtype).removeprefix("torch."),
            "attention": core.config._attn_implementation,
        }

    def provenance(self) -> dict[str, Any]:
        """Where the model came from, for JSON."""
        core = core_model(self.model)
        return {
            "model": self.source.name if self.source else core.config._name_or_path,
            "revision": getattr(core.config, "_commit_hash", None),
            "adapter": self.source.adapter if self.source else None,
            "device": str(core.device),
            "threads": torch.get_num_threads(),
        }


def tokenizer_settings(tokenizer: PreTrainedTokenizerBase, template: Any) -> dict[str, Any]:
    """What tells a tokenizer and the chat template that is used from others, for JSON."""
    return {
        "tokenizer_sha256": tokenizer_fingerprint(tokenizer),
        "chat_template_sha256": None if template is None else hashlib.sha256(str(template).encode()).hexdigest(),
    }


def tokens_per_batch(given: int | None, device: torch.device) -> int:
    """`max_tokens_per_batch`, checked, or its default on a device."""
    if given is None:
        return 4096 if device.type == "cpu" else 16384
    if given < 1:
        raise ValueError(f"`max_tokens_per_batch` must be at least 1, got {given}")
    return given
