"""Rows of prompts: what policy models are asked, and what the reward model sees."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data.checks import shorten


def asked_messages(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The conversation a policy is asked: `messages` of a row, else its `prompt`, a text being a message of the user."""
    asked = row.get("messages")
    if asked is None:
        asked = row["prompt"]
    if isinstance(asked, str):
        return [{"role": "user", "content": asked}]
    return [dict(message) for message in asked]


def check_prompt_rows(rows: Sequence[Mapping[str, Any]], source: str = "the prompts") -> list[dict[str, Any]]:
    """
    Check rows of prompts.

    Args:
        rows (`Sequence[Mapping]`):
            Rows with `id` (text or integer, each once), `prompt` (what the reward model sees: a text, or messages that
            end with the user's), and perhaps `messages` (what the policies are asked, if it is not the prompt). More
            columns are kept.
        source (`str`, *optional*):
            Where they come from, for errors.

    Returns:
        `list[dict]`: The rows, with texts as ids.

    Raises:
        ValueError: There is none, something is missing or empty, or an id occurs twice. The row is named.
    """
    checked: list[dict[str, Any]] = []
    first_row: dict[str, int] = {}
    for number, row in enumerate(rows):
        where = f"{source}, row {number}"
        if not isinstance(row, Mapping):
            raise ValueError(f"{where} must be a mapping with `id` and `prompt`, got {shorten(row)}")
        name = row.get("id")
        if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
            raise ValueError(f"{where}: column 'id' must be a text or an integer, got {name!r}")
        name = str(name)
        if name in first_row:
            raise ValueError(
                f"{where}: id {name!r} is that of row {first_row[name]} already; every prompt needs an id of its own"
            )
        first_row[name] = number
        _check_prompt(row.get("prompt"), f"{where} (id {name!r}): column 'prompt'")
        messages = row.get("messages")
        if messages is not None:
            if isinstance(messages, str):
                raise ValueError(f"{where} (id {name!r}): column 'messages' must be a list of messages, got a text")
            _check_prompt(messages, f"{where} (id {name!r}): column 'messages'")
        checked.append({**row, "id": name})
    if not checked:
        raise ValueError(f"{source}: there are no rows")
    return checked


def read_prompt_rows(path: str | Path) -> list[dict[str, Any]]:
    """
    Read and check a `.jsonl` file of prompts, see [`check_prompt_rows`].

    Args:
        path (`str` or `Path`): The file.

    Returns:
        `list[dict]`: The rows.

    Raises:
        ValueError: The file can't be read, or a row is not as it must be. The file and the row are named.
    """
    path = Path(path)
    return check_prompt_rows([row for _, row in read_lines(path)], str(path))


def read_lines(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """Objects of a JSONL file, with the numbers of their lines from 1. Blank lines are left out."""
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, encoded in enumerate(path.read_bytes().split(b"\n"), start=1):
        if not encoded.strip():
            continue
        try:
            row = json.loads(encoded.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}, line {number} is not UTF-8: {error}") from error
        except json.JSONDecodeError as error:
            line = encoded.decode("utf-8")
            raise ValueError(
                f"{path}, line {number} is not JSON (torn or changed by hand?): {shorten(line)}"
            ) from error
        if not isinstance(row, dict):
            raise ValueError(f"{path}, line {number} is not an object with a value per column: {shorten(row)}")
        rows.append((number, row))
    if not rows:
        raise ValueError(f"{path} is empty")
    return rows


def as_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    """Content of a JSONL file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _check_prompt(prompt: Any, where: str) -> None:
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ValueError(f"{where} is empty")
        return
    if not isinstance(prompt, Sequence) or not prompt:
        raise ValueError(f"{where} must be a text or a list of messages, got {shorten(prompt)}")
    for message in prompt:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise ValueError(f"{where}: a message needs 'role' and 'content', both text; got {shorten(message)}")
    if prompt[-1]["role"] != "user":
        raise ValueError(f"{where}: the last message must be the user's, it is of role {prompt[-1]['role']!r}")
