"""A judge that gives each response a number."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...completions.engine import Backend
from ..groups import Group
from .asking import JudgeFailure
from .base import Judge
from .conversation import conversation_and_responses
from .parsers import rating_parser
from .questions import Judgement, Question
from .template import JudgeTemplate


class RatingsJudge(Judge):
    """
    A judge that rates each response by itself, whatever their number.

    The reward of a response is its mean rating. A response without a single rating that can be used spoils the comparison
    with the others to the same prompt: then all of them get the middle of the scale (`on_unusable="tie"`) and the prompt
    is counted, or scoring ends (`on_unusable="error"`). There is never a rating that nobody gave.

    Args:
        backend, store_path:
            See [`Judge`], also for further arguments.
        template (`str` or `Path` or [`JudgeTemplate`], *optional*, defaults to `"rating"`):
            What is asked. `"rating_ties"` asks for right and wrong only, for prompts with many right responses.
        on_unusable (`str`, *optional*, defaults to `"tie"`):
            `"tie"` or `"error"`, for prompts with a response without rating.
        decimals (`bool`, *optional*, defaults to `False`):
            Whether `7.5` is a rating.

    Example:
        ```python
        >>> from trl_ext.completions import LocalBackend, Sampling
        >>> from trl_ext.scoring.judges import RatingsJudge
        >>> backend = LocalBackend("Qwen/Qwen3-4B-Instruct-2507")
        >>> judge = RatingsJudge(backend, "answers.jsonl", sampling=Sampling(0.7), repetitions=4)
        >>> judge.score(["Capital of France?"], [["Paris", "Rome", "Lyon"]])
        ```
    """

    template_kind = "rating"

    def __init__(
        self,
        backend: Backend,
        store_path: str | Path,
        *,
        template: str | Path | JudgeTemplate = "rating",
        on_unusable: str = "tie",
        decimals: bool = False,
        **kwargs: Any,
    ):
        if on_unusable not in ("tie", "error"):
            raise ValueError(f"on_unusable must be 'tie' or 'error', got {on_unusable!r}")
        super().__init__(backend, store_path, template=template, **kwargs)
        self.on_unusable = on_unusable
        self.decimals = decimals
        self._read = rating_parser(self.parser, self.template, decimals)

    def questions(self, group: Group, index: int) -> Iterable[Question]:
        """See [`Judge.questions`]."""
        conversation, responses = conversation_and_responses(group)
        for number, response in enumerate(responses):
            yield Question(index, (number,), self.template.messages(conversation, [response]), 0)

    def parse(self, text: str, count: int) -> float:
        """See [`Judge.parse`]."""
        return self._read(text)

    def fields(self, value: float, order: tuple[int, ...]) -> dict[str, Any]:
        """See [`Judge.fields`]."""
        return {"outcome": "rating", "rating": value}

    def rewards(self, group: Group, judgements: list[Judgement]) -> np.ndarray:
        """See [`Judge.rewards`]."""
        ratings: list[list[float]] = [[] for _ in group.responses]
        for judgement in judgements:
            if judgement.rating is not None:
                ratings[judgement.order[0]].append(judgement.rating)
        unrated = [index for index, found in enumerate(ratings) if not found]
        if not unrated:
            return np.array([np.mean(found) for found in ratings])
        if self.on_unusable == "error":
            reason = next(j.reason for j in judgements if j.order[0] == unrated[0])
            raise JudgeFailure(
                f"{group.name}: {len(unrated)} of {len(ratings)} responses have no rating that can be used; the first: "
                f"response {unrated[0]} ({reason}). The answers are stored. Ask again with parse_attempts, or count such "
                "prompts as ties with on_unusable='tie'."
            )
        return np.full(len(ratings), (self.template.lowest + self.template.highest) / 2)

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        return super().settings() | {"on_unusable": self.on_unusable, "decimals": self.decimals}
