"""Which pairs share a question, and splits in which no question is on two sides."""

import json
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, GroupShuffleSplit


_NAMES = ("question_id", "prompt_id")


def question_groups(pairs: pd.DataFrame) -> np.ndarray:
    """
    Number of the question of every pair. Pairs that share an identifier (`question_id`, `prompt_id`) or the text of the prompt
    have the same, also by way of others: an identifier may number rows, and a question may be written in two ways.

    Raises:
        ValueError: A pair has none of the three, so that nobody knows what it shares with others.
    """
    columns = [name for name in (*_NAMES, "prompt") if name in pairs.columns]
    parents: dict[Any, Any] = {}

    def root(key):
        while parents.setdefault(key, key) != key:
            parents[key] = parents[parents[key]]
            key = parents[key]
        return key

    first = []
    for values in zip(*(pairs[name] for name in columns), strict=True):
        keys = [(name, text_of(value)) for name, value in zip(columns, values, strict=True) if not _missing(value)]
        if not keys:
            break
        for key in keys[1:]:
            parents[root(key)] = root(keys[0])
        first.append(keys[0])
    if len(first) < len(pairs):
        row = len(first)
        raise ValueError(
            f"row {row}: the pair has neither `prompt` nor `question_id`, so that it can't be kept apart from pairs of the same "
            "question. Give each pair its prompt in a column of its own, or a `question_id`."
        )
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(root(key), len(numbers)) for key in first], dtype=np.int64)


def text_of(value: Any) -> str:
    """A prompt, response or identifier as text that is the same wherever it was read: spaces in a row count as one."""
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, float) and value.is_integer():  # of a column with gaps
        value = int(value)
    return json.dumps(value, default=lambda part: part.tolist() if hasattr(part, "tolist") else str(part))


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA


def split_by_question(pairs: pd.DataFrame, fit_share: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs to fit on and pairs to measure on, without a question in both."""
    groups = question_groups(pairs)
    _check_several(groups)
    fit, rest = next(GroupShuffleSplit(1, train_size=fit_share, random_state=seed).split(pairs, groups=groups))
    return pairs.iloc[np.sort(fit)], pairs.iloc[np.sort(rest)]


def folds_by_question(pairs: pd.DataFrame, folds: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Positions of the rows to fit on and to measure on, of each fold; of fewer questions than `folds`, one fold each."""
    groups = question_groups(pairs)
    _check_several(groups)
    count = min(folds, len(set(groups)))
    return list(GroupKFold(count, shuffle=True, random_state=seed).split(pairs, groups=groups))


def _check_several(groups: np.ndarray) -> None:
    if len(set(groups)) < 2:
        raise ValueError("all pairs are of one question: there must be others to measure on")
