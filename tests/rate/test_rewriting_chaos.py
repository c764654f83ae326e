"""A server that fails in every way and dies, and a client that is killed: no rewrite is lost, none is paid twice unseen."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ROOT, environment
from tests.rate.rewrite_here import CONCURRENCY, LENGTH, rewriter_of
from tests.servers.mortal_server import MortalServer, rewrite, sums
from tests.servers.openai_compatible import Faults
from trl_ext.rate import TextChains, rewrite_chains


FAULTS = Faults(
    **dict.fromkeys(["rate_limit", "bare_rate_limit", "server_error", "drop", "cut", "malformed", "foreign"], 0.02),
    **dict.fromkeys(["empty", "too_long"], 0.08),
    slow=0.02,
    hang=0.005,
    slow_seconds=0.1,
)


def originals(n: int) -> TextChains:
    w = np.arange(n) % 2 == 0
    texts = tuple((f"Review {i} of a film." + " And so on." * int(w[i]),) for i in range(n))
    return TextChains("length", tuple(f"r{i}" for i in range(n)), ("Write a review.",) * n, w, texts)


def expected(chains: TextChains, steps: int) -> tuple[tuple[str, ...], ...]:
    rows = []
    for (text,), w in zip(chains.texts, chains.w, strict=True):
        row = [text]
        for step in range(1, steps + 1):
            row.append(rewrite(row[-1], bool(w) ^ bool(step % 2)))
        rows.append(tuple(row))
    return tuple(rows)


def check_store(path: Path, delivered: list, lost_at_most: int) -> int:
    """Every answer is stored once; what was delivered and is not stored was under way at a kill."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert max(Counter((line["key"], line["attempt"]) for line in lines).values()) == 1, "an answer is stored twice"
    per_question = Counter(line["name"] for line in delivered)
    assert len(lines) == len(per_question), "an answer that was delivered is not stored, or one that was not is"
    lost = per_question.total() - len(lines)
    assert 0 <= lost <= lost_at_most
    return lost


@pytest.mark.parametrize(
    ("rows", "deaths"), [(70, (60, 40)), pytest.param(200, (150, 100), marks=pytest.mark.slow)], ids=["70", "200"]
)
def test_a_server_that_fails_and_dies(tmp_path, rows, deaths):
    chains = originals(rows)
    with MortalServer(tmp_path, deaths=deaths, faults=FAULTS) as server:
        rewriter = rewriter_of(server.url, tmp_path)
        done = rewrite_chains(chains, LENGTH, rewriter, path=tmp_path / "rewrites.jsonl", progress=False)
        delivered = server.delivered
        assert server.lives == 3
    assert done.texts == expected(chains, 2) and done.ids == chains.ids and done.complete.all()
    assert TextChains.read(tmp_path / "rewrites.jsonl").texts == done.texts
    ends = Counter(reason for row in done.finish_reasons for reason in row)
    assert set(ends) == {"stop", "length"}
    # no kill of the client: what is in the ledger is what the server delivered, to the token
    assert check_store(tmp_path / "answers.jsonl", delivered, lost_at_most=0) == 0
    ledger = rewriter.ledger
    assert (ledger.answers, ledger.prompt_tokens, ledger.completion_tokens) == sums(delivered)
    assert ledger.unusable > 0 and ledger.answers == 2 * rows + ledger.unusable
    record = json.loads((tmp_path / "rewrites.meta.json").read_text())
    assert record["ledger"] == ledger.to_dict()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_kills_of_both_sides(seed, tmp_path):
    generator = random.Random(seed)
    chains = originals(200)
    chains.write(tmp_path / "originals.jsonl")
    store = tmp_path / "answers.jsonl"
    kills = 6
    command = [sys.executable, str(Path(__file__).with_name("rewrite_here.py")), str(tmp_path)]
    with MortalServer(tmp_path, deaths=(120, 90, 150), faults=FAULTS, seconds=0.02) as server:
        before = b""
        for number in range(kills):
            process = subprocess.Popen([*command, server.url], cwd=ROOT, env=environment(), stderr=subprocess.PIPE)
            goal = before.count(b"\n") + generator.randint(1, 400 // (kills + 1))
            while process.poll() is None and _read(store).count(b"\n") < goal:
                time.sleep(0.002)
            assert process.poll() is None, process.stderr.read().decode()[-2000:]
            time.sleep(generator.uniform(0, 0.05))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            process.stderr.close()
            content = _read(store)
            if number % 2:  # as if the power had failed in the middle of a line
                content = content[: -generator.randint(1, 20)]
                store.write_bytes(content)
            complete = content[: content.rfind(b"\n") + 1]
            assert complete.startswith(before), "stored lines were lost or changed"
            before = complete
            time.sleep(0.2)  # what is under way at the server ends
        last = subprocess.run(
            [*command, server.url], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300
        )
        assert last.returncode == 0, last.stderr[-2000:]
        delivered = server.delivered
        assert server.lives == 4
    assert TextChains.read(tmp_path / "rewrites.jsonl").texts == expected(chains, 2)
    # delivered, and not on the disk when it was killed: what was under way, and the lines that this test tore
    lost = check_store(store, delivered, lost_at_most=kills * CONCURRENCY + kills // 2)
    # That of the chains: the last process found the first step done, and its own ledger has the rest
    ledger = json.loads((tmp_path / "rewrites.meta.json").read_text())["ledger"]
    lines = [json.loads(line) for line in store.read_text().splitlines()]
    assert ledger["answers"] == len(lines) == len(delivered) - lost
    for field in ("prompt_tokens", "completion_tokens"):
        # Of what was delivered several times, the last is stored: what is stored is not asked again
        last_delivered = {line["name"]: line[field] for line in delivered}
        assert ledger[field] == sum(line[field] for line in lines) == sum(last_delivered.values())


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""
