"""The scored files of the original RATE code, read, written and merged.

data/scored/{dataset}_{model}_scored_{time}.jsonl   w_original, completions, reward_question, and rewards by model
"""

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic_files import write_text_atomically
from ...data.checks import shorten
from ...json_lines import as_lines, read_lines
from ..chains.reward_chains import RewardChains
from ..chains.text_chains import TextChains
from .layout import original_chains, original_entries, original_step_names


logger = logging.getLogger(__name__)

ENTRY = ("w_original", "completions", "reward_question")


def read_original_scored(
    path: str | Path, attribute: str, *, step_keys: Sequence[str] = ("original", "rewrite", "rewritten rewrite")
) -> tuple[TextChains, dict[str, RewardChains]]:
    """
    Read a scored file.

    Args:
        path (`str` or `Path`):
            The file. Rows without `id` get their number from 0.
        attribute (`str`):
            Name of the attribute, which the file does not have.
        step_keys (`Sequence[str]`, *optional*):
            Keys of the rewards of original, rewrite and rewritten rewrite.

    Returns:
        `tuple[TextChains, dict[str, RewardChains]]`: The texts, and rewards by reward model: by every key that holds
        rewards, such as a path, or `ArmoRM` in older files.

    Raises:
        ValueError: The file can't be read, a row lacks rewards that others have, or a reward is not a finite number. File
            and line are named.

    Example:
        ```python
        >>> import tempfile
        >>> import numpy as np
        >>> from trl_ext.rate import RewardChains, TextChains, read_original_scored, write_original_scored
        >>> texts = TextChains("length", ("a",), ("Hi",), np.array([True]), (("Hello there.", "Hello.", "Hello, you."),))
        >>> rewards = RewardChains(texts.w, [[2.0, 1.0, 1.5]], ids=texts.ids)
        >>> path = tempfile.mkdtemp() + "/scored.jsonl"
        >>> write_original_scored(texts, {"org/rm": rewards}, path)
        0
        >>> read_original_scored(path, "length")[1]["org/rm"].rewards
        array([[2. , 1. , 1.5]])

        ```
    """
    path = Path(path)
    lines = read_lines(path)
    models = _models(lines, path, step_keys)
    has_ids = "id" in lines[0][1]
    for number, row in lines:
        if ("id" in row) != has_ids:
            raise ValueError(f"{path}, line {number}: `id` must be in all lines or in none")
    rows = [
        (str(row["id"]) if has_ids else str(index), f"{path}, line {number}", row)
        for index, (number, row) in enumerate(lines)
    ]
    chains = original_chains(rows, attribute)
    return chains, {
        model: RewardChains(
            chains.w,
            np.array([[_reward(path, number, row, model, key) for key in step_keys] for number, row in lines]),
            None if chains.clusters is None else np.array(chains.clusters, dtype=object),
            np.array(chains.ids, dtype=object),
        )
        for model in models
    }


def _models(lines: Sequence[tuple[int, Mapping[str, Any]]], path: Path, step_keys: Sequence[str]) -> list[str]:
    # Of all lines: one that lacks rewards is then found, whichever it is
    found = list(
        dict.fromkeys(
            key
            for _, row in lines
            for key, value in row.items()
            if key not in (*ENTRY, "id") and isinstance(value, Mapping) and any(step in value for step in step_keys)
        )
    )
    if not found:
        raise ValueError(
            f"{path} has no rewards: beside {', '.join(ENTRY)} there must be a key per reward model, with an object of "
            f"{', '.join(step_keys)}; line {lines[0][0]} has {', '.join(lines[0][1])}"
        )
    return found


def _reward(path: Path, number: int, row: Mapping[str, Any], model: str, key: str) -> float:
    rewards = row.get(model)
    value = rewards.get(key) if isinstance(rewards, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{path}, line {number}: {key!r} of {model!r} must be a finite number, got {shorten(value)}")
    return float(value)


def write_original_scored(
    chains: TextChains, rewards: Mapping[str, RewardChains], path: str | Path, *, ids: bool = True
) -> int:
    """
    Write a scored file with the rows that all reward models have scored.

    Args:
        chains ([`TextChains`]): The texts.
        rewards (`Mapping[str, RewardChains]`): Rewards by reward model, with the ids of the texts.
        path (`str` or `Path`): The file; replaced if it exists.
        ids (`bool`, *optional*, defaults to `True`): Keep the ids; the original drops them.

    Returns:
        `int`: Number of rows left out.

    Raises:
        ValueError: Rewards have no ids or others, or no row is left.
    """
    if not rewards:
        raise ValueError("there are no rewards to write")
    number = {name: row for row, name in enumerate(chains.ids)}
    by_id: dict[str, dict[str, np.ndarray]] = {}
    for model, table in rewards.items():
        if model in (*ENTRY, "id"):
            raise ValueError(f"a reward model can't have the name {model!r}: the file has it for something else")
        if table.ids is None:
            raise ValueError(f"rewards of {model!r} have no ids: which texts they are of is not known")
        if table.steps != chains.steps:
            raise ValueError(f"rewards of {model!r} are of {table.steps} rewrites, the texts have {chains.steps}")
        unknown = [name for name in table.ids if name not in number]
        if unknown:
            raise ValueError(f"rewards of {model!r}: there is no text with id {unknown[0]!r}")
        by_id[model] = dict(zip(table.ids, table.rewards, strict=True))
    steps = original_step_names(chains.steps + 1)
    rows = [
        ({"id": name} if ids else {})
        | entry
        | {model: dict(zip(steps, map(float, found[name]), strict=True)) for model, found in by_id.items()}
        for name, entry in zip(chains.ids, original_entries(chains), strict=True)
        if entry is not None and all(name in found for found in by_id.values())
    ]
    if not rows:
        raise ValueError("no row is complete and scored by all reward models")
    write_text_atomically(path, as_lines(rows))
    left_out = len(chains) - len(rows)
    if left_out:
        logger.warning(
            "%s: %d of %d rows are not complete or not scored by all: left out.", path, left_out, len(chains)
        )
    return left_out


def merge_original_scored(paths: Sequence[str | Path], output: str | Path) -> list[str]:
    """
    Merge scored files of the same texts into one with the rewards of all models.

    Rows are matched by `id`; without ids by their lines, if all files have as many.

    Args:
        paths (`Sequence[str | Path]`): Two files or more.
        output (`str` or `Path`): The merged file; replaced if it exists.

    Returns:
        `list[str]`: Names of the reward models.

    Raises:
        ValueError: Files have other rows, other texts, different rewards of the same model, or an id twice.
    """
    if len(paths) < 2:
        raise ValueError(f"merging needs two files or more, got {len(paths)}")
    tables = [(Path(path), read_lines(Path(path))) for path in paths]
    by_id = all("id" in row for _, lines in tables for _, row in lines)
    first, lines = tables[0]
    merged = {key: dict(row) for key, (_, row) in zip(_keys(first, lines, by_id), lines, strict=True)}
    for path, others in tables[1:]:
        keys = _keys(path, others, by_id)
        if not by_id and len(others) != len(lines):
            raise ValueError(
                f"{path} has {len(others)} rows, {first} has {len(lines)}, and not all have an `id`: which rows belong "
                "together is not known"
            )
        if set(keys) != set(merged):
            missing = next(iter(set(keys) ^ set(merged)))
            raise ValueError(f"{path} and {first} have other rows: id {missing!r} is in one of them only")
        for key, (number, row) in zip(keys, others, strict=True):
            for name, value in row.items():
                same_id = name == "id" and by_id  # 2 and "2" are the same
                if name in merged[key] and merged[key][name] != value and not same_id:
                    raise ValueError(
                        f"{path}, line {number}: {name!r} is {shorten(value)}, in files before it is "
                        f"{shorten(merged[key][name])}"
                    )
                merged[key].setdefault(name, value)
    rows = list(merged.values())
    models = dict.fromkeys(key for row in rows for key in row if key not in (*ENTRY, "id"))
    write_text_atomically(output, as_lines(rows))
    return list(models)


def _keys(path: Path, lines: Sequence[tuple[int, Mapping[str, Any]]], by_id: bool) -> list[Any]:
    """What tells the rows of a file apart: their ids as texts, or their places."""
    if not by_id:
        return list(range(len(lines)))
    seen: dict[str, int] = {}
    for number, row in lines:
        name = str(row["id"])
        if name in seen:
            raise ValueError(f"{path}, line {number}: id {name!r} is that of line {seen[name]} already")
        seen[name] = number
    return list(seen)
