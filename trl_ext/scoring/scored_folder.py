"""A folder of rows with several responses and their rewards, which can be continued and is read only if it is whole."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..atomic_files import write_text_atomically
from ..json_lines import as_lines, read_lines


if TYPE_CHECKING:
    from .base import Scorer


INPUT = "input.jsonl"
REWARDS = "rewards.jsonl"


def score_rows(
    scorer: "Scorer",
    rows: Sequence[Mapping[str, Any]],
    folder: str | Path,
    *,
    overwrite: bool,
    what: str,
    parts: str,
) -> None:
    """
    Score K-way rows into a folder; the same call continues what was interrupted.

    Args:
        scorer ([`~trl_ext.RewardScorer`] or another scorer):
            The reward model.
        rows (`Sequence[Mapping]`):
            Rows as in [`~trl_ext.scoring.Scorer.score_dataset`], with plain JSON types.
        folder (`str` or `Path`):
            Gets `input.jsonl`, `rewards.jsonl` and `rewards.jsonl.meta.json`.
        overwrite (`bool`):
            Score again if the folder has rewards of other rows or settings.
        what, parts (`str`):
            What errors call the rows, and that in which they may differ.

    Raises:
        ValueError: The folder has rewards of other rows or settings, or a row can't be scored.
    """
    from .processes import on_main_process

    folder = Path(folder)
    on_main_process(lambda: _write_input(rows, folder, overwrite, what, parts))
    scorer.score_file(folder / INPUT, folder / REWARDS, overwrite=overwrite)


def read_reward_rows(folder: str | Path, *, what: str, column: str, called: str) -> list[dict[str, Any]]:
    """
    Rows of the rewards of a folder that was scored to its end.

    Args:
        folder (`str` or `Path`): The folder.
        what (`str`): What was scored, for errors.
        column (`str`): Which of `source` and `response_id` names a response of a row.
        called (`str`): What errors call it.

    Returns:
        `list[dict]`: `prompt_id` (text), the column, and `reward`.

    Raises:
        ValueError: A file is missing, torn or not finished, what was scored has changed, or a reward is not a number.
            File and line are named.
    """
    from .inputs import hash_file

    folder = Path(folder)
    path, record = folder / REWARDS, folder / f"{REWARDS}.meta.json"
    if not path.is_file():
        raise ValueError(f"{folder} has no {REWARDS}: score the {what} first")
    if not record.is_file():
        raise ValueError(f"{path} has no record {record.name} of how it was made: score the {what} again")
    try:
        made = json.loads(record.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{record} is not JSON ({error}): score the {what} again with overwrite=True") from error
    if not isinstance(made, dict) or not made.get("finished"):
        raise ValueError(f"{path} is not finished: score with the same call as before, which continues")
    if not (folder / INPUT).is_file():
        raise ValueError(f"{folder} has no {INPUT}, of which {REWARDS} was made: score the {what} again")
    scored = made.get("settings", {}).get("input_sha256")
    if scored is not None and scored != hash_file(folder / INPUT):
        raise ValueError(
            f"{folder / INPUT} is not what {REWARDS} was made of: it has changed since. Score the {what} again with "
            "overwrite=True."
        )
    return [_reward_row(path, number, row, column, called) for number, row in read_lines(path)]


def check_complete(
    path: Path, rows: Sequence[Mapping[str, Any]], expected: Sequence[tuple[str, str]], column: str, called: str
) -> None:
    """Raise a `ValueError` if the reward of one of the `expected` pairs of `prompt_id` and `column` is missing."""
    found = {(row["prompt_id"], row[column]) for row in rows}
    lacking = [pair for pair in expected if pair not in found]
    if lacking:
        raise ValueError(
            f"{path} lacks {len(lacking)} of {len(expected)} rewards; first: {called} {lacking[0][1]!r}, prompt "
            f"{lacking[0][0]!r}. Score with the same call as before, which continues, or with overwrite=True."
        )


def _write_input(rows: Sequence[Mapping[str, Any]], folder: Path, overwrite: bool, what: str, parts: str) -> None:
    content = as_lines(rows)
    path = folder / INPUT
    if path.is_file() and path.read_text(encoding="utf-8") == content:
        return
    if path.is_file() and (folder / REWARDS).exists() and not overwrite:
        raise ValueError(
            f"{folder} has rewards of other {what} ({parts} differ from {path.name}). Give another folder, or score again "
            "with overwrite=True."
        )
    write_text_atomically(path, content)


def _reward_row(path: Path, number: int, row: Mapping[str, Any], column: str, called: str) -> dict[str, Any]:
    for name in ("prompt_id", column, "reward"):
        if row.get(name) is None:
            raise ValueError(f"{path}, line {number} has no {name!r}")
    if isinstance(row["reward"], bool) or not isinstance(row["reward"], int | float):
        raise ValueError(f"{path}, line {number}: 'reward' must be a number, got {row['reward']!r}")
    # NaN would look like a missing score in a table: told here, with its line
    if row["reward"] != row["reward"]:
        raise ValueError(
            f"{path}, line {number} (prompt {row['prompt_id']!r}, {called} {row[column]!r}): the reward is NaN. Score again, "
            "or remove the prompt from all models."
        )
    return {"prompt_id": str(row["prompt_id"]), column: row[column], "reward": float(row["reward"])}
