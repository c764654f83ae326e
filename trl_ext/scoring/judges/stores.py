"""A store of answers for several processes: each writes a file of its own, and all end up in one."""

import glob
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ...completions.store import AnswerStore
from ..processes import on_main_process, process_state


class SharedStore:
    """
    Where the answers of all processes are.

    A single process writes `path` itself. Of several, each begins with a copy of it and adds to the copy; what is new is
    collected at the end, or at the next start if there was no end.

    Args:
        path (`str` or `Path`):
            JSONL file of an [`~trl_ext.completions.AnswerStore`].
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def mine(self) -> Path:
        """The file that this process writes, with all answers that are known."""
        state = process_state()
        if state.num_processes == 1:
            return self.path
        part = self.path.with_name(f"{self.path.stem}.process{state.process_index}{self.path.suffix}")
        if self.path.exists() and not part.exists():
            shutil.copyfile(self.path, part)
        return part

    def collect(self) -> None:
        """Take what the processes wrote into `path`. All processes call it."""
        on_main_process(self._collect)

    def _collect(self) -> None:
        parts = sorted(self.path.parent.glob(f"{glob.escape(self.path.stem)}.process*{glob.escape(self.path.suffix)}"))
        if not parts:
            return
        self.path.touch()
        for part in parts:
            with AnswerStore(part):  # completes or removes a line that a kill has torn
                pass
        with AnswerStore(self.path):
            known = {_identity(line) for line in _lines(self.path)}
            with self.path.open("ab") as file:
                for part in parts:
                    for line in _lines(part):
                        if _identity(line) not in known:
                            known.add(_identity(line))
                            file.write(line)
                file.flush()
                os.fsync(file.fileno())
        for part in parts:
            part.unlink()
            part.with_name(part.name + ".lock").unlink(missing_ok=True)


def _lines(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from file


def _identity(line: bytes) -> tuple[str, int]:
    record = json.loads(line)
    return record["key"], record["attempt"]
