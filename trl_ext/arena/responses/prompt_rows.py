"""Rows of prompts: what policy models are asked, and what the reward model sees."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.checks import shorten
from ...data.prompts import check_prompt
from ...json_lines import read_lines


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
        check_prompt(row.get("prompt"), f"{where} (id {name!r}): column 'prompt'")
        messages = row.get("messages")
        if messages is not None:
            if isinstance(messages, str):
                raise ValueError(f"{where} (id {name!r}): column 'messages' must be a list of messages, got a text")
            check_prompt(messages, f"{where} (id {name!r}): column 'messages'")
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
