"""The output file of scoring: appended, resumable, with a record of what made it beside it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np


_READ_BYTES = 1 << 20


def record_path(path: Path) -> Path:
    """Where the record of an output file is."""
    return path.with_name(path.name + ".meta.json")


def check_output(path: Path, input: Path) -> None:
    """Raise a `ValueError` if `path` or its record can't be written, or is the input."""
    for written in (path, record_path(path)):
        if written.is_dir():
            raise ValueError(f"{written} is a directory; the output must be a file")
        if written.exists() and written.samefile(input):
            raise ValueError(f"{written} is the input {input}, which would be overwritten. Give another output file.")


class ScoreFile:
    """
    A JSONL file of rewards that grows window by window, and its record `<path>.meta.json`.

    Args:
        path (`Path`):
            The file.
        settings (`dict`):
            What the rewards depend on. A file that was begun with other settings is not continued.
        overwrite (`bool`, *optional*, defaults to `False`):
            Begin anew.

    Raises:
        `ValueError`: There is a file that can't be continued.
    """

    def __init__(self, path: Path, settings: dict[str, Any], overwrite: bool = False):
        self.path = path
        self.meta_path = record_path(path)
        self.settings = settings
        continues = path.exists() and not overwrite
        self.meta = self._check() if continues else {"settings": settings, "finished": False}

    def _check(self) -> dict[str, Any]:
        advice = "Give another output file, or begin anew with overwrite=True (--overwrite)."
        if not self.meta_path.exists():
            raise ValueError(
                f"{self.path} exists, but not the record {self.meta_path.name} of how it was made. {advice}"
            )
        meta = json.loads(self.meta_path.read_text(encoding="utf-8"))
        before = meta["settings"]
        # As JSON has them: tuples are lists there
        settings = json.loads(json.dumps(self.settings))
        differences = [
            f"{name} was {before.get(name)!r} and is {settings.get(name)!r}"
            for name in sorted(settings.keys() | before.keys())
            if before.get(name) != settings.get(name)
        ]
        if differences:
            raise ValueError(f"{self.path} was begun with other settings: {'; '.join(differences)}. {advice}")
        return meta

    def count_lines(self) -> int:
        """Number of complete lines."""
        if not self.path.exists():
            return 0
        with self.path.open("rb") as file:
            return sum(block.count(b"\n") for block in iter(lambda: file.read(_READ_BYTES), b""))

    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.meta["finished"] and self.meta["responses"] == self.count_lines()

    def cut(self, lines: int, **facts: Any) -> None:
        """Begin the file, or continue it after its first `lines` lines; `facts` are added to the record."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if lines == 0:
            # Before the new record: interrupted between the two, the next run would take the old lines for its own
            self.path.unlink(missing_ok=True)
        self._write_meta(facts)
        with self.path.open("a+b") as file:
            file.seek(0)
            for _ in range(lines):
                file.readline()
            file.truncate(file.tell())
            os.fsync(file.fileno())

    def append(self, labels: Iterable[tuple[Any, Any, Any]], rewards: np.ndarray) -> None:
        """Append a line per response; they are on disk when this returns."""
        # The shortest text that gives the same float32 again
        texts = rewards.astype(np.float32).astype(str).tolist()
        lines = [
            f'{{"prompt_id": {json.dumps(prompt_id)}, "response_id": {json.dumps(response_id)}, '
            f'"source": {json.dumps(source)}, "reward": {reward}}}\n'
            for (prompt_id, response_id, source), reward in zip(labels, texts, strict=True)
        ]
        with self.path.open("ab") as file:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def finish(self, **results: Any) -> None:
        """Record that the file is complete."""
        self._write_meta({"finished": True} | results)

    def _write_meta(self, facts: dict[str, Any]) -> None:
        self.meta |= facts
        scratch = self.meta_path.with_name(self.meta_path.name + ".tmp")
        scratch.write_text(json.dumps(self.meta, indent=2) + "\n", encoding="utf-8")
        os.replace(scratch, self.meta_path)
