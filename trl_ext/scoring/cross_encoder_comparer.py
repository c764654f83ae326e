"""CrossEncoderComparer: a sequence-classification model that reads a prompt and two responses in one text."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import nn
from transformers import AutoConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ..shared_prefix import core_model, unsupported_reason
from .batching import pad_token_id_of, padded_batches
from .comparison_text import Comparison, ComparisonEncoder
from .inference import _evaluation_mode, _restored_config
from .lazy_model import LazyModel, tokenizer_settings, tokens_per_batch
from .loading import ModelSource
from .ranking import Comparer, ComparisonResults


TEMPLATE = "Prompt:\n{prompt}\n\nResponse A:\n{first}\n\nResponse B:\n{second}"


@dataclasses.dataclass(frozen=True)
class CrossEncoderSource(ModelSource):
    """A cross-encoder by name; see [`~trl_ext.scoring.loading.ModelSource`]."""

    require_trained_head: bool = True

    def load_config(self, reduction: None = None) -> PretrainedConfig:
        """Configuration of a sequence-classification model, whose labels are checked when it is loaded."""
        config = AutoConfig.from_pretrained(self.name, **self._base_arguments)
        if self.has_own_code(config):
            return config
        kinds = config.architectures or ["no architecture"]
        if self.adapter is None and not any(kind.endswith("ForSequenceClassification") for kind in kinds):
            raise ValueError(
                f"{self.name} has no trained classification head ({', '.join(kinds)}): a cross-encoder was saved as "
                "…ForSequenceClassification. A language model compares with LanguageModelComparer."
            )
        return config


class CrossEncoderComparer(Comparer):
    """
    Compares two responses with a sequence-classification model that reads the prompt and both in one text.

    One label is the logit that the first response is preferred. Of two labels, `first_label` is that one, and the
    probability their softmax. Both are computed in float32.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`]):
            Hub id or path of a sequence-classification model with one or two labels, or a model in memory.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer. By default the one that lies with the model.
        template (`str`, *optional*):
            Text with `{prompt}`, `{first}` and `{second}`, as in the model's training; it may hold special tokens. The
            tokenizer adds its own.
        first_label (`int`, *optional*, defaults to `0`):
            Which of two labels says that the first response is preferred.
        max_length (`int`, *optional*):
            Largest number of tokens of the text. By default there is no limit.
        max_length_policy (`str`, *optional*, defaults to `"error"`):
            What happens to longer ones: `"error"`, or `"truncate_prompt_left"`, which removes the beginning of the prompt;
            such responses are counted.
        max_tokens_per_batch (`int`, *optional*):
            Tokens that the model computes at once, padding included. By default 4096 on the CPU and 16384 elsewhere.
        dtype, attn_implementation, device, adapter, revision, trust_remote_code:
            As in [`~trl_ext.RewardScorer`].
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        template: str = TEMPLATE,
        first_label: int = 0,
        max_length: int | None = None,
        max_length_policy: str = "error",
        max_tokens_per_batch: int | None = None,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        device: str | torch.device | None = None,
        adapter: str | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
    ):
        if first_label not in (0, 1):
            raise ValueError(f"`first_label` must be 0 or 1, got {first_label}")
        self._lazy = LazyModel(
            model,
            CrossEncoderSource,
            dtype=dtype,
            attn_implementation=attn_implementation,
            device=device,
            adapter=adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        self.first_label = first_label
        self.max_tokens_per_batch = tokens_per_batch(max_tokens_per_batch, self._lazy.device)
        self.processing_class = self._lazy.load_tokenizer() if processing_class is None else processing_class
        self.encoder = ComparisonEncoder(self.processing_class, template, False, max_length, max_length_policy)

    @property
    def model(self) -> nn.Module:
        """The model, loaded when it is first needed."""
        return self._lazy.model

    def prepare(self) -> None:
        """Load the model, and check its labels."""
        labels = core_model(self.model).config.num_labels
        if labels not in (1, 2):
            raise ValueError(f"a cross-encoder that compares has one or two labels, but this model has {labels}")

    @torch.inference_mode()
    def compare(self, comparisons: Sequence[Comparison]) -> ComparisonResults:
        """See [`~trl_ext.scoring.ranking.Comparer.compare`]."""
        sequences, truncated = self.encoder.encode(comparisons)
        core = core_model(self.model)
        device = core.get_input_embeddings().weight.device
        logits = np.empty((len(sequences), core.config.num_labels))
        equal_lengths = "longest sequence" in (unsupported_reason(core) or "")
        computed = 0
        batches = padded_batches(
            sequences, self.max_tokens_per_batch, pad_token_id_of(self.processing_class), equal_lengths
        )
        with _evaluation_mode(self.model), _restored_config(core):
            for batch in batches:
                core.config.get_text_config().pad_token_id = batch.pad_token_id
                output = self.model(
                    input_ids=batch.input_ids.to(device), attention_mask=batch.attention_mask.to(device)
                )
                logits[batch.indices] = output.logits.float().cpu().numpy()
                computed += batch.num_tokens
        if logits.shape[1] == 1:
            differences = logits[:, 0]
        else:
            differences = logits[:, self.first_label] - logits[:, 1 - self.first_label]
        return ComparisonResults(expit(differences), truncated, computed, sum(map(len, sequences)))

    def settings(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.ranking.Comparer.settings`]."""
        return {
            "comparer": type(self).__name__,
            **self._lazy.settings(),
            **tokenizer_settings(self.processing_class, None),
            "template": self.encoder.template,
            "first_label": self.first_label,
            "max_length": self.encoder.max_length,
            "max_length_policy": self.encoder.policy,
            "max_tokens_per_batch": self.max_tokens_per_batch,
        }

    def provenance(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.ranking.Comparer.provenance`]."""
        return self._lazy.provenance()
