"""Rows of pairs and of candidates, in one form for ours and in the files that the genuine programs read."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset

from ...data.messages import message_problem
from ...data.readers import Unreadable, read_file
from ...privacy import hide_home


@dataclass(frozen=True)
class BridgeRow:
    """
    A prompt with its responses, the right ones first.

    Args:
        id (`str`): Unique.
        prompt (`list[dict]`): Messages, the last of the user.
        responses (`list[str]`): Texts of the assistant.
        num_correct (`int`): How many of them are right.
        subset (`str` or `None`): Subset.
    """

    id: str
    prompt: list[dict[str, str]]
    responses: list[str]
    num_correct: int
    subset: str | None = None


def read_bridge_rows(data: str | Path | Dataset | Iterable[dict[str, Any]]) -> list[BridgeRow]:
    """
    Rows of preferences (`chosen`, `rejected`, perhaps `prompt`; texts or messages) or of RewardBench 2 (lists of texts).

    Args:
        data (`str` or `Path` or [`~datasets.Dataset`] or `Iterable[dict]`):
            A `.jsonl`, `.json`, `.parquet` or `.csv` file, or rows.

    Returns:
        `list[BridgeRow]`

    Raises:
        ValueError: A row is not as it must be; row, column and rule are named.
    """
    if isinstance(data, (str, Path)):
        path = Path(data).expanduser()
        try:
            data = read_file(path, {})
        except Unreadable as error:
            raise ValueError(f"{hide_home(path)}: {error}") from error
    rows = [_row(row, index) for index, row in enumerate(data)]
    if not rows:
        raise ValueError("there are no rows to compare")
    seen: dict[str, int] = {}
    for index, row in enumerate(rows):
        if row.id in seen:
            raise ValueError(f"row {index}, column 'id': {row.id!r} is that of row {seen[row.id]} too; ids must differ")
        seen[row.id] = index
    return rows


def _row(row: dict[str, Any], index: int) -> BridgeRow:
    for column in ("chosen", "rejected"):
        if row.get(column) is None:
            raise ValueError(f"row {index}, column {column!r}: missing; columns: {', '.join(row)}")
    chosen, rejected, prompt = row["chosen"], row["rejected"], row.get("prompt")
    if _is_messages(chosen) and _is_messages(rejected):
        prompts = [side[:-1] for side in (chosen, rejected)]
        if prompt is None:
            if prompts[0] != prompts[1]:
                raise ValueError(f"row {index}: 'chosen' and 'rejected' begin differently; rewardbench takes one prompt")
            prompt = prompts[0]
        elif prompts[0] or prompts[1]:
            raise ValueError(f"row {index}: there is a 'prompt', so 'chosen' and 'rejected' must be one message each")
        right, wrong = [chosen[-1]["content"]], [rejected[-1]["content"]]
    elif isinstance(chosen, str) and isinstance(rejected, str):
        right, wrong = [chosen], [rejected]
    else:
        right, wrong = list(chosen), list(rejected)
    if isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    for text in (*right, *wrong):
        if not isinstance(text, str):
            raise ValueError(f"row {index}: a response is {text!r}; allowed: text")
    if not right or not wrong:
        raise ValueError(f"row {index}: it needs a chosen and a rejected response")
    prompt = _checked_prompt(prompt, index)
    subset = row.get("subset")
    return BridgeRow(str(row.get("id", index)), prompt, right + wrong, len(right), None if subset is None else str(subset))


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _checked_prompt(prompt: Any, index: int) -> list[dict[str, str]]:
    if not _is_messages(prompt):
        raise ValueError(f"row {index}, column 'prompt': {prompt!r}; allowed: text, or a list of messages")
    if problem := message_problem(prompt):
        raise ValueError(f"row {index}: a prompt {problem[0]}: {problem[1]!r}")
    messages = [{"role": message["role"], "content": message["content"]} for message in prompt]
    # rewardbench gives roles by position, whatever the message says
    for position, message in enumerate(messages):
        expected = "assistant" if position % 2 else "user"
        if message["role"] != expected or not isinstance(message["content"], str):
            raise ValueError(
                f"row {index}, message {position}: {message!r}; rewardbench has texts of users and assistants in turn, "
                "a user's first"
            )
    if len(messages) % 2 == 0:
        raise ValueError(f"row {index}: the prompt must end with a message of the user")
    return messages


def check_pairs(rows: list[BridgeRow]) -> None:
    """Raise a `ValueError` unless every row has one right and one wrong response."""
    for index, row in enumerate(rows):
        if len(row.responses) != 2 or row.num_correct != 1:
            raise ValueError(f"row {index} has {len(row.responses)} responses; this program compares pairs")


def write_preferences(rows: list[BridgeRow], path: Path) -> None:
    """Write the JSONL file of whole conversations that `rewardbench --load_json` reads."""
    check_pairs(rows)
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            answers = [[*row.prompt, {"role": "assistant", "content": text}] for text in row.responses]
            file.write(json.dumps({"chosen": answers[0], "rejected": answers[1], "id": row.id}) + "\n")


def write_core_set(rows: list[BridgeRow], folder: Path) -> None:
    """Write the parquet file that the programs find instead of the Hub's dataset when they run in `folder`."""
    check_pairs(rows)
    table = [
        {
            "prompt": _single_turn(row, index),
            "chosen": row.responses[0],
            "rejected": row.responses[1],
            "subset": _subset(row, index),
            "id": index,  # rewardbench has numbers
        }
        for index, row in enumerate(rows)
    ]
    path = folder / "allenai" / "reward-bench" / "data" / "filtered-00000-of-00001.parquet"
    path.parent.mkdir(parents=True)
    pd.DataFrame(table).to_parquet(path)


def write_candidates(rows: list[BridgeRow], path: Path) -> None:
    """Write the JSONL file that `run_v2 --dataset` reads."""
    with path.open("w", encoding="utf-8") as file:
        for index, row in enumerate(rows):
            line = {
                "id": row.id,
                "prompt": _single_turn(row, index),
                "chosen": row.responses[: row.num_correct],
                "rejected": row.responses[row.num_correct :],
                "num_correct": row.num_correct,
                "num_incorrect": len(row.responses) - row.num_correct,
                "total_completions": len(row.responses),
                "models": [""] * len(row.responses),
                "subset": _subset(row, index),
            }
            file.write(json.dumps(line) + "\n")


def _single_turn(row: BridgeRow, index: int) -> str:
    if len(row.prompt) != 1:
        raise ValueError(f"row {index} has {len(row.prompt)} messages before the response; this program reads one")
    return row.prompt[0]["content"]


def _subset(row: BridgeRow, index: int) -> str:
    if row.subset is None:
        raise ValueError(f"row {index}, column 'subset': missing, but this program has figures of subsets")
    return row.subset
