"""Fitted objects and results as JSON and text files that are complete or absent."""

import json
import os
import tempfile
from pathlib import Path
from typing import Any


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
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8"
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise


def load_json(path: str | Path) -> dict[str, Any]:
    """Reads what [`save_json`] wrote; a `ValueError` names a file that is no JSON object."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"'{path}' is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"'{path}' holds a {type(content).__name__}, expected a JSON object")
    return content
