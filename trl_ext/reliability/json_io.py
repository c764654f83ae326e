"""Fitted objects and results as JSON and text files that are complete or absent."""

import json
from pathlib import Path
from typing import Any

from ..atomic_files import atomic_path


def save_json(path: str | Path, content: dict[str, Any]) -> None:
    """
    Writes a file that is complete or absent.

    Args:
        path (`str` or `pathlib.Path`):
            File; its folder is made if need be.
        content (`dict`):
            Plain Python types with finite numbers.
    """
    save_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def save_text(path: str | Path, text: str) -> None:
    """Writes a file that is complete or absent; its folder is made if need be."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def load_json(path: str | Path) -> dict[str, Any]:
    """Reads what [`save_json`] wrote; a `ValueError` names a file that is no JSON object."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' holds a {type(content).__name__}, expected a JSON object")
    return content
