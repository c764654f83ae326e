"""The TRUE model as a language model that is asked: P(" correct") against P(" incorrect") as the next words."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from ...data.bundled import resolve_model
from .comparisons import Comparisons
from .encoding import Encoded, encode_comparisons, length_sorted_batches, limit_length
from .text import ComparisonFormat
from .value_head import default_device, set_padding


# The labels begin with the blank: a blank at the end of the prompt would be a token of its own, after which the models
# have rarely seen a word begin
LABELS = (" incorrect", " correct")
NEXT_TOKEN_TEMPLATE = (
    "Human: {prompt}\n\nResponse A: {response_a}\n\nResponse B: {response_b}\n\n"
    "One of the responses is better. A person had to say which.\nThe person's decision was"
)


class NextTokenScorer:
    r"""
    Scores comparisons by a causal language model that continues the question whether the annotator was correct:
    \( \log P(\text{" correct"}) - \log P(\text{" incorrect"}) \), with the log-probabilities of the whole label, however
    many tokens it has. Its sigmoid is the probability of " correct" among the two.

    Args:
        model ([`~transformers.PreTrainedModel`]):
            Causal language model, trained for it by [`train_next_token`] or as it is.
        tokenizer ([`~transformers.PreTrainedTokenizerBase`]):
            Its tokenizer.
        text_format ([`ComparisonFormat`], *optional*):
            The question. Must not end with a blank.
        max_length (`int`, *optional*, defaults to `1024`):
            Largest number of tokens, the label included; less if the model has fewer positions.
    """

    kind = "next_token"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        text_format: ComparisonFormat | None = None,
        max_length: int = 1024,
    ):
        self.model = model
        self.tokenizer = tokenizer
        self.text_format = text_format or ComparisonFormat(NEXT_TOKEN_TEMPLATE)
        if self.text_format.template != self.text_format.template.rstrip():
            raise ValueError(
                "the template must not end with a blank: the labels ' correct' and ' incorrect' begin with it"
            )
        self.max_length = limit_length(max_length, model.config)
        self.labels = [self._label_ids(label) for label in LABELS]
        self.prompt_length = self.max_length - max(map(len, self.labels))

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        text_format: ComparisonFormat | None = None,
        max_length: int = 1024,
        *,
        device: str | torch.device | None = None,
    ) -> "NextTokenScorer":
        """Loads a model: weights from safetensors files only, in float32, and no code of the repository is run."""
        path = resolve_model(name)
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32, use_safetensors=True)
        set_padding(model, tokenizer)
        return cls(model.to(device or default_device()), tokenizer, text_format, max_length)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, verbose=False)["input_ids"]

    def _label_ids(self, label: str) -> list[int]:
        # every question ends with the end of the template, so that one of them shows how the label is tokenised after it
        question = self.text_format.render("Why?", "Yes.", "No.")
        before, whole = self._ids(question), self._ids(question + label)
        if whole[: len(before)] != before or len(whole) == len(before):
            raise ValueError(
                f"this tokenizer does not keep the question's tokens when {label!r} follows: end the template with a "
                "whole word, without a blank; a tokenizer that ends every text with a special token can't be used"
            )
        return whole[len(before) :]

    def encode(self, comparisons: Comparisons) -> Encoded:
        """Token ids of the questions, without a label."""
        return encode_comparisons(comparisons, self.text_format, self.prompt_length, self._ids, self.tokenizer)

    @torch.inference_mode()
    def score(self, comparisons: Comparisons, *, max_tokens: int = 4096, progress: bool = False) -> np.ndarray:
        """Log-odds of " correct" against " incorrect", float64 of shape `(N,)`, before any calibration."""
        self.model.eval()
        ids = self.encode(comparisons).ids
        scores = np.empty(len(ids))
        with tqdm(total=len(ids), desc="comparisons", disable=not progress) as bar:
            for rows in length_sorted_batches(ids, max_tokens):
                questions = [ids[i] for i in rows]
                incorrect, correct = (self._label_log_probabilities(questions, label) for label in self.labels)
                scores[rows] = (correct - incorrect).cpu().numpy()
                bar.update(len(rows))
        return scores

    def _label_log_probabilities(self, questions: list[list[int]], label: list[int]) -> Tensor:
        batch = self.tokenizer.pad(
            {"input_ids": [question + label for question in questions]}, padding_side="left", return_tensors="pt"
        ).to(self.model.device)
        # all rows end with the label, so that the same positions predict it in each
        kept = len(label) + 1
        positions = (batch["attention_mask"].cumsum(dim=1) - 1).clamp(min=0)
        logits = self.model(**batch, position_ids=positions, logits_to_keep=kept, use_cache=False).logits[:, -kept:-1]
        log_probabilities = logits.double().log_softmax(dim=-1)
        targets = batch["input_ids"][:, -len(label) :].unsqueeze(-1)
        return log_probabilities.gather(-1, targets).squeeze(-1).sum(dim=1)

    def save(self, path: Path) -> None:
        """Weights (safetensors) and tokenizer."""
        self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)

    def to_dict(self) -> dict[str, Any]:
        """What beside the weights is needed to load it."""
        return {"kind": self.kind, "format": self.text_format.to_dict(), "max_length": self.max_length}


def few_shot_examples(train: Comparisons, count: int, seed: int, template: str = NEXT_TOKEN_TEMPLATE) -> str:
    """
    Solved examples for a model that has not been trained, as `examples` of a [`ComparisonFormat`].

    Args:
        train ([`Comparisons`]): Labelled comparisons, none of which is predicted later.
        count (`int`): Number of examples, half of them (rounded up) of annotators who were correct.
        seed (`int`): Seed of which ones, and of their order.
        template (`str`, *optional*): Template of the questions.

    Returns:
        `str`: Examples, each followed by an empty line.
    """
    labels = train.labels
    generator = np.random.default_rng(seed)
    chosen = []
    for label, wanted in ((1, -(-count // 2)), (0, count // 2)):
        rows = np.flatnonzero(labels == label)
        if rows.size < wanted:
            raise ValueError(f"{wanted} examples with correct={label} are needed, and there are {rows.size}")
        chosen += generator.choice(rows, wanted, replace=False).tolist()
    text_format = ComparisonFormat(template)
    return "".join(
        text_format.render(train.prompt[i], train.response_a[i], train.response_b[i]) + f"{LABELS[int(labels[i])]}\n\n"
        for i in generator.permutation(chosen)
    )
