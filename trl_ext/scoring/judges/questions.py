"""What a judge is asked about a prompt, and what became of each question."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..groups import Group


LABELS = "ABCDEFGH"


@dataclass(frozen=True)
class Question:
    """
    A question about a prompt.

    Args:
        group (`int`): Index of the prompt in its window.
        order (`tuple[int, ...]`): Responses in the order in which they are shown; one for a rating.
        messages (`list[dict[str, str]]`): What is asked.
        repetition (`int`): Number of the answer, of several to the same question.
    """

    group: int
    order: tuple[int, ...]
    messages: list[dict[str, str]]
    repetition: int


@dataclass(frozen=True)
class Judgement:
    """
    What became of a question.

    Args:
        prompt_id (`str` or `int`): The prompt.
        order (`tuple[int, ...]`): Responses in the order in which they were shown.
        repetition (`int`): Number of the answer, of several to the same question.
        key (`str`): Key of the answers in the store.
        outcome (`str`): `"verdict"`, `"tie"` or `"rating"`; `"reject"` for an answer that can't be used; `"failure"`
            where there is no answer.
        choice (`int`, *optional*): The response a verdict is for.
        rating (`float`, *optional*): The rating.
        reason (`str`, *optional*): Kind of reject or failure.
    """

    prompt_id: str | int
    order: tuple[int, ...]
    repetition: int
    key: str
    outcome: str
    choice: int | None = None
    rating: float | None = None
    reason: str | None = None


def seeded_order(group: Group, seed: int) -> tuple[int, ...]:
    """
    A random order of a prompt's responses. It depends on the seed, the prompt and the responses, and on nothing else:
    neither on what is scored before or with it, nor on the process.
    """
    content = json.dumps([seed, group.prompt, list(group.responses)], sort_keys=True, ensure_ascii=False, default=str)
    digest = hashlib.sha256(content.encode("utf-8", "backslashreplace")).digest()
    generator = np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))
    return tuple(generator.permutation(len(group.responses)).tolist())


def rotations(order: Sequence[int]) -> list[tuple[int, ...]]:
    """All cyclic rotations of an order: every response stands in every place once."""
    order = tuple(order)
    return [order[shift:] + order[:shift] for shift in range(len(order))]


def as_columns(judgements: Sequence[Judgement]) -> dict[str, list[Any]]:
    """Fields of judgements as columns."""
    names = ("prompt_id", "order", "repetition", "key", "outcome", "choice", "rating", "reason")
    return {name: [getattr(judgement, name) for judgement in judgements] for name in names}
