"""From preference pairs to requests, and from answers to one row of scores for each pair."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from ...completions.answers import CompletionResult
from ...completions.requests import CompletionRequest, Sampling
from .rubric import CRITERIA, as_text, rubric_messages


Order = Literal["random", "both"]
ORDERS = ("random", "both")


@dataclass(frozen=True)
class DifficultyQuestion:
    """
    One request about one pair.

    Args:
        row_id (`str`): Id of the pair.
        chosen_first (`bool`): Whether the chosen response is shown as response A.
        request ([`~trl_ext.completions.CompletionRequest`]): What is asked.
    """

    row_id: str
    chosen_first: bool
    request: CompletionRequest


def difficulty_questions(
    rows: Iterable[Mapping[str, Any]],
    sampling: Sampling,
    *,
    order: Order = "random",
    repetitions: int = 1,
    reasoning: bool = True,
    seed: int = 0,
) -> list[DifficultyQuestion]:
    """
    The requests that ask how hard each preference pair is to label.

    The model is never told which response was chosen. Were the chosen one always response A, a model that likes one
    side would make its scores depend on the label; so a coin that depends on id and seed only decides, or both orders are
    asked.

    Args:
        rows (`Iterable[Mapping]`):
            Pairs with `id`, `chosen`, `rejected` and optionally `prompt`, as texts or messages.
        sampling ([`~trl_ext.completions.Sampling`]):
            How answers are drawn.
        order (`"random"` or `"both"`, *optional*, defaults to `"random"`):
            One request with the responses in a random order, or one for each order (twice the cost).
        repetitions (`int`, *optional*, defaults to `1`):
            Answers for each question; of use only with a temperature above 0.
        reasoning (`bool`, *optional*, defaults to `True`):
            Ask for a sentence of reasoning before every score.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the coin.

    Returns:
        `list[DifficultyQuestion]`: In the order of the rows.

    Raises:
        `ValueError`: An id is missing or occurs twice, or `order` or `repetitions` is not allowed.
    """
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {order!r}")
    if repetitions < 1:
        raise ValueError(f"repetitions must be at least 1, got {repetitions}")
    questions: list[DifficultyQuestion] = []
    seen: set[str] = set()
    for number, row in enumerate(rows):
        if row.get("id") is None:
            raise ValueError(f"row {number} has no id; every pair needs one, to find its scores again")
        row_id = str(row["id"])
        if row_id in seen:
            raise ValueError(f"row {number}: the id {row_id!r} occurs a second time; ids must be unique")
        seen.add(row_id)
        prompt = as_text(row["prompt"]) if row.get("prompt") is not None else ""
        texts = {side: as_text(row[side]) for side in ("chosen", "rejected")}
        for chosen_first in (True, False) if order == "both" else (_coin(row_id, seed),):
            first, second = ("chosen", "rejected") if chosen_first else ("rejected", "chosen")
            messages = rubric_messages(prompt, texts[first], texts[second], reasoning=reasoning)
            for repetition in range(repetitions):
                name = f"{row_id}/{first}-first/{repetition}"
                questions.append(
                    DifficultyQuestion(row_id, chosen_first, CompletionRequest(name, messages, sampling, repetition))
                )
    return questions


def difficulty_table(questions: Sequence[DifficultyQuestion], results: Sequence[CompletionResult]) -> pd.DataFrame:
    """
    Averages the scores of every pair over orders and repetitions.

    Args:
        questions (`Sequence[DifficultyQuestion]`): What was asked.
        results (`Sequence[CompletionResult]`):
            What [`~trl_ext.completions.complete_all`] returned for their requests with
            [`~trl_ext.reliability.llm_arms.parse_scores`].

    Returns:
        `pandas.DataFrame`: One row for each pair, in their order: `id`, the seven criteria (mean score in [1, 5], NaN if
        no answer could be had), `n_answers` (averaged over), `n_failed` (questions without an answer), and
        `chosen_first` (share of the averaged answers in which the chosen response was A).
    """
    if len(questions) != len(results):
        raise ValueError(f"{len(questions)} questions but {len(results)} results")
    records = [
        {
            "id": question.row_id,
            "chosen_first": float(question.chosen_first),
            "failed": result.failure is not None,
            **{name: np.nan if result.failure else float(result.value[name].score) for name in CRITERIA},
        }
        for question, result in zip(questions, results, strict=True)
    ]
    frame = pd.DataFrame(records, columns=["id", "chosen_first", "failed", *CRITERIA])
    frame["chosen_first"] = frame["chosen_first"].where(~frame["failed"])
    groups = frame.groupby("id", sort=False)
    table = groups[[*CRITERIA, "chosen_first"]].mean()
    table.insert(len(CRITERIA), "n_answers", groups["failed"].agg(lambda failed: int((~failed).sum())))
    table.insert(len(CRITERIA) + 1, "n_failed", groups["failed"].sum().astype(int))
    return table.reset_index()


def _coin(row_id: str, seed: int) -> bool:
    return hashlib.sha256(f"{seed}:{row_id}".encode()).digest()[0] % 2 == 0
