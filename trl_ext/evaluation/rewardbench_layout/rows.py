"""Rows of a benchmark as RewardBench's files have them."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from datasets import Dataset

from ...scoring.chat_templates import find_chat_template


def check_rows(rows: Dataset, rewards: Sequence[np.ndarray]) -> list[list[float]]:
    """
    Rewards as lists of floats.

    Raises:
        ValueError: rows lack a column, or rewards do not fit to them; the row is named.
    """
    missing = {"id", "subset", "prompt", "responses", "num_correct"}.difference(rows.column_names)
    if missing:
        raise ValueError(f"rows have no column {', '.join(sorted(missing))}: they have {rows.column_names}")
    if len(rewards) != len(rows):
        raise ValueError(f"there are rewards of {len(rewards)} rows for {len(rows)} rows")
    lists = [np.asarray(values, dtype=np.float64) for values in rewards]
    for row, (values, responses) in enumerate(zip(lists, rows["responses"], strict=True)):
        if values.shape != (len(responses),) or not np.isfinite(values).all():
            raise ValueError(
                f"rewards, row {row} (id {rows[row]['id']!r}): expected {len(responses)} finite numbers, one per response, "
                f"got {values.tolist()}"
            )
    return [values.tolist() for values in lists]


def plain_text(prompt: Any, response: str | None) -> str:
    """A conversation as text, where the text that the model read is not known."""
    return "\n".join(f"{message['role']}: {message['content']}" for message in _messages(prompt, response))


def _messages(prompt: Any, response: str | None) -> list[dict[str, Any]]:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    return messages if response is None else [*messages, {"role": "assistant", "content": response}]


def template_of(tokenizer: Any, chat_template: str | None) -> Callable[[Any, str | None], str] | None:
    """What a chat template makes of a prompt and a response; `None` if the tokenizer has none and none is given."""
    template = None if chat_template is None else find_chat_template(chat_template)
    if tokenizer is None or not (template or getattr(tokenizer, "chat_template", None)):
        return None

    def render(prompt: Any, response: str | None) -> str:
        return tokenizer.apply_chat_template(_messages(prompt, response), tokenize=False, chat_template=template)

    return render


def rendered(rows: Dataset, render: Callable[[Any, str | None], str] | None) -> tuple[list[str], list[list[str]]]:
    """Texts of prompts, and of prompts with each of their responses."""
    render = render or plain_text
    prompts = [render(prompt, None) for prompt in rows["prompt"]]
    texts = [
        [render(prompt, response) for response in responses]
        for prompt, responses in zip(rows["prompt"], rows["responses"], strict=True)
    ]
    return prompts, texts


def pair_result(chosen: float, rejected: float) -> int:
    """1 if the chosen response is preferred; equal rewards are a loss."""
    return int(chosen > rejected)


def group_result(rewards: Sequence[float]) -> float:
    """Of the first response: 1 divided by the number of those with the highest reward if it is one of them, else 0."""
    best = max(rewards)
    return 1 / sum(reward == best for reward in rewards) if rewards[0] == best else 0.0


def original_ids(rows: Dataset) -> list[Any]:
    """Ids as the original has them: numbers where ours are texts, without the subset where ours begin with it."""
    names = [str(name) for name in rows["id"]]
    subsets = [str(subset) for subset in rows["subset"]]
    if all(name.startswith(f"{subset}/") for name, subset in zip(names, subsets, strict=True)):
        names = [name[len(subset) + 1 :] for name, subset in zip(names, subsets, strict=True)]
    return [_number(name) for name in names]


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() and str(int(text)) == text else text


def all_pairs(rows: Dataset) -> bool:
    """Whether every row has one right and one wrong response."""
    counts = zip(rows["responses"], rows["num_correct"], strict=True)
    return all(len(responses) == 2 and correct == 1 for responses, correct in counts)


def check_pairs(rewards: Sequence[Sequence[float]], rows: Dataset) -> None:
    """Raise a `ValueError` unless every row has one right and one wrong response."""
    for row, (values, correct) in enumerate(zip(rewards, rows["num_correct"], strict=True)):
        if len(values) != 2 or correct != 1:
            raise ValueError(
                f"row {row} (id {rows[row]['id']!r}) has {len(values)} responses, {correct} of them right; this layout is "
                "of pairs: one right, one wrong"
            )
