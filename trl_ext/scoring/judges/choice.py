"""Judges that pick the best of several responses."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ...completions import AnswerForm
from ...completions.engine import Backend
from ..groups import Group
from .base import Judge
from .conversation import conversation_and_responses
from .parsers import verdict_parser
from .questions import LABELS, Judgement, Question, rotations, seeded_order
from .template import JudgeTemplate


class FourWayJudge(Judge):
    """
    A judge that is shown all responses to a prompt, from two to eight of them, and names the best.

    The reward of a response is its share of the verdicts. A tie, and an answer that can't be read, counts the same for
    all responses: with one question per prompt they all get 1/K, which is worth 1/K on RewardBench 2. Equal responses share
    what they get.

    Args:
        backend, store_path:
            See [`Judge`], also for further arguments.
        template (`str` or `Path` or [`JudgeTemplate`], *optional*, defaults to `"choice"`):
            What is asked.
        rotations (`str`, *optional*, defaults to `"seeded"`):
            Orders in which responses are shown: `"seeded"`, one random order per prompt; or `"all"`, that order and all
            its cyclic rotations, so that every response stands in every place once.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the orders. An order depends on it, the prompt and the responses alone.

    Example:
        ```python
        >>> from trl_ext.completions import LocalBackend
        >>> from trl_ext.scoring.judges import FourWayJudge
        >>> judge = FourWayJudge(LocalBackend("Qwen/Qwen3-4B-Instruct-2507"), "answers.jsonl", rotations="all")
        >>> judge.score(["Capital of France?"], [["Rome", "Paris", "Lyon", "Nice"]])
        ```
    """

    template_kind = "choice"
    sizes = range(2, len(LABELS) + 1)

    def __init__(
        self,
        backend: Backend,
        store_path: str | Path,
        *,
        template: str | Path | JudgeTemplate = "choice",
        rotations: str = "seeded",
        seed: int = 0,
        **kwargs: Any,
    ):
        if rotations not in ("seeded", "all"):
            raise ValueError(f"rotations must be 'seeded' or 'all', got {rotations!r}")
        super().__init__(backend, store_path, template=template, **kwargs)
        self.rotations = rotations
        self.seed = seed
        if ":" in self.parser and self.sizes[-1] > 2:
            raise ValueError(f"parser {self.parser!r} is for pairs: use a PairwiseJudge, or parser='legacy'")
        self._read = verdict_parser(self.parser, self.template.tie)

    def questions(self, group: Group, index: int) -> Iterable[Question]:
        """See [`Judge.questions`]."""
        count = len(group.responses)
        if count not in self.sizes:
            allowed = f"{self.sizes[0]} to {self.sizes[-1]}" if len(self.sizes) > 1 else f"{self.sizes[0]}"
            raise ValueError(
                f"{group.name} has {count} responses, but a {type(self).__name__} compares {allowed}. Rate the responses "
                "one by one with a RatingsJudge, or leave out the row."
            )
        conversation, responses = conversation_and_responses(group)
        first = seeded_order(group, self.seed)
        for order in rotations(first) if self.rotations == "all" else [first]:
            messages = self.template.messages(conversation, [responses[i] for i in order], LABELS[:count])
            yield Question(index, order, messages, 0)

    def parse(self, text: str, count: int) -> str:
        """See [`Judge.parse`]."""
        return self._read(text, LABELS[:count])

    def fields(self, value: str, order: tuple[int, ...]) -> dict[str, Any]:
        """See [`Judge.fields`]."""
        if value == self.template.tie:
            return {"outcome": "tie"}
        return {"outcome": "verdict", "choice": order[LABELS.index(value)]}

    def rewards(self, group: Group, judgements: list[Judgement]) -> np.ndarray:
        """See [`Judge.rewards`]."""
        count = len(group.responses)
        verdicts = [judgement.choice for judgement in judgements if judgement.choice is not None]
        wins = np.bincount(np.array(verdicts, dtype=np.int64), minlength=count)
        shares = (wins + (len(judgements) - len(verdicts)) / count) / len(judgements)
        # A verdict for one of two equal responses says nothing but where it stood
        _, same = np.unique([repr(response) for response in group.responses], return_inverse=True)
        return (np.bincount(same, weights=shares) / np.bincount(same))[same]

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        return super().settings() | {"rotations": self.rotations, "seed": self.seed}


class PairwiseJudge(FourWayJudge):
    """
    A judge that compares two responses.

    The reward of a response is its share of the verdicts; a tie, and an answer that can't be read, is half a verdict for
    each. Asked once in a random order (`orders="seeded"`), a pair is right (1), wrong (0) or undecided (1/2), as on
    RewardBench.

    Args:
        backend, store_path:
            See [`Judge`], also for further arguments.
        template (`str` or `Path` or [`JudgeTemplate`], *optional*, defaults to `"choice"`):
            What is asked.
        orders (`str`, *optional*, defaults to `"both"`):
            `"both"`: each pair is asked in both orders, so that a preference for a place cancels and is measured.
            `"seeded"`: in one random order, at half the cost.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the orders. An order depends on it, the prompt and the responses alone.

    Example:
        ```python
        >>> from trl_ext.completions import OpenAIBackend
        >>> from trl_ext.scoring.judges import PairwiseJudge
        >>> backend = OpenAIBackend("my-judge", base_url="http://localhost:8000/v1", api_key_env=None)
        >>> judge = PairwiseJudge(backend, "answers.jsonl")
        >>> judge.score(["Capital of France?"], [["Paris", "Rome"]])
        ```
    """

    sizes = range(2, 3)

    def __init__(
        self,
        backend: Backend,
        store_path: str | Path,
        *,
        template: str | Path | JudgeTemplate = "choice",
        orders: str = "both",
        seed: int = 0,
        **kwargs: Any,
    ):
        if orders not in ("both", "seeded"):
            raise ValueError(f"orders must be 'both' or 'seeded', got {orders!r}")
        rotations = "all" if orders == "both" else "seeded"
        super().__init__(backend, store_path, template=template, rotations=rotations, seed=seed, **kwargs)


def verdict_form(count: int = 2) -> AnswerForm:
    """
    A verdict as a form, in which a local model fills in nothing but the label: `Sampling(form=verdict_form())`.

    Args:
        count (`int`, *optional*, defaults to `2`): Number of responses.

    Returns:
        [`~trl_ext.completions.AnswerForm`]

    Example:
        ```python
        >>> from trl_ext.scoring.judges import verdict_form
        >>> verdict_form(4)
        AnswerForm(blanks=(('[[', ('A', 'B', 'C', 'D')),), end=']]')
        ```
    """
    if not 2 <= count <= len(LABELS):
        raise ValueError(f"count must be in [2, {len(LABELS)}], got {count}")
    return AnswerForm((("[[", tuple(LABELS[:count])),), end="]]")
