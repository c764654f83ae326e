"""Kill a process that fills a store, again and again, and look at what it loses and repeats."""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.processes import environment
from tests.servers.openai_compatible import API_KEY, CompletionServer, identity
from trl_ext.completions import CompletionRequest, request_key
from trl_ext.completions.requests import attempt_seed


CONCURRENCY = 4


def read_answer(text: str) -> str:
    if not text.startswith("ANSWER "):
        raise ValueError("it does not begin with ANSWER")
    return text


@dataclass
class Killed:
    """
    What a process that was killed several times did.

    Args:
        kills (`int`): How often it was killed.
        torn (`int`): How often its last line was torn.
        repeated (`int`): Answers that were delivered, not stored when it was killed, and delivered again.
        last (`CompletedProcess`): The run that ended by itself.
    """

    kills: int
    torn: int
    repeated: int
    last: subprocess.CompletedProcess


def kill_until_done(
    command: list[str],
    cwd: Path,
    store: Path,
    server: CompletionServer,
    requests: list[CompletionRequest],
    *,
    kills: int,
    seed: int,
    model: str = "test-model",
) -> Killed:
    """
    Kill the process with SIGKILL at random points, then let it end, and check after every start that nothing stored is
    lost, changed, stored twice or asked for again.
    """
    generator = random.Random(seed)
    by_key = {request_key(model, request): request for request in requests}

    def stored_questions(content: bytes) -> Counter:
        """What the server knows as [`identity`], for every complete line."""
        names = []
        for line in content.split(b"\n")[:-1]:
            record = json.loads(line)
            messages = [dict(message) for message in by_key[record["key"]].messages]
            seed_sent = attempt_seed(by_key[record["key"]].sampling.seed, record["key"], record["attempt"])
            names.append(identity({"messages": messages, "seed": seed_sent}))
        return Counter(names)

    variables = environment(TEST_SERVER_KEY=API_KEY)
    before, torn = b"", 0
    for number in range(kills):
        asked_before = Counter(server.asked)
        process = subprocess.Popen(
            command, cwd=cwd, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )
        goal = before.count(b"\n") + generator.randint(1, len(requests) // (kills + 1))
        while process.poll() is None and _read(store).count(b"\n") < goal:
            time.sleep(0.002)
        assert process.poll() is None, f"it ended before it was killed: {process.stderr.read().decode()[-2000:]}"
        time.sleep(generator.uniform(0, 0.05))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
        _wait_until_idle(server)

        content = _read(store)
        if number % 2:  # as if the power had failed in the middle of a line
            content = content[: -generator.randint(1, 20)]
            store.write_bytes(content)
        complete = content[: content.rfind(b"\n") + 1]
        torn += complete != content
        _check_nothing_lost(before, content)
        _check_nothing_asked_again(stored_questions(before), asked_before, server)
        before = complete

    asked_before = Counter(server.asked)
    last = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, timeout=300)
    assert last.returncode == 0, last.stdout[-2000:] + last.stderr[-2000:]
    final = _read(store)
    _check_nothing_lost(before, final)
    _check_nothing_asked_again(stored_questions(before), asked_before, server)
    assert final.endswith(b"\n")
    stored = stored_questions(final)
    assert max(stored.values()) == 1, "an answer is stored twice"
    assert stored.keys() == server.delivered.keys(), "an answer that was delivered is not stored"
    return Killed(kills, torn, server.delivered.total() - stored.total(), last)


def _check_nothing_lost(before: bytes, after: bytes) -> None:
    # A line that lacked only its line break is completed, every other torn one removed
    assert after.startswith(before), "stored lines were lost or changed"


def _check_nothing_asked_again(stored: Counter, asked_before: Counter, server: CompletionServer) -> None:
    again = {name for name in stored if server.asked[name] != asked_before[name]}
    assert not again, f"{len(again)} stored answers were asked for again"


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _wait_until_idle(server: CompletionServer) -> None:
    while server.under_way:
        time.sleep(0.005)
