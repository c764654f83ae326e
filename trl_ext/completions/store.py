"""Answers on disk: one line each, written once, never lost."""

import json
import logging
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from .answers import Answer, Job


logger = logging.getLogger(__name__)


class StoreInUse(RuntimeError):
    """Another process has the store open."""


class AnswerStore:
    """
    Append-only JSONL file of answers, for use as a context manager.

    A line is flushed to the disk before `append` returns. If the process was killed while it wrote, the last line is
    torn: opening the store completes or removes it, and counts it in `repaired_lines`. A lock beside the file keeps
    other processes out.

    Args:
        path (`str` or `Path`):
            The file; made with its directory if need be.

    Raises:
        `StoreInUse`: Another process has the store open.
        `ValueError`: The file holds something else than answers, or an answer twice.

    Example:
        ```python
        >>> import tempfile
        >>> from trl_ext.completions import Answer, AnswerStore, CompletionRequest, Job
        >>> job = Job("k1", CompletionRequest("row-1", [{"role": "user", "content": "2 + 2?"}]), attempt=0, seed=None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with AnswerStore(f"{folder}/answers.jsonl") as store:
        ...         store.append(job, Answer("4"), model="m")
        ...     with AnswerStore(f"{folder}/answers.jsonl") as store:
        ...         print(store.attempts("k1"), store.repaired_lines)
        [Answer(text='4', finish_reason=None, prompt_tokens=None, completion_tokens=None, refusal=None)] 0
        ```
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.repaired_lines = 0
        self._answers: dict[str, dict[int, Answer]] = {}
        self._lock = FileLock(f"{self.path}.lock")
        self._descriptor: int | None = None

    def __enter__(self) -> "AnswerStore":
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise StoreInUse(
                f"'{self.path}' is being written by another process. Wait for it, stop it, or give another store."
            ) from None
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            _sync_directory(self.path.parent)
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        self._lock.release()

    def attempts(self, key: str) -> list[Answer]:
        """Stored answers to a question, in the order of its attempts."""
        answers = self._answers.get(key, {})
        return [answers[attempt] for attempt in sorted(answers)]

    def append(self, job: Job, answer: Answer, *, model: str) -> None:
        """Write an answer; when this returns it is on the disk."""
        if self._descriptor is None:
            raise RuntimeError("the store is not open: use it in a `with` block")
        if job.attempt in self._answers.get(job.key, {}):
            raise ValueError(f"attempt {job.attempt} of request {job.request.id!r} is stored already")
        record = {
            "key": job.key,
            "attempt": job.attempt,
            "id": job.request.id,
            "repetition": job.request.repetition,
            "model": model,
            **asdict(answer),
        }
        _write_all(
            self._descriptor, (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")
        )
        os.fsync(self._descriptor)
        self._answers.setdefault(job.key, {})[job.attempt] = answer

    def _read(self) -> None:
        content = self.path.read_bytes()
        lines = content.split(b"\n")
        torn = lines.pop()  # what follows the last line break
        for number, line in enumerate(lines, start=1):
            try:
                self._add(_parse(line))
            except ValueError as error:
                raise ValueError(
                    f"'{self.path}', line {number}: {error}. The file was changed by something else than this program: "
                    "give another store, or remove that line."
                ) from None
        if torn:
            self._repair(torn, len(content) - len(torn))

    def _repair(self, torn: bytes, start: int) -> None:
        self.repaired_lines += 1
        try:
            self._add(_parse(torn))
        except ValueError:
            os.ftruncate(self._descriptor, start)
            logger.warning(
                "%s: the last line was torn (%d bytes) and is removed; it is asked again", self.path, len(torn)
            )
        else:
            _write_all(self._descriptor, b"\n")
            logger.warning("%s: the last line lacked its end, which is added", self.path)
        os.fsync(self._descriptor)

    def _add(self, record: dict[str, Any]) -> None:
        attempts = self._answers.setdefault(record["key"], {})
        if record["attempt"] in attempts:
            raise ValueError(f"attempt {record['attempt']} of key {record['key'][:12]}... is there a second time")
        names = ("text", "finish_reason", "prompt_tokens", "completion_tokens", "refusal")
        attempts[record["attempt"]] = Answer(**{name: record.get(name) for name in names})


def _parse(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except ValueError:
        raise ValueError("not JSON") from None
    types = {"key": str, "attempt": int, "text": str}
    if not isinstance(record, dict) or not all(isinstance(record.get(name), kind) for name, kind in types.items()):
        raise ValueError("not an answer: it needs 'key' (text), 'attempt' (integer) and 'text' (text)")
    return record


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
