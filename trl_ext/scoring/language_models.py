"""Language models of scorers by name: causal ones and encoder-decoders, whole, from safetensors files."""

import dataclasses
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM, PretrainedConfig
from transformers.utils.hub import has_file

from ..data.checks import shorten
from ..shared_prefix import core_model
from .loading import ModelSource, align_tensors


@dataclasses.dataclass(frozen=True)
class LanguageModelSource(ModelSource):
    """A language model by name; see [`ModelSource`]."""

    def load_config(self, reduction: None = None) -> PretrainedConfig:
        """Configuration of the model."""
        return AutoConfig.from_pretrained(self.name, **self._base_arguments)

    def load_model(
        self, config: PretrainedConfig, dtype: str | torch.dtype, attn_implementation: str | None, device: torch.device
    ) -> nn.Module:
        """The model on its device. A checkpoint that lacks weights, such as that of a reward model, is refused."""
        auto_class = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
        model, info = auto_class.from_pretrained(
            self.name,
            config=config,
            dtype=dtype,
            attn_implementation=attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            **self._base_arguments,
        )
        if missing := sorted(info["missing_keys"]):
            raise ValueError(
                f"{self.name} is not a language model: {len(missing)} weights are not in its checkpoint and would be "
                f"random: {shorten(missing)}. A reward model is scored with RewardScorer."
            )
        if self.adapter is not None:
            from peft import PeftModel

            if not has_file(self.adapter, "adapter_model.safetensors", **self._adapter_arguments):
                raise OSError(f"{self.adapter} has no adapter_model.safetensors; adapters in pickles are not loaded")
            model = PeftModel.from_pretrained(model, self.adapter, **self._adapter_arguments)
        return align_tensors(model.to(device)).eval()


def check_language_model(model: nn.Module, causal: bool = False) -> None:
    """Raise a `ValueError` unless a model gives log-probabilities of tokens (`causal`: without an encoder)."""
    core: Any = core_model(model)
    if core.get_output_embeddings() is None:
        raise ValueError(
            f"{type(core).__name__} has no language-model head, so that it gives no probabilities of tokens. A reward "
            "model is scored with RewardScorer."
        )
    if causal and core.config.is_encoder_decoder:
        raise ValueError(f"{type(core).__name__} is an encoder-decoder; a causal language model is needed here")
