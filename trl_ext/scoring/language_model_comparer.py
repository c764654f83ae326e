"""LanguageModelComparer: a language model that is asked which of two responses is better."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ..shared_prefix import core_model
from .comparison_text import Comparison, ComparisonEncoder
from .language_models import LanguageModelSource, check_language_model
from .lazy_model import LazyModel, tokenizer_settings, tokens_per_batch
from .ranking import Comparer, ComparisonResults
from .token_log_probabilities import TokenQuery, token_log_probabilities


TEMPLATE = (
    "Prompt:\n{prompt}\n\nResponse A:\n{first}\n\nResponse B:\n{second}\n\n"
    "Which response is better? Answer with A or B.\n"
)


class LanguageModelComparer(Comparer):
    r"""
    Compares two responses by the probabilities that a language model gives to two answers: \( P(\text{first}) = \pi(A) /
    [\pi(A) + \pi(B)] \).

    Nothing is generated, so that no answer can be unreadable. An answer of several tokens has the product of their
    probabilities.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`]):
            Hub id or path of a causal language model or an encoder-decoder, `"bundled:…"`, or a model in memory.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer. By default the one that lies with the model.
        template (`str`, *optional*):
            Text with `{prompt}`, `{first}` and `{second}`, which the answer follows at once.
        answers (`tuple[str, str]`, *optional*, defaults to `("A", "B")`):
            What says that the first, and the second, response is better. A space before them matters.
        use_chat_template (`bool`, *optional*):
            Whether the text is the message of a user. By default if the tokenizer has a chat template.
        max_length (`int`, *optional*):
            Largest number of tokens of the text, without the answer. By default there is no limit.
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
        answers: tuple[str, str] = ("A", "B"),
        use_chat_template: bool | None = None,
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
        self._lazy = LazyModel(
            model,
            LanguageModelSource,
            dtype=dtype,
            attn_implementation=attn_implementation,
            device=device,
            adapter=adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
        )
        self.max_tokens_per_batch = tokens_per_batch(max_tokens_per_batch, self._lazy.device)
        self.processing_class = self._lazy.load_tokenizer() if processing_class is None else processing_class
        chat = self.processing_class.chat_template is not None if use_chat_template is None else use_chat_template
        self.encoder = ComparisonEncoder(self.processing_class, template, chat, max_length, max_length_policy)
        self.answers = tuple(answers)
        self._answer_ids = _answer_ids(self.answers, self.processing_class)

    @property
    def model(self) -> nn.Module:
        """The model, loaded when it is first needed."""
        return self._lazy.model

    def prepare(self) -> None:
        """Load the model, and check that it is a language model."""
        check_language_model(self.model)

    def compare(self, comparisons: Sequence[Comparison]) -> ComparisonResults:
        """See [`~trl_ext.scoring.ranking.Comparer.compare`]."""
        sequences, truncated = self.encoder.encode(comparisons)
        config = core_model(self.model).config
        start = config.decoder_start_token_id if config.is_encoder_decoder else None
        if config.is_encoder_decoder and start is None:
            raise ValueError("the encoder-decoder's configuration has no `decoder_start_token_id`")
        queries = [query for ids in sequences for query in self._queries(ids, start)]
        values, computed, _ = token_log_probabilities(self.model, queries, self.max_tokens_per_batch)
        if self._one_token_each:
            scores = np.array(values).reshape(-1, 2)
        else:
            scores = np.array([of_answer.sum() for of_answer in values]).reshape(-1, 2)
        return ComparisonResults(
            expit(scores[:, 0] - scores[:, 1]), truncated, computed, sum(len(query.ids) for query in queries)
        )

    @property
    def _one_token_each(self) -> bool:
        return all(len(ids) == 1 for ids in self._answer_ids)

    def _queries(self, ids: list[int], decoder_start: int | None) -> list[TokenQuery]:
        """One query for two answers of one token each, else one for each answer."""
        before = ids if decoder_start is None else [decoder_start]
        queries = []
        answers = (
            [([], [a for (a,) in self._answer_ids])]
            if self._one_token_each
            else [(answer[:-1], answer) for answer in self._answer_ids]
        )
        for read, targets in answers:
            last = len(before) - 1
            positions = [last, last] if self._one_token_each else range(last, last + len(targets))
            if decoder_start is None:
                queries.append(TokenQuery([*before, *read], positions, targets))
            else:
                queries.append(TokenQuery(ids, positions, targets, decoder_ids=[*before, *read]))
        return queries

    def settings(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.ranking.Comparer.settings`]."""
        return {
            "comparer": type(self).__name__,
            **self._lazy.settings(),
            **tokenizer_settings(self.processing_class, self.processing_class.chat_template),
            "template": self.encoder.template,
            "answers": list(self.answers),
            "use_chat_template": self.encoder.chat,
            "max_length": self.encoder.max_length,
            "max_length_policy": self.encoder.policy,
            "max_tokens_per_batch": self.max_tokens_per_batch,
        }

    def provenance(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.ranking.Comparer.provenance`]."""
        return self._lazy.provenance()


def _answer_ids(answers: tuple[str, ...], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    if len(answers) != 2:
        raise ValueError(f"`answers` must be two texts, got {answers!r}")
    ids = [tokenizer(text=answer, add_special_tokens=False)["input_ids"] for answer in answers]
    shorter = min(map(len, ids))
    if shorter == 0 or ids[0][:shorter] == ids[1][:shorter]:
        raise ValueError(f"`answers` must be two texts of which none begins with the other, got {answers!r}")
    return ids
