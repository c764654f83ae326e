"""A log of results that only grows: JSON Lines, one form of row."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from tasks.json_files import as_recorded


class ResultsLog:
    """
    A JSONL file to which rows are appended, all with the same columns.

    A row of another form is refused before anything is written, and so is a file whose last line was cut off: rows of
    different columns in one table are read as one another's.

    Args:
        path (`str` or `pathlib.Path`):
            The file; it is made when the first row is appended.
        columns (sequence of `str`):
            Columns of every row.
        nested (`Mapping[str, Sequence[str]]`, *optional*):
            For columns that hold an object with always the same keys: these keys.

    Raises:
        ValueError: The file has rows of another form, or is damaged.
    """

    def __init__(self, path: str | Path, columns: Sequence[str], nested: Mapping[str, Sequence[str]] | None = None):
        self.path = Path(path).expanduser()
        self.columns = list(columns)
        self.nested = {column: set(keys) for column, keys in (nested or {}).items()}
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))
        if self.path.is_dir():
            raise ValueError(f"results log '{self.path}' is a directory; it must be a file")
        if self.path.exists():
            self._check_file()

    def append(self, row: Mapping[str, Any]) -> None:
        """Append a row; it is on disk when this returns. Private content is hidden."""
        self._check_row(row, "the new row")
        line = json.dumps(as_recorded({name: row[name] for name in self.columns}))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock:
            if self.path.exists():
                self._check_file()
            with self.path.open("ab") as file:
                file.write(line.encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def _check_file(self) -> None:
        advice = "Give another results log, or move this one away."
        text = self.path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):
            raise ValueError(
                f"results log '{self.path}': its last line (line {text.count(chr(10)) + 1}) was cut off. Remove that line."
            )
        for number, line in enumerate(text.splitlines(), start=1):
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"results log '{self.path}', line {number} is not JSON ({error}). {advice}"
                ) from error
            if not isinstance(row, dict):
                raise ValueError(f"results log '{self.path}', line {number} is not an object. {advice}")
            try:
                self._check_row(row, f"line {number}")
            except ValueError as error:
                raise ValueError(f"results log '{self.path}' has rows of another form: {error}. {advice}") from error

    def _check_row(self, row: Mapping[str, Any], name: str) -> None:
        for where, keys, expected in [
            ("columns", set(row), set(self.columns)),
            *((f"keys of '{column}'", set(row.get(column) or ()), keys) for column, keys in self.nested.items()),
        ]:
            if keys != expected:
                raise ValueError(
                    f"{name} has other {where}: missing {sorted(expected - keys)}, unknown {sorted(keys - expected)}"
                )
