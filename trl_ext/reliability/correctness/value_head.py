"""The TRUE model as a classifier: one logit on top of a language model or an encoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ...data.bundled import resolve_model
from ...data.padding import distinct_pad_token
from ...trainer.reward_head import is_fresh_head, run_head_in_float32, scale_reward_head
from .comparisons import Comparisons
from .encoding import Encoded, encode_comparisons, length_sorted_batches, limit_length
from .text import ComparisonFormat


class ValueHeadScorer:
    r"""
    Scores comparisons by a sequence-classification model with one output: the logit of P(annotator correct).

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Model with `num_labels=1`: a decoder, read at its last token, or an encoder, read where its own head reads.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer, with a padding token that is not the end-of-sequence token.
        text_format ([`ComparisonFormat`], *optional*):
            How a comparison is written.
        max_length (`int`, *optional*, defaults to `1024`):
            Largest number of tokens; less if the model has fewer positions.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models, the TRUE model.
    """

    kind = "value_head"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        text_format: ComparisonFormat | None = None,
        max_length: int = 1024,
    ):
        if model.config.num_labels != 1:
            raise ValueError(f"the model must have one output, but it has num_labels={model.config.num_labels}")
        self.model = model
        self.tokenizer = tokenizer
        self.text_format = text_format or ComparisonFormat()
        self.max_length = limit_length(max_length, model.config)
        run_head_in_float32(model)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        text_format: ComparisonFormat | None = None,
        max_length: int = 1024,
        *,
        weight_scale: float = 1.0,
        device: str | torch.device | None = None,
    ) -> "ValueHeadScorer":
        """
        Loads a model; `weight_scale` multiplies the initial weights of a head that is not trained yet.

        Weights are read from safetensors files only, in float32, and no code of the repository is run.
        """
        path = resolve_model(name)
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForSequenceClassification.from_pretrained(
            path, num_labels=1, dtype=torch.float32, use_safetensors=True
        )
        if is_fresh_head(model):  # `architectures` is still that of the checkpoint
            scale_reward_head(model, weight_scale)
        set_padding(model, tokenizer)
        return cls(model.to(device or default_device()), tokenizer, text_format, max_length)

    def encode(self, comparisons: Comparisons) -> Encoded:
        """Token ids of comparisons, with what ends a sequence for this model."""
        return encode_comparisons(comparisons, self.text_format, self.max_length, self._ids, self.tokenizer)

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer(text, verbose=False)["input_ids"]  # over-long texts are shortened later
        # Encoders' tokenizers end a text themselves. A decoder is read at its last token: let it be the same everywhere
        if self.tokenizer.eos_token_id is not None and ids[-1] not in self.tokenizer.all_special_ids:
            ids = ids + [self.tokenizer.eos_token_id]
        return ids

    @torch.inference_mode()
    def score(self, comparisons: Comparisons, *, max_tokens: int = 8192, progress: bool = False) -> np.ndarray:
        """Logits of P(correct) in the order given, float64 of shape `(N,)`, before any calibration."""
        self.model.eval()
        ids = self.encode(comparisons).ids
        scores = np.empty(len(ids))
        with tqdm(total=len(ids), desc="comparisons", disable=not progress) as bar:
            for rows in length_sorted_batches(ids, max_tokens):
                batch = self.tokenizer.pad(
                    {"input_ids": [ids[i] for i in rows]}, padding_side="right", return_tensors="pt"
                ).to(self.model.device)
                scores[rows] = self.model(**batch).logits.squeeze(-1).double().cpu().numpy()
                bar.update(len(rows))
        return scores

    def save(self, path: Path) -> None:
        """Weights (safetensors) and tokenizer."""
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    def to_dict(self) -> dict[str, Any]:
        """What beside the weights is needed to load it."""
        return {"kind": self.kind, "format": self.text_format.to_dict(), "max_length": self.max_length}


def set_padding(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Pad with a token that cannot end a sequence, as the head of a decoder reads the last one that is not padding."""
    pad_token = distinct_pad_token(tokenizer)
    if pad_token is None:
        tokenizer.add_special_tokens({"pad_token": "<|pad|>"})
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    else:
        tokenizer.pad_token = pad_token
    model.config.get_text_config().pad_token_id = tokenizer.pad_token_id


def default_device() -> torch.device:
    """The accelerator, or the CPU without one."""
    return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
