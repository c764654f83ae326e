"""Scored windows, and what becomes of them in memory."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from datasets import Dataset, Value


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredWindow:
    """Rewards of a window's responses with their labels, and what they cost."""

    groups: int
    labels: list[tuple[Any, Any, Any]]
    rewards: np.ndarray
    model_seconds: float
    computed_tokens: int
    sequence_tokens: int
    truncated: int


def check_finite(rewards: np.ndarray, labels: list[tuple[Any, Any, Any]]) -> None:
    """Raise a `ValueError` that names the first response whose reward `(N,)` or outputs `(N, K)` are not finite numbers."""
    finite = np.isfinite(rewards)
    wrong = np.flatnonzero(~(finite if finite.ndim == 1 else finite.all(axis=1)))
    if wrong.size:
        prompt_id, response_id, _ = labels[int(wrong[0])]
        raise ValueError(
            f"the reward of response {response_id!r} to prompt {prompt_id!r} is not a finite number. If the model is in "
            "float16, use dtype='float32' or 'bfloat16'."
        )


def all_rewards(windows: Iterable[ScoredWindow]) -> np.ndarray:
    """Rewards of all windows in float32."""
    return np.concatenate([np.empty(0, np.float32), *(window.rewards for window in windows)])


def _of_one_type(ids: list[Any]) -> list[Any]:
    """Ids, as text where those of some rows are text and others are indices: a column has one type."""
    return ids if len(set(map(type, ids))) <= 1 else list(map(str, ids))


def long_table(windows: Iterable[ScoredWindow]) -> Dataset:
    """A row per response: `prompt_id`, `response_id`, `source`, `reward`."""
    windows = list(windows)
    labels = [label for window in windows for label in window.labels]
    prompt_ids, response_ids, sources = map(list, zip(*labels, strict=True)) if labels else ([], [], [])
    table = Dataset.from_dict(
        {
            "prompt_id": prompt_ids,
            "response_id": _of_one_type(response_ids),
            "source": sources,
            "reward": all_rewards(windows),
        }
    )
    # Also where no row has a source, or there is no row
    return table.cast_column("source", Value("string")).cast_column("reward", Value("float32"))
