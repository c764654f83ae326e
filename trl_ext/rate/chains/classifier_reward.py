"""ClassifierReward: the logit of one class of a text classifier as reward, of a text alone."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from ...data.checks import shorten
from ...scoring.encoding import Encoder
from ...scoring.groups import Group
from ...scoring.loading import ModelSource
from ...scoring.results import ScoredWindow
from ...scoring.scorer import RewardScorer
from ...shared_prefix import core_model


_POLICIES = ("error", "truncate_right", "truncate_left")
_NO_LIMIT = 1_000_000  # tokenizers without a limit say 1e30


class ClassifierReward(RewardScorer):
    """
    Scores texts with the logit of one class of a sequence classifier, such as a sentiment model's "POSITIVE".

    The classifier reads the response alone, tokenised as it was in its training, with the special tokens of its own: a
    prompt is ignored. The reward is not a probability, which would hardly differ between texts of one clear class.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`]):
            Hub id or path of a sequence classifier, or one in memory.
        label (`str` or `int`):
            The class: its name in the model's configuration, or its index.
        processing_class ([`~transformers.PreTrainedTokenizerBase`], *optional*):
            Tokenizer. By default the one that lies with the model.
        max_length (`int`, *optional*):
            Largest number of tokens. By default as many as the model or its tokenizer has positions for.
        max_length_policy (`str`, *optional*, defaults to `"error"`):
            What happens to longer texts: `"error"`, `"truncate_right"`, which keeps the beginning, or `"truncate_left"`.
            `timing.truncated` counts them.
        max_tokens_per_batch, dtype, attn_implementation, device, revision, trust_remote_code, progress:
            As in [`~trl_ext.RewardScorer`].

    Raises:
        ValueError: The model has no such class, or an option is not as it must be.

    Example:
        ```python
        >>> scorer = ClassifierReward("distilbert/distilbert-base-uncased-finetuned-sst-2-english", "POSITIVE")
        >>> rewards = scorer.score(["Write a review."], [["A wonderful film.", "An awful film."]])
        >>> rewards[0].shape, rewards[0].dtype
        ((2,), dtype('float32'))
        ```
    """

    def __init__(
        self,
        model: str | PreTrainedModel,
        label: str | int,
        processing_class: PreTrainedTokenizerBase | None = None,
        *,
        max_length: int | None = None,
        max_length_policy: str = "error",
        max_tokens_per_batch: int | None = None,
        dtype: str | torch.dtype | None = None,
        attn_implementation: str | None = None,
        device: str | torch.device | None = None,
        revision: str | None = None,
        trust_remote_code: bool = False,
        progress: bool = True,
    ):
        if max_length_policy not in _POLICIES:
            raise ValueError(f"`max_length_policy` must be one of {', '.join(_POLICIES)}, got {max_length_policy!r}")
        if isinstance(model, str):
            config = ModelSource.find(model, None, revision, trust_remote_code).load_config(reduction=0)
        else:
            config = core_model(model).config
        self.label = label
        super().__init__(
            model,
            processing_class,
            reduction=class_index(config, label),
            shared_prefix=False,
            max_tokens_per_batch=max_tokens_per_batch,
            dtype=dtype,
            attn_implementation=attn_implementation,
            device=device,
            revision=revision,
            trust_remote_code=trust_remote_code,
            require_trained_head=isinstance(model, str),
            progress=progress,
        )
        if max_length is None:
            limits = (
                getattr(config, "max_position_embeddings", None),
                getattr(self.processing_class, "model_max_length", None),
            )
            max_length = min((limit for limit in limits if limit is not None and limit < _NO_LIMIT), default=None)
        self.encoder = _TextEncoder(self.processing_class, max_length, max_length_policy)

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """See [`~trl_ext.scoring.base.Scorer.check_first_windows`]."""
        return super().check_first_windows(map(_without_prompt, groups), window_size)

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
        return super().score_windows(
            lambda: map(_without_prompt, groups()),
            window_size=window_size,
            num_workers=num_workers,
            skip=skip,
            done=done,
            total=total,
        )

    def settings(self) -> dict[str, Any]:
        """See [`~trl_ext.scoring.base.Scorer.settings`]."""
        return super().settings() | {"encoding": "text_alone", "label": self.label}


def class_index(config: PretrainedConfig, label: str | int) -> int:
    """
    Index of a class of a sequence classifier.

    Args:
        config ([`~transformers.PretrainedConfig`]): Its configuration.
        label (`str` or `int`): Name or index of the class.

    Raises:
        ValueError: There is no such class; those that there are are named.
    """
    names = {int(index): name for index, name in config.id2label.items()}
    by_name = {name: index for index, name in names.items()}
    known = isinstance(label, int) and not isinstance(label, bool) and label in names
    if not known and label not in by_name:
        listed = ", ".join(f"{index} ({name})" for index, name in names.items())
        raise ValueError(f"the classifier has no class {label!r}; it has {listed}")
    return label if known else by_name[label]


class _TextEncoder(Encoder):
    """Encodes responses alone, with the special tokens of the tokenizer and no others."""

    def _encode_texts(self, texts: list[tuple[str, str]]) -> list[list[int]]:
        if not texts:
            return []
        responses = [response for _, response in texts]
        # Longer ones are told or shortened under the length limit, with counts; the tokenizer would only warn
        return self.tokenizer(text=responses, return_attention_mask=False, return_token_type_ids=False, verbose=False)[
            "input_ids"
        ]


def _without_prompt(group: Group) -> Group:
    return dataclasses.replace(
        group, prompt="", responses=[_text(response, group.name) for response in group.responses]
    )


def _text(response: str | list[dict[str, Any]], name: str) -> str:
    if isinstance(response, str):
        return response
    if len(response) == 1 and isinstance(response[0].get("content"), str):
        return response[0]["content"]
    raise ValueError(f"{name}: a classifier reads a text or a single message, got {shorten(response)}")
