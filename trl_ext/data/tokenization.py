"""Token ids of preference pairs, and what happens to pairs that are too long."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedTokenizerBase


logger = logging.getLogger(__name__)

MAX_LENGTH_POLICIES = ("drop", "truncate_prompt_left", "error")


@dataclass(frozen=True)
class LengthReport:
    """
    What [`tokenize_preferences`] did about pairs over `max_length`.

    Args:
        rows (`int`): Pairs before.
        over_length (`int`): Pairs with a sequence of more than `max_length` tokens.
        truncated (`int`): Of these, pairs whose prompt was shortened.
        dropped (`int`): Of these, pairs that were dropped.
        first_row (`int` or `None`): Index of the first pair over length.
        max_length (`int` or `None`): The limit, in tokens.
        policy (`str`): What was to happen.
    """

    rows: int
    over_length: int
    truncated: int
    dropped: int
    first_row: int | None
    max_length: int | None
    policy: str

    def describe(self) -> str:
        """Say it in a sentence."""
        return (
            f"{self.over_length} of {self.rows} pairs are longer than max_length={self.max_length}: "
            f"{self.truncated} prompts truncated on the left, {self.dropped} pairs dropped "
            f"(max_length_policy={self.policy}; first: row {self.first_row})"
        )


def _encode_text(batch: Mapping[str, list], tokenizer: PreTrainedTokenizerBase) -> dict[str, list]:
    eos = tokenizer.eos_token
    prompts = batch.get("prompt") or [""] * len(batch["chosen"])
    return {
        f"{side}_ids": tokenizer(
            [
                prompt + text + ("" if text.endswith(eos) else eos)
                for prompt, text in zip(prompts, batch[side], strict=True)
            ]
        )["input_ids"]
        for side in ("chosen", "rejected")
    }


def _template_arguments(batch: Mapping[str, list], row: int) -> dict[str, Any]:
    tools = batch["tools"][row] if "tools" in batch else None
    extra = batch["chat_template_kwargs"][row] if "chat_template_kwargs" in batch else None
    return {"tools": json.loads(tools) if isinstance(tools, str) else tools, **(extra or {})}


def _encode_messages(batch: Mapping[str, list], tokenizer: PreTrainedTokenizerBase) -> dict[str, list]:
    ids: dict[str, list] = {"chosen_ids": [], "rejected_ids": []}
    prompts = batch.get("prompt") or [[]] * len(batch["chosen"])
    for side in ("chosen", "rejected"):
        conversations = [
            _without_none(prompt + messages) for prompt, messages in zip(prompts, batch[side], strict=True)
        ]
        if "tools" in batch or "chat_template_kwargs" in batch:
            ids[f"{side}_ids"] = [
                tokenizer.apply_chat_template(
                    conversation, tokenize=True, return_dict=True, **_template_arguments(batch, row)
                )["input_ids"]
                for row, conversation in enumerate(conversations)
            ]
        else:
            ids[f"{side}_ids"] = tokenizer.apply_chat_template(conversations, tokenize=True, return_dict=True)[
                "input_ids"
            ]
    return ids


def _without_none(messages: list[dict]) -> list[dict]:
    """Arrow gives every message every key that any message has; templates take a key with None for a key."""
    return [{key: value for key, value in message.items() if value is not None} for message in messages]


def pair_lengths(dataset: Dataset) -> np.ndarray:
    """Tokens of the longer sequence of every tokenised pair, shape `(N,)`."""
    table = dataset.with_format("arrow")[:]
    chosen, rejected = (pc.list_value_length(table[column]).to_numpy() for column in ("chosen_ids", "rejected_ids"))
    return np.maximum(chosen, rejected)


def _common_prefix(first: list[int], second: list[int]) -> int:
    for position, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return position
    return min(len(first), len(second))


def _truncate(row: Mapping[str, list[int]], max_length: int, bos_token_id: int | None) -> dict[str, list[int]]:
    """Cut the same tokens out of the left of the common prefix of both sequences; a leading BOS stays."""
    chosen, rejected = row["chosen_ids"], row["rejected_ids"]
    excess = max(len(chosen), len(rejected)) - max_length
    if excess <= 0:
        return {"chosen_ids": chosen, "rejected_ids": rejected}
    start = 1 if bos_token_id is not None and chosen[0] == rejected[0] == bos_token_id else 0
    if excess > _common_prefix(chosen, rejected) - start:
        return {"chosen_ids": chosen, "rejected_ids": rejected}  # the responses alone are too long
    return {
        name: ids[:start] + ids[start + excess :] for name, ids in (("chosen_ids", chosen), ("rejected_ids", rejected))
    }


def tokenize_preferences(
    dataset: Dataset,
    processing_class: PreTrainedTokenizerBase,
    *,
    max_length: int | None = None,
    max_length_policy: str = "drop",
    num_proc: int | None = None,
    name: str = "train",
) -> tuple[Dataset, LengthReport]:
    """
    Tokenise preference pairs as TRL's `RewardTrainer` does, keeping every column.

    Text is `prompt + response`, with the end-of-sequence token appended unless it is there; messages go through the chat
    template (`tools` and `chat_template_kwargs` columns are passed to it). Pairs that are already tokenised only undergo the
    length policy.

    Args:
        dataset ([`~datasets.Dataset`]):
            Validated pairs.
        processing_class ([`~transformers.PreTrainedTokenizerBase`]):
            Tokenizer.
        max_length (`int`, *optional*):
            Longest sequence, in tokens.
        max_length_policy (`str`, *optional*, defaults to `"drop"`):
            `"drop"` pairs over it; `"truncate_prompt_left"`: cut tokens out of the left of what both sequences begin with,
            never out of what tells them apart, and drop pairs for which that is not enough; `"error"`.
        num_proc (`int`, *optional*):
            Processes to tokenise with.
        name (`str`, *optional*, defaults to `"train"`):
            What to call the dataset in messages.

    Returns:
        `tuple[Dataset, LengthReport]`: The dataset with `chosen_ids` and `rejected_ids`, and what happened to long pairs
        (also logged as a warning).

    Raises:
        ValueError: If the policy is `"error"` and a pair is over length, or no pair would be left.
    """
    if max_length_policy not in MAX_LENGTH_POLICIES:
        raise ValueError(
            f"max_length_policy must be one of {', '.join(MAX_LENGTH_POLICIES)}, got {max_length_policy!r}"
        )
    if not {"chosen_ids", "rejected_ids"} <= set(dataset.column_names):
        is_text = isinstance(dataset[0]["chosen"], str)
        if is_text and processing_class.eos_token is None:
            raise ValueError("the tokenizer has no end-of-sequence token; set `eos_token`")
        if not is_text and processing_class.chat_template is None:
            raise ValueError(
                f"{name} holds messages, but the tokenizer has no chat template; set `chat_template_path`"
            )
        dataset = dataset.map(
            _encode_text if is_text else _encode_messages,
            fn_kwargs={"tokenizer": processing_class},
            batched=True,
            num_proc=num_proc,
            desc=f"Tokenizing {name}",
        )
    rows = len(dataset)
    if max_length is None:
        return dataset, LengthReport(rows, 0, 0, 0, None, None, max_length_policy)
    longest = pair_lengths(dataset)
    over = np.flatnonzero(longest > max_length)
    if not len(over):
        return dataset, LengthReport(rows, 0, 0, 0, None, max_length, max_length_policy)
    first = int(over[0])
    if max_length_policy == "error":
        label = f" (id {dataset['id'][first]!r})" if "id" in dataset.column_names else ""
        raise ValueError(
            f"{name}: {len(over)} of {rows} pairs are longer than max_length={max_length}; first: row {first}{label}, "
            f"{longest[first]} tokens. Raise max_length, or set max_length_policy to 'drop' or 'truncate_prompt_left'."
        )
    if max_length_policy == "truncate_prompt_left":
        dataset = dataset.map(
            _truncate,
            fn_kwargs={"max_length": max_length, "bos_token_id": processing_class.bos_token_id},
            num_proc=num_proc,
            desc=f"Truncating {name}",
        )
    keep = np.flatnonzero(pair_lengths(dataset) <= max_length)
    dropped = rows - len(keep)
    if not len(keep):
        raise ValueError(
            f"{name}: all {rows} pairs are longer than max_length={max_length} (max_length_policy={max_length_policy}); "
            f"the shortest has {longest.min()} tokens"
        )
    if dropped:
        dataset = dataset.select(keep)
    report = LengthReport(rows, len(over), len(over) - dropped, dropped, first, max_length, max_length_policy)
    logger.warning("%s: %s", name, report.describe())
    return dataset, report
