"""
A chat server in a process of its own that fails in every way, dies, and comes back: `with MortalServer(...) as server:`.

It makes texts longer and shorter. What it delivered is in a file, so that it outlives the process.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.processes import ROOT, environment, free_port
from tests.servers.openai_compatible import CompletionServer, Faults


INSTRUCTION = "Make this text {target}, and change nothing else: {text}"


def rewrite(text: str, longer: bool) -> str:
    """What the server makes of a text: rewriting back restores it."""
    return f"{text} And so on." if longer else text.removesuffix(" And so on.")


def answer(body: dict[str, Any]) -> str:
    task, text = body["messages"][-1]["content"].split(": ", 1)
    return rewrite(text, "longer" in task)


class MortalServer:
    """
    The server, started again whenever it dies.

    Args:
        folder (`Path`): For its files.
        deaths (`tuple[int, ...]`): Requests after which it dies with SIGKILL, in each of its lives; then it lives on.
        faults (`Faults`): How often it fails.
        seconds (`float`): How long an answer takes.
    """

    def __init__(self, folder: Path, deaths: tuple[int, ...], faults: Faults, seconds: float = 0.0):
        self.log = folder / "delivered.jsonl"
        self.deaths = deaths
        self.faults = faults
        self.seconds = seconds
        self.lives = 0
        self.url = f"http://127.0.0.1:{free_port()}/v1"
        self._over = threading.Event()

    def __enter__(self) -> "MortalServer":
        self.log.touch()
        self._begin()
        self._thread = threading.Thread(target=self._revive, daemon=True)
        self._thread.start()
        while "ready" not in self._process.stdout.readline():
            if self._process.poll() is not None:
                raise RuntimeError(self._process.stdout.read())
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()
        self._process.kill()
        self._thread.join(timeout=10)
        self._process.stdout.close()

    @property
    def delivered(self) -> list[dict[str, Any]]:
        """What was sent: `name`, `prompt_tokens` and `completion_tokens` of every answer."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def _begin(self) -> None:
        dies = self.deaths[self.lives] if self.lives < len(self.deaths) else 0
        settings = {"dies": dies, "faults": vars(self.faults) | {"seed": self.lives}, "seconds": self.seconds}
        command = [sys.executable, __file__, self.url, str(self.log), json.dumps(settings)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lives += 1

    def _revive(self) -> None:
        while not self._over.is_set():
            if self._process.poll() is not None and not self._over.is_set():
                self._process.stdout.close()
                self._begin()
            time.sleep(0.02)


class _Life(CompletionServer):
    def __init__(self, log: str, dies: int, faults: Faults, seconds: float):
        super().__init__(answer, faults, seconds)
        self.requests = 0
        self.dies = dies
        self._descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)

    async def _respond(self, scope, receive, send) -> None:
        self.requests += 1
        if self.requests == self.dies:
            os.kill(os.getpid(), signal.SIGKILL)
        await super()._respond(scope, receive, send)

    def note_delivery(self, name: str, usage: dict[str, int]) -> None:
        # Nothing else runs between the sending and this: asyncio changes tasks only where one waits
        os.write(self._descriptor, (json.dumps({"name": name, **usage}) + "\n").encode())


def sums(delivered: list[dict[str, Any]]) -> tuple[int, int, int]:
    """Answers, tokens of the questions, tokens of the answers."""
    total: Counter = Counter()
    for line in delivered:
        total.update(answers=1, prompt=line["prompt_tokens"], completion=line["completion_tokens"])
    return total["answers"], total["prompt"], total["completion"]


if __name__ == "__main__":
    url, log, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    port = int(url.split(":")[2].split("/")[0])
    with _Life(log, settings["dies"], Faults(**settings["faults"]), settings["seconds"]).at(port):
        print("ready", flush=True)
        signal.pause()
