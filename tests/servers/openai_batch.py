"""
Files and batches of an OpenAI-compatible server on the loopback interface, for the real `openai` client.

A batch moves on by one state at every look, and ends as it is told. Lines fail as often as they are told. What was asked,
and what was delivered in outputs that were fetched, is counted for every question.
"""

import json
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.servers.openai_compatible import CompletionServer, _abort, _completion, _read, _send


@dataclass(frozen=True)
class LineFaults:
    """How often a line of a batch ends in each way, as probabilities; otherwise it is answered well."""

    missing: float = 0.0  # in neither file
    error: float = 0.0  # in the error file: 500
    refused: float = 0.0  # in the error file: 400
    repeated: float = 0.0  # twice in the output
    broken: float = 0.0  # no JSON
    foreign: float = 0.0  # an id that nobody asked, and the answer is missing
    empty: float = 0.0  # an answer without content
    seed: int = 0

    def draw(self, name: str, count: int) -> str:
        """Name of the fault that strikes the `count`-th time that a line of that name is in a batch, or `""`."""
        point = random.Random(f"{self.seed}:{name}:{count}").random()
        for fault in ("missing", "error", "refused", "repeated", "broken", "foreign", "empty"):
            point -= getattr(self, fault)
            if point < 0:
                return fault
        return ""


@dataclass
class ServedBatch:
    """A batch at the server."""

    id: str
    input_file_id: str
    end: str
    state: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    errors: list[dict[str, Any]] = field(default_factory=list)
    lines: int = 0

    STATES = ("validating", "in_progress", "finalizing")

    @property
    def status(self) -> str:
        return self.STATES[self.state] if self.state < len(self.STATES) else self.end

    def to_dict(self) -> dict[str, Any]:
        done = self.lines if self.status == self.end else 0
        return {
            "id": self.id,
            "object": "batch",
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "created_at": 0,
            "input_file_id": self.input_file_id,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "errors": {"object": "list", "data": self.errors} if self.errors else None,
            "request_counts": {"total": self.lines, "completed": done, "failed": 0},
        }


class BatchServer(CompletionServer):
    """
    The server with its counts.

    Attributes:
        batches (`dict[str, ServedBatch]`): All that were begun.
        plan (`list[str]`): How the next batches end: `"completed"` (also when the list is at its end), `"expired"` or
            `"cancelled"` after half of the lines, `"failed"`, `"token_limit"`.
        line_faults (`LineFaults`): How lines fail.
        faults_of_calls (`list[str]`): What happens to the next calls, `""` for nothing: `"error"` (500), `"drop"` (nothing is
            done, no answer), `"drop_after"` (it is done, but there is no answer).
        submitted (`Counter`): How often each id was in a batch.
        delivered_lines (`Counter`): Answers in outputs that were fetched, by id; once for each batch.
    """

    def __init__(self, answer, line_faults: LineFaults = LineFaults()):  # noqa: B008
        super().__init__(answer)
        self.forget(line_faults)

    def forget(self, line_faults: LineFaults = LineFaults()) -> None:  # noqa: B008
        """Begin anew, with other faults."""
        self.line_faults = line_faults
        for counter in (self.asked, self.delivered, self.ends):
            counter.clear()
        self.authorizations.clear()
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, ServedBatch] = {}
        self.plan: list[str] = []
        self.faults_of_calls: list[str] = []
        self.calls: Counter[str] = Counter()
        self.submitted: Counter[str] = Counter()
        self.answered: dict[str, Counter[str]] = {}
        self.fetched: set[str] = set()

    @property
    def delivered_lines(self) -> Counter:
        return sum((self.answered[name] for name in self.fetched if name in self.answered), Counter())

    async def _respond(self, scope, receive, send) -> None:
        path, method = scope["path"].removeprefix("/v1"), scope["method"]
        if path == "/chat/completions":
            await super()._respond(scope, receive, send)
            return
        body = await _read(receive)
        name = f"{method} {re.sub('(file|batch)-[0-9]+', '*', path)}"
        self.calls[name] += 1
        self.authorizations.add(dict(scope["headers"]).get(b"authorization", b"").decode() or None)
        fault = self.faults_of_calls.pop(0) if self.faults_of_calls else ""
        if fault == "error":
            await _send(send, 500, b'{"error": {"message": "no", "code": null}}')
        elif fault == "drop":
            await _abort(send)
        else:
            status, content = self._handle(method, path, body)
            if fault == "drop_after":
                await _abort(send)
            else:
                await _send(send, status, content)

    def _handle(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        if (method, path) == ("POST", "/files"):
            name = self._add_file(_uploaded(body))
            return 200, json.dumps({"id": name, "object": "file", "bytes": 0, "purpose": "batch"}).encode()
        if path.startswith("/files/") and path.endswith("/content"):
            name = path.split("/")[2]
            self.fetched.add(name)
            return 200, self.files[name]
        if (method, path) == ("POST", "/batches"):
            return 200, json.dumps(self._begin(json.loads(body)).to_dict()).encode()
        if (method, path) == ("GET", "/batches"):
            data = [batch.to_dict() for batch in reversed(self.batches.values())]
            return 200, json.dumps({"object": "list", "data": data, "has_more": False}).encode()
        batch = self.batches.get(path.removeprefix("/batches/"))
        if batch is None:
            return 404, b'{"error": {"message": "no such batch", "code": "not_found"}}'
        self._move_on(batch)
        return 200, json.dumps(batch.to_dict()).encode()

    def _add_file(self, content: bytes) -> str:
        name = f"file-{len(self.files)}"
        self.files[name] = content
        return name

    def _begin(self, body: dict[str, Any]) -> ServedBatch:
        assert body["endpoint"] == "/v1/chat/completions" and body["completion_window"] == "24h"
        batch = ServedBatch(
            f"batch-{len(self.batches)}", body["input_file_id"], self.plan.pop(0) if self.plan else "completed"
        )
        batch.lines = self.files[batch.input_file_id].count(b"\n")
        if batch.end == "token_limit":
            batch.end = "failed"
            batch.errors = [{"code": "token_limit_exceeded", "message": "Enqueued token limit reached."}]
        elif batch.end == "failed":
            batch.errors = [{"code": "model_not_found", "message": "no such model"}]
        else:
            self.submitted.update(json.loads(line)["custom_id"] for line in self._lines(batch))
        self.batches[batch.id] = batch
        return batch

    def _lines(self, batch: ServedBatch) -> list[bytes]:
        return self.files[batch.input_file_id].splitlines()

    def _move_on(self, batch: ServedBatch) -> None:
        if batch.status == batch.end:
            return
        batch.state = len(batch.STATES) if batch.end == "failed" else batch.state + 1
        if batch.status == batch.end and batch.end != "failed":
            self._finish(batch)

    def _finish(self, batch: ServedBatch) -> None:
        lines = self._lines(batch)
        served = lines if batch.end == "completed" else lines[: len(lines) // 2]
        output, errors, answered = [], [], Counter()
        for line in served:
            request = json.loads(line)
            name = request["custom_id"]
            fault = self.line_faults.draw(name, self.submitted[name])
            self.ends[fault] += 1
            if fault == "missing":
                continue
            if fault in ("error", "refused"):
                status = 500 if fault == "error" else 400
                errors.append(_line(name, status, {"error": {"message": "no", "code": None}}))
                continue
            if fault == "broken":
                output.append(b'{"custom_id": "' + name.encode() + b'", "respo')
                continue
            body = _completion(request["body"], "" if fault == "empty" else self.answer(request["body"]))
            output.append(_line("nobody" if fault == "foreign" else name, 200, body))
            if fault != "foreign":
                answered[name] += 1
            if fault == "repeated":
                output.append(output[-1])
        if batch.end == "expired":
            error = {"code": "batch_expired", "message": "This request could not be executed in time."}
            for line in lines[len(lines) // 2 :]:
                errors.append(
                    json.dumps({"custom_id": json.loads(line)["custom_id"], "response": None, "error": error}).encode()
                )
        random.Random(0).shuffle(output)  # servers do not keep the order
        batch.output_file_id = self._add_file(b"\n".join(output) + b"\n") if output else None
        batch.error_file_id = self._add_file(b"\n".join(errors) + b"\n") if errors else None
        if batch.output_file_id:
            self.answered[batch.output_file_id] = answered


def output_lines(content: bytes, answer) -> bytes:
    """What a server makes of a file of questions, for those who fetch it by hand."""
    requests = [json.loads(line) for line in content.splitlines()]
    return b"".join(_line(r["custom_id"], 200, _completion(r["body"], answer(r["body"]))) + b"\n" for r in requests)


def _line(name: str, status: int, body: dict[str, Any]) -> bytes:
    response = {"status_code": status, "request_id": "r", "body": body}
    return json.dumps({"id": "l", "custom_id": name, "response": response, "error": None}).encode()


def _uploaded(body: bytes) -> bytes:
    """The file in the body of a form."""
    boundary = body[: body.index(b"\r\n")]
    for part in body.split(boundary):
        head, _, content = part.partition(b"\r\n\r\n")
        if b'name="file"' in head:
            return content.removesuffix(b"\r\n")
    raise ValueError("the form has no file")
