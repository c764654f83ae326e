"""SIGKILL at random points: no answer is lost, none is stored twice, none that is stored is asked for again."""

import json
import sys
from pathlib import Path

import pytest

from tests.completions.killing import CONCURRENCY, kill_until_done
from tests.servers.openai_compatible import API_KEY, CompletionServer, Faults
from trl_ext.completions import CompletionRequest, Sampling


FAULTS = Faults(
    **dict.fromkeys(["rate_limit", "bare_rate_limit", "server_error", "drop", "cut", "malformed"], 0.03),
    **dict.fromkeys(["foreign", "empty", "unreadable", "slow"], 0.03),
    slow_seconds=0.1,
)


@pytest.mark.parametrize(("kills", "seed"), [(2, 0), pytest.param(8, 1, marks=pytest.mark.slow)])
def test_no_answer_is_lost_or_repeated(kills, seed, tmp_path):
    rows = [{"id": f"q{i}", "messages": [{"role": "user", "content": f"number {i}"}]} for i in range(90)]
    (tmp_path / "questions.json").write_text(json.dumps(rows))
    requests = [CompletionRequest(row["id"], row["messages"], Sampling(seed=0)) for row in rows]
    store = tmp_path / "answers.jsonl"
    with CompletionServer(lambda body: f"ANSWER {body['messages'][0]['content']}", FAULTS, seconds=0.01) as server:
        script = Path(__file__).with_name("ask.py")
        command = [sys.executable, str(script), str(tmp_path / "questions.json"), str(store), server.url]
        killed = kill_until_done(command, tmp_path, store, server, requests, kills=kills, seed=seed)
    assert json.loads(killed.last.stdout) == [[f"q{i}", f"ANSWER number {i}"] for i in range(90)]
    # Delivered, but not on the disk when it was killed: what was under way, and the lines that the test tore
    assert 0 < killed.repeated <= killed.kills * CONCURRENCY + killed.torn
    assert killed.torn == kills // 2
    for file in tmp_path.iterdir():
        assert API_KEY.encode() not in file.read_bytes()
