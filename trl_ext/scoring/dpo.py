"""DPOImplicitRewardScorer: the reward that a model trained with DPO gives by its log-probabilities."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from .base import WindowScorer
from .groups import Group, windows
from .language_models import LanguageModelSource, check_language_model
from .lazy_model import LazyModel, tokenizer_settings, tokens_per_batch
from .response_encoding import EncodedResponse, make_response_encoder
from .results import ScoredWindow
from .timing import Timing
from .token_log_probabilities import REDUCTIONS, TokenQuery, reduce_log_probabilities, token_log_probabilities


logger = logging.getLogger(__name__)

# Reference that is the policy without its adapter
BASE = "base"


class DPOImplicitRewardScorer(WindowScorer):
    r"""
    Implicit reward of a language model trained with DPO: \( \log \pi(y|x) - \log \pi_{ref}(y|x) \), summed over the
    tokens of the response.

    Log-probabilities are float32, read at the tokens of responses only; what pads doesn't change them. Equal responses
    to equal prompts in a window are computed once.

    References:
        - Direct Preference Optimization: Your Language Model is Secretly a Reward Model (Rafailov et al.),
          https://arxiv.org/abs/2305.18290, equation 5 (without the term that the prompt alone decides).
        - RewardBench: Evaluating Reward Models for Language Modeling (Lambert et al.), https://arxiv.org/abs/2403.13787,
          whose encoding and reference-free rewards these are.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            The policy: Hub id or path of a causal language model or of a PEFT adapter of one, `"bundled:…"`, or a model in
            memory. A model by name is loaded at the first use, after the data is checked.
        reference (`str` or [`~transformers.PreTrainedModel`], *optional*):
            The model that training began with, by name or in memory; `"base"` for the policy without its adapter. It must
            share the policy's tokenizer.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer. By default the one that lies with the policy.
        reference_free (`str`, *optional*):
            Reward without a reference: `"sum"` of the response's log-probabilities, their `"avg"` over tokens, or `"norm"`,
            minus their Euclidean norm.
        beta (`float`, *optional*):
            DPO's β, by which rewards are multiplied. By default they are not, as in RewardBench.
        encoding (`str`, *optional*, defaults to `"rewardbench"`):
            How prompts and responses become tokens: `"rewardbench"`, or `"training"`, as TRL's `DPOTrainer` does. In the
            first, messages are the user's and the assistant's in turn whatever their roles, a text is a message, the
            beginning of the assistant's turn counts as response, BOS and EOS tokens are added even where the chat template
            has them, and responses may be empty; see [`~trl_ext.scoring.response_encoding.RewardBenchResponseEncoder`].
        chat_template (`str`, *optional*):
            Chat template for a tokenizer without one: a name of [`~trl_ext.scoring.chat_templates.CHAT_TEMPLATES`], the
            path of a `.jinja` file, or a Jinja template.
        override_chat_template (`bool`, *optional*, defaults to `False`):
            Use `chat_template` even if the tokenizer has one of its own.
        max_length (`int`, *optional*, defaults to `2048`):
            Largest number of tokens of a prompt with the longest response to it; `None` for no limit. Beyond it, prompts
            and then responses are truncated as in RewardBench. `timing.truncated` counts the responses concerned.
        max_prompt_length (`int`, *optional*, defaults to `128`):
            Tokens that a truncated prompt keeps.
        max_tokens_per_batch (`int`, *optional*):
            Tokens that a model computes at once. By default 4096 on the CPU and 16384 elsewhere.
        dtype (`str` or `torch.dtype`, *optional*, defaults to `"float32"`):
            Precision of models by name.
        attn_implementation (`str`, *optional*):
            Attention of models by name.
        device (`str` or `torch.device`, *optional*):
            Device of models by name. By default that of the process.
        adapter (`str`, *optional*):
            Hub id or path of a PEFT adapter on a policy by name.
        revision (`str`, *optional*):
            Revision of a policy by name.
        reference_revision (`str`, *optional*):
            Revision of a reference by name.
        trust_remote_code (`bool`, *optional*, defaults to `False`):
            Run code from the repository of a model by name.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Raises:
        ValueError: neither a reference nor `reference_free`, or both; policy and reference are the same; or a model is
            none that gives probabilities of tokens.

    Example:
        ```python
        >>> from trl_ext.scoring import DPOImplicitRewardScorer

        >>> scorer = DPOImplicitRewardScorer("my-dpo-model", reference="my-sft-model")  # doctest: +SKIP
        >>> scorer.score(["Is water wet? "], [["Yes.", "No."]])  # doctest: +SKIP
        [array([ 0.8312, -1.4071], dtype=float32)]
        ```
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        reference: str | PreTrainedModel | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        reference_free: str | None = None,
        beta: float | None = None,
        encoding: str = "rewardbench",
        chat_template: str | None = None,
        override_chat_template: bool = False,
        max_length: int | None = 2048,
        max_prompt_length: int = 128,
        max_tokens_per_batch: int | None = None,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        device: str | torch.device | None = None,
        adapter: str | None = None,
        revision: str | None = None,
        reference_revision: str | None = None,
        trust_remote_code: bool = False,
        progress: bool = True,
    ):
        _check_choice(model, reference, reference_free, (revision, adapter) == (reference_revision, None))
        if beta is not None and not (math.isfinite(beta) and beta > 0):
            raise ValueError(f"`beta` must be None or a positive number, got {beta}")
        loading = {"dtype": dtype, "attn_implementation": attn_implementation, "device": device}
        # A policy in memory may have a reference by name, to which these then apply
        nothing = dict.fromkeys(loading) if isinstance(reference, str) and reference != BASE else loading
        self._policy = LazyModel(
            model,
            LanguageModelSource,
            adapter=adapter,
            revision=revision,
            trust_remote_code=trust_remote_code,
            **(loading if isinstance(model, str) else nothing),
        )
        self._reference: LazyModel | None = None
        if reference is not None and reference != BASE:
            self._reference = LazyModel(
                reference,
                LanguageModelSource,
                revision=reference_revision,
                trust_remote_code=trust_remote_code,
                **(loading if isinstance(reference, str) else {}),
            )
        self._without_adapter = reference == BASE if isinstance(reference, str) else False
        if self._without_adapter and self._policy.source is not None and self._policy.source.adapter is None:
            raise ValueError(f"reference='base' is the policy without its adapter, but {model} has none")
        self.reference_free = reference_free
        self.beta = beta
        self.max_tokens_per_batch = tokens_per_batch(max_tokens_per_batch, self._policy.device)
        self.processing_class = self._policy.load_tokenizer() if processing_class is None else processing_class
        self.encoding = encoding
        self.allow_empty_responses = encoding == "rewardbench"
        self.encoder = make_response_encoder(
            *(encoding, self.processing_class, chat_template, override_chat_template, max_length, max_prompt_length)
        )
        self.progress = progress
        self.timing = Timing()

    @property
    def model(self) -> nn.Module:
        """The policy, loaded when it is first needed."""
        return self._policy.model

    @property
    def reference(self) -> nn.Module | None:
        """The reference, loaded when it is first needed; the policy if its adapter is disabled for it."""
        return self.model if self._without_adapter else self._reference and self._reference.model

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Encode the first window; see [`~trl_ext.scoring.base.Scorer.check_first_windows`]."""
        self.encoder.encode(next(windows(groups, window_size), []))
        return 0

    def prepare(self) -> None:
        """Load the models, and check that they can be compared."""
        check_language_model(self.model, causal=True)
        if self._without_adapter:
            if not hasattr(self.model, "disable_adapter"):
                raise ValueError("reference='base' is the policy without its adapter, but the policy has none")
        elif self._reference is not None:
            check_language_model(self._reference.model, causal=True)
            if _have_equal_weights(self.model, self._reference.model):
                raise ValueError(
                    "policy and reference have the same weights, so that every reward is 0: give the model that training "
                    "began with as `reference`"
                )

    def score_windows(
        self,
        groups: Callable[[], Iterable[Group]],
        *,
        window_size: int | None = None,
        num_workers: int | None = None,
        skip: int = 0,
        done: int = 0,
        total: int | None = None,
    ) -> Iterator[ScoredWindow]:
        """See [`~trl_ext.scoring.base.Scorer.score_windows`]."""
        yield from super().score_windows(
            groups, window_size=window_size, num_workers=num_workers, skip=skip, done=done, total=total
        )
        if self.timing.truncated:
            logger.warning(
                "%d of %d responses were truncated, or their prompts, to max_length=%d.",
                *(self.timing.truncated, self.timing.responses, self.encoder.max_length),
            )

    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """See [`~trl_ext.scoring.base.WindowScorer.score_groups`]."""
        encoded, truncated = self.encoder.encode(groups)
        slots: dict[EncodedResponse, int] = {}
        order = [slots.setdefault(response, len(slots)) for response in encoded]
        queries = [_query(response) for response in slots]
        rewards, computed = self._log_probabilities(self.model, queries, self.reference_free or "sum")
        if self.reference_free is None:
            without_adapter = self.model.disable_adapter() if self._without_adapter else nullcontext()
            with without_adapter:
                of_reference, tokens = self._log_probabilities(self.reference, queries, "sum")
            rewards, computed = rewards - of_reference, computed + tokens
        if self.beta is not None:
            rewards = rewards * self.beta
        return rewards[order], {
            "computed_tokens": computed,
            "sequence_tokens": sum(len(prompt) + len(response) for prompt, response in encoded),
            "truncated": truncated,
        }

    def _log_probabilities(
        self, model: nn.Module, queries: list[TokenQuery], reduction: str
    ) -> tuple[np.ndarray, int]:
        values, computed, _ = token_log_probabilities(model, queries, self.max_tokens_per_batch)
        return np.array([reduce_log_probabilities(of_response, reduction) for of_response in values]), computed

    def settings(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.settings`]."""
        if self.reference_free is not None:
            reference: Any = None
        else:
            reference = "policy without adapter" if self._without_adapter else self._reference.settings()
        return {
            "scorer": type(self).__name__,
            "policy": self._policy.settings(),
            "reference": reference,
            "reference_free": self.reference_free,
            "beta": self.beta,
            **tokenizer_settings(self.processing_class, self.encoder.rendered_with),
            "encoding": self.encoding,
            "max_length": self.encoder.max_length,
            "max_prompt_length": self.encoder.max_prompt_length,
            "max_tokens_per_batch": self.max_tokens_per_batch,
        }

    def provenance(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.provenance`]."""
        reference = BASE if self._without_adapter else self._reference and self._reference.provenance()
        return {**self._policy.provenance(), "reference": reference}


def _check_choice(model: Any, reference: Any, reference_free: str | None, same_version: bool) -> None:
    choices = "a `reference` (a model, or 'base' for the policy without its adapter) or `reference_free`, one of " + (
        ", ".join(map(repr, REDUCTIONS))
    )
    if (reference is None) == (reference_free is None):
        raise ValueError(f"give {choices}, got {'neither' if reference is None else 'both'}")
    if reference_free is not None and reference_free not in REDUCTIONS:
        raise ValueError(f"`reference_free` must be one of {', '.join(map(repr, REDUCTIONS))}, got {reference_free!r}")
    same_name = isinstance(model, str) and isinstance(reference, str) and model == reference and same_version
    if same_name or model is reference:
        raise ValueError(
            "policy and reference are the same model, so that every reward is 0: give the model that training began with "
            "as `reference`"
        )


def _have_equal_weights(first: nn.Module, second: nn.Module) -> bool:
    ours, theirs = first.state_dict(), second.state_dict()
    if ours.keys() != theirs.keys():
        return False
    return all(
        tensor.shape == theirs[name].shape and torch.equal(tensor.cpu(), theirs[name].cpu())
        for name, tensor in ours.items()
    )


def _query(encoded: EncodedResponse) -> TokenQuery:
    prompt, response = encoded
    ids = prompt + response
    start = max(len(prompt), 1)  # nothing predicts the first token of all
    return TokenQuery(ids, positions=range(start - 1, len(ids) - 1), targets=ids[start:])
