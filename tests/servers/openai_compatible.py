"""
A small OpenAI-compatible server on the loopback interface, for the real `openai` client.

It answers `/v1/chat/completions` with what a function says, fails as often as it is told, and counts for every question what
was asked and what was delivered. `with CompletionServer(answer) as server:` starts it.
"""

import asyncio
import hashlib
import json
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import uvicorn


API_KEY = "sk-unmistakableUNMISTAKABLEkeyOfTheTests"


@dataclass(frozen=True)
class Faults:
    """
    How often a request ends in each way, as probabilities; otherwise it is answered well.

    Whether the n-th request with a certain body fails depends on the seed alone, not on what else is going on.
    """

    rate_limit: float = 0.0  # 429 with Retry-After
    bare_rate_limit: float = 0.0  # 429 without
    server_error: float = 0.0  # 500
    drop: float = 0.0  # the connection ends without an answer
    cut: float = 0.0  # the connection ends in the middle of the answer
    malformed: float = 0.0  # 200, but no JSON
    foreign: float = 0.0  # 200 and JSON, but no chat completion
    empty: float = 0.0  # a chat completion without content
    unreadable: float = 0.0  # a chat completion that is not what was asked for
    slow: float = 0.0  # answered well, after `slow_seconds`
    hang: float = 0.0  # never answered: the client has to give up
    too_long: float = 0.0  # answered, with the finish reason "length"
    seed: int = 0
    slow_seconds: float = 0.2
    retry_after: str = "0.05"

    def draw(self, identity: str, count: int) -> str:
        """Name of the fault that strikes the `count`-th request of that identity, or `""`."""
        point = random.Random(f"{self.seed}:{identity}:{count}").random()
        for field in fields(self):
            if field.name == "seed":
                break
            point -= getattr(self, field.name)
            if point < 0:
                return field.name
        return ""


class CompletionServer:
    """
    The server with its counts.

    Args:
        answer (`Callable`): Function from the body of a request to the text of the answer.
        faults (`Faults`): How often it fails.
        seconds (`float`): How long an answer takes.

    Attributes:
        url (`str`): Address for `base_url`.
        asked (`Counter`): Requests for each question, by [`identity`].
        delivered (`Counter`): Complete chat completions that were sent for each question.
        delivered_tokens (`Counter`): Their `prompt_tokens` and `completion_tokens`.
        ends (`Counter`): How requests ended: `""` for an answer, or the name of a fault.
        under_way (`int`): Requests under way now.
        most_at_once (`int`): Most of them there were.
        bodies (`list[dict]`): Every request.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], str], faults: Faults = Faults(), seconds: float = 0.0):  # noqa: B008
        self.answer = answer
        self.faults = faults
        self.seconds = seconds
        self.refuse_with: tuple[int, dict[str, Any]] | None = None
        self.asked: Counter[str] = Counter()
        self.delivered: Counter[str] = Counter()
        self.delivered_tokens: Counter[str] = Counter()
        self.ends: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.most_at_once = 0
        self.under_way = 0
        self._port = 0

    def at(self, port: int) -> "CompletionServer":
        """The same at a certain port."""
        self._port = port
        return self

    def __enter__(self) -> "CompletionServer":
        listener = socket.create_server(("127.0.0.1", self._port))
        # Otherwise the body of a response waits 40 ms for the acknowledgement of its header
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        self._server = uvicorn.Server(
            uvicorn.Config(self._app, interface="asgi3", log_level="critical", lifespan="off")
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise RuntimeError("the server did not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *exception) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    async def _app(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            await self._respond(scope, receive, send)
        finally:
            self.under_way -= 1

    async def _respond(self, scope, receive, send) -> None:
        body = json.loads(await _read(receive))
        name = identity(body)
        self.bodies.append(body)
        self.authorizations.add(dict(scope["headers"]).get(b"authorization", b"").decode() or None)
        self.asked[name] += 1
        if self.refuse_with is not None:
            status, content = self.refuse_with
            await _send(send, status, json.dumps(content).encode())
            return
        fault = self.faults.draw(name, self.asked[name])
        self.ends[fault] += 1
        await asyncio.sleep(self.faults.slow_seconds if fault == "slow" else self.seconds)
        if fault in ("rate_limit", "bare_rate_limit"):
            headers = [(b"retry-after", self.faults.retry_after.encode())] if fault == "rate_limit" else []
            await _send(send, 429, b'{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', headers)
        elif fault == "server_error":
            await _send(send, 500, b"<html>Internal Server Error</html>", content_type=b"text/html")
        elif fault == "drop":
            await _abort(send)
        elif fault == "malformed":
            await _send(send, 200, b'{"choices": [{"message"')
        elif fault == "hang":
            while not send.__self__.disconnected:
                await asyncio.sleep(0.01)
        elif fault == "foreign":
            await _send(send, 200, b'{"status": "ok"}')
        else:
            text = {"empty": "", "unreadable": "I would rather talk about the weather."}.get(fault)
            completion = _completion(body, self.answer(body) if text is None else text)
            if fault == "too_long":
                completion["choices"][0]["finish_reason"] = "length"
            content = json.dumps(completion).encode()
            if fault == "cut":
                await _send(send, 200, content[: len(content) // 2], length=len(content), more=True)
                await asyncio.sleep(0.01)
                await _abort(send)
                return
            if not send.__self__.disconnected:  # one who gave up gets nothing
                await _send(send, 200, content)
                self.note_delivery(name, completion["usage"])

    def note_delivery(self, name: str, usage: dict[str, int]) -> None:
        """Count an answer that was sent."""
        self.delivered[name] += 1
        self.delivered_tokens.update({field: usage[field] for field in ("prompt_tokens", "completion_tokens")})


def identity(body: dict[str, Any]) -> str:
    """What tells one question, or one attempt at it, from another: messages and seed."""
    facts = json.dumps([body["messages"], body.get("seed")], sort_keys=True)
    return hashlib.sha256(facts.encode()).hexdigest()


def _completion(body: dict[str, Any], text: str) -> dict[str, Any]:
    prompt_tokens = sum(len(message["content"].split()) for message in body["messages"])
    completion_tokens = len(text.split())
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


async def _read(receive) -> bytes:
    content, more = b"", True
    while more:
        message = await receive()
        content += message.get("body", b"")
        more = message.get("more_body", False)
    return content


async def _send(
    send, status: int, content: bytes, headers=(), length=None, more=False, content_type=b"application/json"
) -> None:
    size = str(len(content) if length is None else length).encode()
    start = [(b"content-type", content_type), (b"content-length", size), *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content, "more_body": more})


async def _abort(send) -> None:
    connection = send.__self__  # uvicorn's; ASGI has no way to end a connection without an answer
    connection.transport.abort()
    while not connection.disconnected:
        await asyncio.sleep(0)
