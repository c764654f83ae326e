"""JSONL files: one object a line."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .data.checks import shorten


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


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append objects to a JSONL file; they are on disk when this returns. Folders are made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(as_lines(rows))
        file.flush()
        os.fsync(file.fileno())
