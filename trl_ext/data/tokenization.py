"""Tokenisation of preference pairs, and what happens to pairs that are too long."""

import dataclasses
import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset, Features, List, Value

from .checks import Checker, check_is_dataset, counted, missing_column
from .preference import is_tokenized


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


logger = logging.getLogger(__name__)

MAX_LENGTH_POLICIES = ("drop", "truncate_prompt_left", "error")


@dataclasses.dataclass(frozen=True)
class LengthReport:
    r"""
    What a length limit did to a dataset. The length of a pair is that of its longer sequence.

    Args:
        rows (`int`): Pairs before.
        over_length (`int`): Pairs longer than `max_length`: `truncated + dropped`.
        truncated (`int`): Pairs whose common prefix was shortened.
        dropped (`int`): Pairs that were left out. With `"truncate_prompt_left"`, those too long without any prefix.
        first_row (`int` or `None`): Index, before, of the first pair that was too long.
        max_length (`int` or `None`): Limit in tokens; `None` is no limit.
        policy (`str`): `"drop"`, `"truncate_prompt_left"` or `"error"`.
    """

    rows: int
    over_length: int
    truncated: int
    dropped: int
    first_row: int | None
    max_length: int | None
    policy: str

    def describe(self) -> str:
        """One sentence for logs and reports."""
        if self.max_length is None:
            return f"{counted(self.rows, 'pair')}, no length limit."
        if self.over_length == 0:
            return f"{counted(self.rows, 'pair')}, none longer than max_length={self.max_length}."
        return (
            f"{self.over_length} of {counted(self.rows, 'pair')} longer than max_length={self.max_length} (first: row "
            f"{self.first_row}); max_length_policy='{self.policy}' truncated {self.truncated} and dropped "
            f"{self.dropped}, {self.rows - self.dropped} remain."
        )

    def to_dict(self) -> dict[str, int | str | None]:
        """The fields, for a JSON record."""
        return dataclasses.asdict(self)


def tokenize_preferences(
    dataset: Dataset,
    processing_class: "PreTrainedTokenizerBase",
    *,
    max_length: int | None = None,
    max_length_policy: str = "drop",
    num_proc: int | None = None,
    name: str = "train",
) -> tuple[Dataset, LengthReport]:
    r"""
    Tokenise preference pairs, exactly as [`~trl.RewardTrainer`] does, and apply a length limit that is never silent.

    Text: `chosen` and `rejected` end with the EOS token (it is added where it is missing), follow the `prompt` if
    there is one, and get the special tokens that the tokenizer adds. Messages: prompt and response go through the chat
    template as one conversation, with the row's `tools` and `chat_template_kwargs` if it has such columns.

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows that passed [`validate_preferences`]. If it has the columns `chosen_ids` and `rejected_ids` already,
            only the length limit is applied.
        processing_class ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer.
        max_length (`int`, *optional*):
            Largest number of tokens of a prompt with its response. By default there is no limit.
        max_length_policy (`str`, *optional*, defaults to `"drop"`):
            What to do with pairs of which one sequence or both are longer:

            - `"drop"`: leave them out.
            - `"truncate_prompt_left"`: remove tokens from the left of the common prefix of both sequences, the same
              number from both. The first token is kept if it is the BOS token, as is everything after the common
              prefix, to which an opening that both responses share belongs. Pairs that remain too long are left out.
            - `"error"`: raise a `ValueError`.
        num_proc (`int`, *optional*):
            Number of processes.
        name (`str`, *optional*, defaults to `"train"`):
            Name of the dataset in messages.

    Returns:
        `tuple[Dataset, LengthReport]`:
            The dataset with the columns `chosen_ids` and `rejected_ids` beside those it had, and what happened to the
            pairs that were too long. If any were truncated or dropped, the report is logged as a warning.

    Raises:
        `ValueError`:
            The tokenizer lacks what the data needs (EOS token, chat template); no pair is left, or, with `"error"`,
            a pair is too long.
        `TypeError`:
            `dataset` is not a [`~datasets.Dataset`].

    Example:
        ```python
        >>> from trl_ext.data import tokenize_preferences

        >>> dataset, report = tokenize_preferences(
        ...     dataset, tokenizer, max_length=1024, max_length_policy="truncate_prompt_left"
        ... )
        >>> report.describe()
        "12 of 4000 pairs longer than max_length=1024 (first: row 17); max_length_policy='truncate_prompt_left'
        truncated 11 and dropped 1, 3999 remain."
        ```
    """
    if max_length_policy not in MAX_LENGTH_POLICIES:
        raise ValueError(
            f"`max_length_policy` must be one of {', '.join(MAX_LENGTH_POLICIES)}, got {max_length_policy!r}"
        )
    if max_length is not None and max_length < 1:
        raise ValueError(f"`max_length` must be None or at least 1, got {max_length}")
    check_is_dataset(dataset, f"{name} dataset")
    if len(dataset) == 0:
        raise ValueError(f"{name} dataset has no rows")
    dataset = dataset.with_format(None)  # lists of ids, whatever format the caller looks at
    if not is_tokenized(dataset):
        dataset = _add_ids(dataset, processing_class, num_proc, name)
    if max_length is None:
        return dataset, LengthReport(len(dataset), 0, 0, 0, None, None, max_length_policy)
    first_token_id = (
        processing_class.cls_token_id if processing_class.bos_token is None else processing_class.bos_token_id
    )
    return _limit_length(dataset, first_token_id, max_length, max_length_policy, num_proc, name)


def _add_ids(dataset: Dataset, tokenizer: "PreTrainedTokenizerBase", num_proc: int | None, name: str) -> Dataset:
    for column in ("chosen", "rejected"):
        if column not in dataset.column_names:
            raise ValueError(missing_column(f"{name} dataset", column, dataset.column_names))
    tokenizer_name = tokenizer.name_or_path or type(tokenizer).__name__
    if not isinstance(dataset[0]["chosen"], list):
        if tokenizer.eos_token is None and tokenizer.sep_token is None:  # encoders end with [SEP], read at [CLS]
            raise ValueError(
                f"tokenizer '{tokenizer_name}' has no EOS token, which must end every text: the reward is read there. "
                "Set `eos_token`."
            )
        tokenize = _tokenize_text
    else:
        if tokenizer.chat_template is None and "chat_template_kwargs" not in dataset.column_names:
            raise ValueError(
                f"tokenizer '{tokenizer_name}' has no chat template, but the {name} dataset holds messages. Set "
                "`chat_template_path`, or `tokenizer.chat_template`."
            )
        tokenize = _tokenize_messages
    ids = List(Value("int64"))
    return dataset.map(
        tokenize,
        batched=True,
        fn_kwargs={"tokenizer": tokenizer},
        features=Features({**dataset.features, "chosen_ids": ids, "rejected_ids": ids}),
        num_proc=num_proc,
        desc=f"Tokenizing {name} dataset",
    )


def encode_texts(prompts: list[str], responses: list[str], tokenizer: "PreTrainedTokenizerBase") -> list[list[int]]:
    """Token ids of texts: prompt, response, and the EOS token where the response does not end with it already."""
    eos_token = tokenizer.eos_token or ""  # encoders end a sequence through their special tokens
    texts = [
        prompt + (response if response.endswith(eos_token) else response + eos_token)
        for prompt, response in zip(prompts, responses, strict=True)
    ]
    return tokenizer(text=texts, return_attention_mask=False, return_token_type_ids=False)["input_ids"]


def encode_messages(
    conversations: list[list[dict[str, Any]]],
    template_kwargs: list[dict[str, Any]],
    tokenizer: "PreTrainedTokenizerBase",
) -> list[list[int]]:
    """Token ids of conversations through the chat template, each with its keyword arguments."""
    if all(kwargs == template_kwargs[0] for kwargs in template_kwargs):
        return tokenizer.apply_chat_template(conversations, tokenize=True, return_dict=True, **template_kwargs[0])[
            "input_ids"
        ]
    return [
        tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, **kwargs)["input_ids"]
        for messages, kwargs in zip(conversations, template_kwargs, strict=True)
    ]


def chat_template_arguments(tools: Any, chat_template_kwargs: dict[str, Any] | None) -> dict[str, Any]:
    """Keyword arguments of the chat template from a row's columns `tools` and `chat_template_kwargs`."""
    return {"tools": json.loads(tools) if isinstance(tools, str) else tools, **(chat_template_kwargs or {})}


def _tokenize_text(batch: dict[str, list[Any]], tokenizer: "PreTrainedTokenizerBase") -> dict[str, list[list[int]]]:
    prompts = batch["prompt"] if "prompt" in batch else [""] * len(batch["chosen"])
    return {f"{column}_ids": encode_texts(prompts, batch[column], tokenizer) for column in ("chosen", "rejected")}


def _tokenize_messages(
    batch: dict[str, list[Any]], tokenizer: "PreTrainedTokenizerBase"
) -> dict[str, list[list[int]]]:
    template_kwargs = [
        chat_template_arguments(tools, kwargs)
        for tools, kwargs in zip(_column(batch, "tools"), _column(batch, "chat_template_kwargs"), strict=True)
    ]
    output = {}
    for column in ("chosen", "rejected"):
        conversations = batch[column]
        if "prompt" in batch:
            conversations = [prompt + end for prompt, end in zip(batch["prompt"], conversations, strict=True)]
        output[f"{column}_ids"] = encode_messages(conversations, template_kwargs, tokenizer)
    return output


def _column(batch: dict[str, list[Any]], name: str) -> list[Any]:
    return batch[name] if name in batch else [None] * len(batch["chosen"])


def _removable(chosen: np.ndarray, rejected: np.ndarray, bos_token_id: int | None) -> tuple[int, int]:
    """Range of the tokens that may be removed from both sequences: their common prefix without the BOS token."""
    shorter = min(len(chosen), len(rejected))
    differs = np.flatnonzero(chosen[:shorter] != rejected[:shorter])
    # If one sequence is the beginning of the other, its last token stays: it is the one that is scored
    end = int(differs[0]) if len(differs) else max(shorter - 1, 0)
    start = int(end > 0 and chosen[0] == bos_token_id)
    return start, end


def _truncate(
    batch: dict[str, list[list[int]]], max_length: int, bos_token_id: int | None
) -> dict[str, list[list[int]]]:
    output = {"chosen_ids": [], "rejected_ids": []}
    for chosen, rejected in zip(batch["chosen_ids"], batch["rejected_ids"], strict=True):
        surplus = max(len(chosen), len(rejected)) - max_length
        if surplus > 0:
            start, _ = _removable(np.asarray(chosen), np.asarray(rejected), bos_token_id)
            chosen, rejected = (ids[:start] + ids[start + surplus :] for ids in (chosen, rejected))
        output["chosen_ids"].append(chosen)
        output["rejected_ids"].append(rejected)
    return output


def _limit_length(
    dataset: Dataset, bos_token_id: int | None, max_length: int, policy: str, num_proc: int | None, name: str
) -> tuple[Dataset, LengthReport]:
    checker = Checker(dataset, f"{name} dataset")
    lengths = np.empty(len(dataset), dtype=np.int64)
    shortest = np.empty(len(dataset), dtype=np.int64)  # what the policy can shorten the pairs to
    for start, columns in checker.chunks("chosen_ids", "rejected_ids"):
        chunk_lengths = np.max([pc.list_value_length(column).to_numpy() for column in columns], axis=0)
        chunk = slice(start, start + len(chunk_lengths))
        lengths[chunk] = shortest[chunk] = chunk_lengths
        if policy == "truncate_prompt_left":
            for row in np.flatnonzero(chunk_lengths > max_length):
                first, end = _removable(*(column[row].values.to_numpy() for column in columns), bos_token_id)
                shortest[start + row] -= end - first

    too_long, keep = lengths > max_length, shortest <= max_length
    if not too_long.any():
        return dataset, LengthReport(len(dataset), 0, 0, 0, None, max_length, policy)
    first_row = int(too_long.argmax())
    if policy == "error":
        raise ValueError(
            f"{checker.name}: {counted(int(too_long.sum()), 'pair')} longer than max_length={max_length}; "
            f"{checker.first_row(first_row)}, {lengths[first_row]} tokens. Raise max_length, or choose a "
            f"max_length_policy: {', '.join(MAX_LENGTH_POLICIES[:-1])}."
        )
    if not keep.any():
        without = f", {shortest.min()} without the prompt" if policy == "truncate_prompt_left" else ""
        raise ValueError(
            f"{checker.name}: no pair fits max_length={max_length}; the shortest of {len(dataset)} has {lengths.min()} "
            f"tokens{without} (max_length_policy='{policy}'). Raise max_length."
        )
    report = LengthReport(
        rows=len(dataset),
        over_length=int(too_long.sum()),
        truncated=int((too_long & keep).sum()),
        dropped=int((~keep).sum()),
        first_row=first_row,
        max_length=max_length,
        policy=policy,
    )
    logger.warning("%s: %s", checker.name, report.describe())
    if report.dropped:
        dataset = dataset.select(np.flatnonzero(keep))
    if report.truncated:
        dataset = dataset.map(
            _truncate,
            batched=True,
            fn_kwargs={"max_length": max_length, "bos_token_id": bos_token_id},
            features=dataset.features,
            num_proc=num_proc,
            desc=f"Truncating {name} dataset to {max_length} tokens",
        )
    return dataset, report
