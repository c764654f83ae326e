"""Judges as they are used: a real model behind a server, processes that are killed, and several at once."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.processes import environment, launch
from tests.scoring.helpers import read_lines
from tests.servers.openai_compatible import CompletionServer
from trl_ext.completions import CompletionRequest, Job, LocalBackend, OpenAIBackend, Sampling
from trl_ext.data.demo import load_demo_preferences
from trl_ext.scoring.judges import FourWayJudge, PairwiseJudge, RatingsJudge, verdict_form


BUNDLED = "bundled:smollm2-135m-instruct"


def answers_with(backend: LocalBackend):
    """What the server says: what the model says."""

    def answer(body) -> str:
        sampling = Sampling(body["temperature"], max_tokens=body["max_tokens"], seed=body.get("seed"))
        job = Job("key", CompletionRequest("question", body["messages"], sampling), 0, body.get("seed"))
        queue, outcomes = [job], []
        backend.run(lambda: queue.pop() if queue else None, outcomes.append)
        return outcomes[0].result.text

    return answer


@pytest.fixture(scope="module")
def bundled():
    pytest.importorskip("gguf", reason="the bundled model needs gguf")
    try:
        return LocalBackend(BUNDLED, batch_size=4)
    except (ModuleNotFoundError, FileNotFoundError) as error:
        pytest.skip(f"the bundled model is not installed: {error}")


@pytest.mark.slow
def test_a_real_model_behind_a_server_judges_and_what_it_fails_at_is_counted(bundled, tmp_path):
    # of different questions, as equal ones are asked once
    demo = list({row["prompt"]: row for row in load_demo_preferences()["test"]}.values())[:2]
    rows = [(f"d{i}", row["prompt"], [row["chosen"], row["rejected"]]) for i, row in enumerate(demo)]
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"id": i, "prompt": p, "responses": r}) + "\n" for i, p, r in rows))
    sampling = Sampling(0.0, max_tokens=16)
    with CompletionServer(answers_with(bundled)) as server:
        remote = OpenAIBackend("smollm2", base_url=server.url, api_key_env=None, concurrency=2)
        for judge, asked in (
            (PairwiseJudge(remote, tmp_path / "answers.jsonl", sampling=sampling), 4),
            (FourWayJudge(remote, tmp_path / "answers.jsonl", sampling=sampling), 0),  # one of the orders of the first
            (RatingsJudge(remote, tmp_path / "answers.jsonl", sampling=sampling), 4),
        ):
            before = server.asked.total()
            judge.progress = False
            judge.score_file(file, tmp_path / f"{type(judge).__name__}.jsonl")
            assert server.asked.total() - before == asked
            report = judge.report()
            assert sum(report["outcomes"].values()) == report["answers"] == (asked or 2)
            assert sum(report["rejects"].values()) == report["outcomes"].get("reject", 0)
            assert report["ledger"]["answers"] == report["answers"] and report["ledger"]["prompt_tokens"] > 0
            rewards = [line["reward"] for line in read_lines(tmp_path / f"{type(judge).__name__}.jsonl")]
            if report["outcomes"].get("reject", 0) == report["answers"]:
                assert len(set(rewards)) == 1, "a model that says nothing usable prefers nothing"
    # Here, with a form to fill in, the same model can't fail
    judge = PairwiseJudge(bundled, tmp_path / "local.jsonl", sampling=Sampling(0.0, form=verdict_form()))
    judge.progress = False
    rewards = judge.score([p for _, p, _ in rows], [r for _, _, r in rows])
    assert judge.report()["outcomes"] == {"verdict": 4}
    assert all(own.sum() == 1 for own in rewards)


def write_pairs(path: Path, count: int) -> Path:
    rows = [{"id": f"r{i}", "prompt": f"Question {i}?", "responses": [f"one {i}", f"two {i}"]} for i in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answer(body) -> str:
    number = int(re.findall(r"Question (\d+)", body["messages"][-1]["content"])[0])
    return ["[[A]]", "[[B]]", "[[A]] or [[B]]", ""][number % 4]


def report_of(output: str) -> dict:
    (line,) = [line for line in output.splitlines() if line.startswith("REPORT ")]
    return json.loads(line.removeprefix("REPORT "))


@pytest.fixture(scope="module")
def in_this_process(tmp_path_factory):
    """Score file, report, and what they were made of, by one process that nothing interrupts."""
    folder = tmp_path_factory.mktemp("one")
    rows = write_pairs(folder / "rows.jsonl", 48)
    with CompletionServer(answer) as server:
        judge = PairwiseJudge(OpenAIBackend("judge", base_url=server.url, api_key_env=None), folder / "answers.jsonl")
        judge.progress = False
        judge.score_file(rows, folder / "out.jsonl", window_size=8)
        assert server.asked.total() == 96
    return rows, (folder / "out.jsonl").read_bytes(), judge.report()


@pytest.mark.slow
def test_sigkill_and_restart_asks_nothing_twice(in_this_process, tmp_path):
    rows, expected, report = in_this_process
    script, out, store = Path(__file__).with_name("judge_file.py"), tmp_path / "out.jsonl", tmp_path / "answers.jsonl"
    with CompletionServer(answer, seconds=0.02) as server:
        command = [sys.executable, str(script), str(rows), str(out), str(store), server.url]
        for goal in (20, 60):
            process = subprocess.Popen(
                command,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            while process.poll() is None and not (store.exists() and len(store.read_bytes().splitlines()) >= goal):
                time.sleep(0.005)
            assert process.poll() is None, "it ended before it was killed"
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            while server.under_way:
                time.sleep(0.01)
        last = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=200)
        assert last.returncode == 0, last.stderr[-3000:]
        assert len(read_lines(store)) == 96
        assert server.asked.total() <= 96 + 2 * 2, "at most what was under way is asked again"
    assert out.read_bytes() == expected
    assert report_of(last.stdout) == report


@pytest.mark.slow
def test_two_processes_write_the_file_of_one(in_this_process, tmp_path):
    rows, expected, report = in_this_process
    script, out, store = Path(__file__).with_name("judge_file.py"), tmp_path / "out.jsonl", tmp_path / "answers.jsonl"
    with CompletionServer(answer) as server:
        first = launch("cpu_2proc.yaml", script, rows, out, store, server.url)
        assert server.asked.total() == 96
        assert out.read_bytes() == expected
        found = report_of(first.stdout)
        assert found["ledger"] == report["ledger"] and found["rejects"] == report["rejects"]
        np.testing.assert_allclose(found["consistency"]["value"], report["consistency"]["value"])
        assert [path.name for path in tmp_path.glob("answers*.jsonl")] == ["answers.jsonl"]
        # Answers that one of them had not yet handed over when it was interrupted are found
        lines = store.read_bytes().splitlines(keepends=True)
        store.write_bytes(b"".join(lines[:30]))
        (tmp_path / "answers.process1.jsonl").write_bytes(b"".join(lines[20:]))
        out.write_bytes(out.read_bytes()[:1500])
        again = launch("cpu_2proc.yaml", script, rows, out, store, server.url)
        assert server.asked.total() == 96 and out.read_bytes() == expected
        assert report_of(again.stdout)["rejects"] == report["rejects"]
