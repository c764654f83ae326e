"""Files of a batch: the questions, what came back, and which batches are under way."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from openai.types.chat import ChatCompletion

from ..atomic_files import atomic_path, write_text_atomically
from .answers import Answer, Failure, Job
from .retries import MalformedResponse, classify_status


ENDPOINT = "/v1/chat/completions"
STATE_FILE = "batches.json"
_STATE_VERSION = 1
_ID_DIGITS = 48  # of the key: some servers allow ids of 64 characters


@dataclass
class Batch:
    """
    A file of questions and what became of it.

    Args:
        name (`str`): Beginning of the names of its files.
        file_id (`str`, *optional*): Id of its questions at the server, once they are there.
        batch_id (`str`, *optional*): Id of the batch at the server, once there is one.
        status (`str`, *optional*): What the server said last, or `"written"`.
        collected (`bool`, *optional*): Whether all of its answers are stored, so that it is not looked at again.
    """

    name: str
    file_id: str | None = None
    batch_id: str | None = None
    status: str = "written"
    collected: bool = False


class BatchFolder:
    """
    The batches in a folder: `batch_0001_input.jsonl`, `batch_0001_output.jsonl`, `batch_0001_errors.jsonl` and so on, and
    `batches.json`, which says what became of them.

    Args:
        path (`str` or `Path`): The folder.
        server (`str`): Where the batches are; a folder has those of one server.

    Raises:
        ValueError: The folder has batches of another server, or `batches.json` is none of this program.
    """

    def __init__(self, path: str | Path, server: str):
        self.path = Path(path)
        self.server = server
        self.batches: list[Batch] = []
        self._ids: dict[str, frozenset[str]] = {}
        file = self.path / STATE_FILE
        if not file.exists():
            return
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            self.batches = [Batch(**batch) for batch in state["batches"]]
            found, version = state["server"], state["version"]
        except (ValueError, TypeError, KeyError):
            raise ValueError(f"{file} is no list of batches: give another folder, or move the file away") from None
        if version != _STATE_VERSION or found != server:
            raise ValueError(f"{file} has batches of {found!r}, and the server is {server!r}: give another folder")

    def save(self) -> None:
        """Write `batches.json`."""
        state = {
            "version": _STATE_VERSION,
            "server": self.server,
            "batches": [asdict(batch) for batch in self.batches],
        }
        write_text_atomically(self.path / STATE_FILE, json.dumps(state, indent=2) + "\n")

    def add(self, lines: Iterable[bytes]) -> Batch:
        """A new batch with these lines as its input."""
        batch = Batch(f"batch_{len(self.batches) + 1:04d}")
        with atomic_path(self.input(batch)) as temporary, temporary.open("wb") as file:
            file.writelines(lines)
        self.batches.append(batch)
        self.save()
        return batch

    def input(self, batch: Batch) -> Path:
        """The questions of a batch."""
        return self.path / f"{batch.name}_input.jsonl"

    def output(self, batch: Batch) -> Path:
        """The answers to a batch."""
        return self.path / f"{batch.name}_output.jsonl"

    def errors(self, batch: Batch) -> Path:
        """The questions of a batch that got no answer."""
        return self.path / f"{batch.name}_errors.jsonl"

    def ids(self, batch: Batch) -> frozenset[str]:
        """Ids of the questions of a batch."""
        if batch.name not in self._ids:
            lines = self.input(batch).read_bytes().split(b"\n")
            self._ids[batch.name] = frozenset(json.loads(line)["custom_id"] for line in lines if line.strip())
        return self._ids[batch.name]

    def results(self, batch: Batch) -> tuple[dict[str, Mapping[str, Any]], Counter]:
        """
        What came back: for each id a line of the output or of the errors, and counts of the lines of no use.

        An answer wins over an error, the first over those that follow. `repeated` counts lines for an id that has one,
        `foreign` those for ids that were not asked, `unreadable` those that are no JSON or have no id.
        """
        wanted = self.ids(batch)
        lines: dict[str, Mapping[str, Any]] = {}
        counts: Counter = Counter()
        for path in (self.output(batch), self.errors(batch)):
            for line in path.read_bytes().split(b"\n") if path.exists() else ():
                if not line.strip():
                    continue
                content = _parse(line)
                name = None if content is None else content.get("custom_id")
                if not isinstance(name, str):
                    counts["unreadable"] += 1
                elif name not in wanted:
                    counts["foreign"] += 1
                elif name not in lines:
                    lines[name] = content
                else:
                    counts["repeated"] += 1
                    if not _is_answer(lines[name]) and _is_answer(content):
                        lines[name] = content
        return lines, counts


def custom_id(job: Job) -> str:
    """Name of a question in a batch: the beginning of its key, and the attempt."""
    return f"{job.key[:_ID_DIGITS]}-{job.attempt}"


def input_line(job: Job, body: Mapping[str, Any]) -> bytes:
    """A line of the input of a batch."""
    line = {"custom_id": custom_id(job), "method": "POST", "url": ENDPOINT, "body": body}
    return (json.dumps(line, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def split(lines: Iterable[bytes], max_requests: int, max_bytes: int) -> list[list[bytes]]:
    """
    Lines in files of limited size, in their order.

    Example:
        ```python
        >>> split([b"aaa", b"bb", b"c", b"d"], max_requests=3, max_bytes=5)
        [[b'aaa', b'bb'], [b'c', b'd']]

        ```
    """
    parts: list[list[bytes]] = []
    size = 0
    for line in lines:
        if not parts or len(parts[-1]) == max_requests or size + len(line) > max_bytes:
            parts.append([])
            size = 0
        parts[-1].append(line)
        size += len(line)
    return parts


def result_of(
    line: Mapping[str, Any], to_answer: Callable[[ChatCompletion], Answer], describe: Callable[[str], str]
) -> tuple[Answer | Failure, bool]:
    """What a line of the output or of the errors says, and whether the question may be asked again."""
    error, response = line.get("error"), line.get("response")
    if isinstance(error, Mapping):
        code = str(error.get("code"))
        kind = {"batch_expired": "expired", "batch_cancelled": "cancelled"}.get(code, "batch_error")
        return Failure(kind, describe(f"{code}: {error.get('message')}")), kind == "expired"
    status = response.get("status_code") if isinstance(response, Mapping) else None
    body = response.get("body") if isinstance(response, Mapping) else None
    if not isinstance(status, int) or not isinstance(body, Mapping):
        return Failure("malformed_response", describe(f"a line without status or body: {str(dict(line))[:200]}")), True
    if status == 200:
        try:
            return to_answer(ChatCompletion.construct(**body)), False
        except MalformedResponse as problem:
            return Failure("malformed_response", describe(str(problem))), True
    details = body.get("error")
    details = details if isinstance(details, Mapping) else {}
    kind, is_transient = classify_status(status, details.get("code"))
    return Failure(kind, describe(f"status {status}: {details.get('message')}")), is_transient


def _is_answer(line: Mapping[str, Any]) -> bool:
    response = line.get("response")
    return not line.get("error") and isinstance(response, Mapping) and response.get("status_code") == 200


def _parse(line: bytes) -> Mapping[str, Any] | None:
    try:
        content = json.loads(line)
    except ValueError:
        return None
    return content if isinstance(content, Mapping) else None
