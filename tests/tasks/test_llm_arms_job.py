"""The job of tasks/rapl/llm_arms.py as a process, with a real server, a real model, and a kill."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from tasks.rapl.llm_arms import _DEFAULTS
from tasks.rapl.llm_arms_config import check_config
from tasks.train_config import ConfigError
from tests.completions.killing import CONCURRENCY, kill_until_done
from tests.processes import ROOT, environment
from tests.servers.openai_compatible import API_KEY, CompletionServer, Faults
from tests.tiny import pairs, tiny_checkpoint
from trl_ext.completions import Sampling
from trl_ext.reliability.llm_arms import CRITERIA, difficulty_questions


SCRIPT = ROOT / "tasks" / "rapl" / "llm_arms.py"
FAULTS = Faults(
    **dict.fromkeys(["rate_limit", "bare_rate_limit", "server_error", "drop", "cut", "malformed"], 0.02),
    **dict.fromkeys(["foreign", "empty", "unreadable", "slow"], 0.02),
    slow_seconds=0.1,
)
SERVER = ("backend=openai", "model=test-model", "api_key_env=TEST_SERVER_KEY", f"concurrency={CONCURRENCY}")


def difficulty(body) -> int:
    """What the server thinks of a pair: the difficulty written in it."""
    return int(body["messages"][1]["content"].split("difficulty ")[1][0])


def judge(body) -> str:
    score = difficulty(body)
    return "```json\n" + json.dumps({name: {"reasoning": "so", "score": score} for name in CRITERIA}) + "\n```"


def write_pairs(path: Path, count: int) -> list[dict]:
    """Pairs on whose difficulty it depends how often the annotator was right."""
    rows = []
    for i in range(count):
        score = 1 + i % 5
        digest = hashlib.sha256(str(i).encode()).digest()[0] / 256
        rows.append(
            {
                "id": f"pair-{i}",
                "prompt": f"difficulty {score}: what is {i}?",
                "chosen": f"It is {i}.",
                "rejected": f"It is not {i}.",
                "right": int(digest < 1.05 - 0.15 * score),
                "question_id": f"question-{i // 2}",
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


def command(*updates: str) -> list[str]:
    return [sys.executable, str(SCRIPT), "with", *updates]


def run(cwd: Path, *updates: str, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        command(*updates), cwd=cwd, env=environment(**variables), capture_output=True, text=True, timeout=300
    )


def leaks(folder: Path) -> list[str]:
    return [str(file) for file in folder.rglob("*") if file.is_file() and API_KEY.encode() in file.read_bytes()]


class TestWithAServer:
    def test_scores_and_reliability(self, tmp_path):
        rows = write_pairs(tmp_path / "pairs.jsonl", 100)
        updates = (
            *("data_path=pairs.jsonl", *SERVER, "output_dir=out", "correctness_col_name=right"),
            *("prompt_price=2", "completion_price=8", "max_rows=100"),
        )
        with CompletionServer(judge) as server:
            result = run(tmp_path, *updates, f"base_url={server.url}", TEST_SERVER_KEY=API_KEY)
            assert result.returncode == 0, result.stderr[-3000:]
            assert server.asked.total() == 100
        table = pd.read_csv(tmp_path / "out" / "scores.csv")
        assert table["id"].tolist() == [row["id"] for row in rows]
        for name in CRITERIA:
            assert table[name].tolist() == [1 + i % 5 for i in range(100)]
        by_score = table.groupby("overall_difficulty")["reliability"].first()
        assert by_score.is_monotonic_decreasing and by_score[1] > 0.7 and by_score[5] < 0.5
        # both rows of a question are on the same side
        sides = table.groupby(table.index // 2)["used_for_calibration"].nunique()
        assert (sides == 1).all() and table["used_for_calibration"].sum() == 50
        written = [json.loads(line) for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
        assert [row["reliability"] for row in written] == table["reliability"].tolist()
        assert {key: written[3][key] for key in rows[3]} == rows[3]
        results = json.loads((tmp_path / "out" / "results.json").read_text())
        ledger = results["completions"]["ledger"]
        assert ledger["answers"] == 100
        assert ledger["cost"] == pytest.approx((ledger["prompt_tokens"] * 2 + ledger["completion_tokens"] * 8) / 1e6)
        calibration = results["calibration"]
        assert calibration["correlations_with_correctness"]["overall_difficulty"]["ci_high"] < 0
        assert calibration["held_out"]["difference"]["n"] == 50
        assert calibration["calibrator"]["fitted_on"] == "a random 0.5 of the groups (seed 0)"
        assert json.loads((tmp_path / "out" / "calibrator.json").read_text()) == calibration["calibrator"]
        assert leaks(tmp_path) == []
        assert json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["status"] == "COMPLETED"

    def test_dry_run_needs_no_key_and_sends_nothing(self, tmp_path):
        write_pairs(tmp_path / "pairs.jsonl", 10)
        with CompletionServer(judge) as server:
            result = run(
                tmp_path, "data_path=pairs.jsonl", *SERVER, f"base_url={server.url}", "dry_run=True", "order=both"
            )
            assert server.asked.total() == 0
        assert result.returncode == 0, result.stderr[-3000:]
        assert "20 requests: 0 answered before, 0 equal to others, 20 to ask" in result.stdout
        assert not (tmp_path / "outputs").exists()

    def test_a_wrong_key_ends_it_without_a_traceback(self, tmp_path):
        write_pairs(tmp_path / "pairs.jsonl", 30)
        with CompletionServer(judge) as server:
            server.refuse_with = (401, {"error": {"message": f"Incorrect API key provided: {API_KEY}"}})
            updates = ("data_path=pairs.jsonl", *SERVER, f"base_url={server.url}", "max_consecutive_errors=3")
            result = run(tmp_path, *updates, TEST_SERVER_KEY=API_KEY)
        assert result.returncode == 1 and "'authentication'" in result.stderr
        assert "Traceback" not in result.stderr and API_KEY not in result.stdout + result.stderr
        assert leaks(tmp_path) == []

    def test_sigterm_leaves_a_store_that_is_continued(self, tmp_path):
        write_pairs(tmp_path / "pairs.jsonl", 60)
        with CompletionServer(judge, seconds=0.05) as server:
            updates = command("data_path=pairs.jsonl", *SERVER, f"base_url={server.url}", "output_dir=out")
            process = subprocess.Popen(
                updates, cwd=tmp_path, env=environment(TEST_SERVER_KEY=API_KEY), stderr=subprocess.PIPE, text=True,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            while process.poll() is None and server.delivered.total() < 12:
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
            assert process.returncode == 128 + signal.SIGTERM, errors[-3000:]
            assert "Interrupted by SIGTERM" in errors
            assert json.loads((tmp_path / "runs" / "1" / "run.json").read_text())["status"] == "INTERRUPTED"
            stored = len((tmp_path / "out" / "answers.jsonl").read_text().splitlines())
            assert 12 - CONCURRENCY <= stored < 60
            asked = server.asked.total()
            result = run(tmp_path, *updates[3:], TEST_SERVER_KEY=API_KEY)
            assert result.returncode == 0, result.stderr[-3000:]
            assert server.asked.total() - asked == 60 - stored
        assert pd.read_csv(tmp_path / "out" / "scores.csv")["id"].nunique() == 60

    @pytest.mark.slow
    def test_killed_again_and_again(self, tmp_path):
        rows = write_pairs(tmp_path / "pairs.jsonl", 120)
        questions = difficulty_questions(rows, Sampling(temperature=0.0, max_tokens=1024, seed=0))
        updates = ("data_path=pairs.jsonl", *SERVER, "output_dir=out", "parse_attempts=20", "max_retries=20")
        with CompletionServer(judge, FAULTS, seconds=0.01) as server:
            killed = kill_until_done(
                command(*updates, f"base_url={server.url}"),
                tmp_path,
                tmp_path / "out" / "answers.jsonl",
                server,
                [question.request for question in questions],
                kills=6,
                seed=3,
            )
        assert killed.repeated <= killed.kills * CONCURRENCY + killed.torn
        table = pd.read_csv(tmp_path / "out" / "scores.csv")
        assert table["id"].tolist() == [row["id"] for row in rows]
        assert table["overall_difficulty"].tolist() == [1 + i % 5 for i in range(120)]
        ledger = json.loads((tmp_path / "out" / "results.json").read_text())["completions"]["ledger"]
        assert ledger["answers"] == len((tmp_path / "out" / "answers.jsonl").read_text().splitlines())
        statuses = [
            json.loads((tmp_path / "runs" / str(number) / "run.json").read_text())["status"] for number in range(1, 8)
        ]
        assert statuses == ["INTERRUPTED"] * 6 + ["COMPLETED"]
        assert leaks(tmp_path) == []


class TestWithALocalModel:
    def test_fills_in_the_form_for_the_demo_data(self, tmp_path):
        model = tiny_checkpoint(tmp_path / "model", max_position_embeddings=8192)
        result = run(tmp_path, f"model={model}", "output_dir=out", "order=both", "temperature=1")
        assert result.returncode == 0, result.stderr[-3000:]
        assert "8 requests: 0 answered before" in result.stdout and "4 of 4 pairs have scores" in result.stdout
        table = pd.read_csv(tmp_path / "out" / "scores.csv")
        assert table["n_answers"].tolist() == [2] * 4 and table["chosen_first"].tolist() == [0.5] * 4
        assert table[list(CRITERIA)].stack().between(1, 5).all()
        again = run(tmp_path, f"model={model}", "output_dir=out", "order=both", "temperature=1")
        assert "8 answered before, 0 equal to others, 0 to ask" in again.stdout

    def test_rows_without_scores_are_not_passed_over(self, tmp_path):
        model = tiny_checkpoint(tmp_path / "model", max_position_embeddings=8192)
        data = tmp_path / "pairs.jsonl"
        pairs(6, right=[0, 1] * 3).to_json(data)
        updates = (f"model={model}", f"data_path={data}", "output_dir=out", "answer_style=scores", "max_tokens=5")
        result = run(tmp_path, *updates)
        assert result.returncode == 0, result.stderr[-3000:]
        assert "0 of 6 pairs have scores" in result.stdout
        failures = pd.read_csv(tmp_path / "out" / "failures.csv")
        assert len(failures) == 6 and set(failures["kind"]) == {"unparsable"}
        result = run(tmp_path, *updates, "correctness_col_name=right")
        assert result.returncode == 1 and "Ask about more rows" in result.stderr and "Traceback" not in result.stderr


class TestPublishedScores:
    def test_become_a_reliability_column(self, tmp_path, shared_dir):
        rapl = shared_dir / "data" / "rapl"
        if not (rapl / "LLM_ARM_generation").is_dir():
            pytest.skip(f"no published scores at {rapl}")
        result = run(
            tmp_path,
            *(f"lie_data_dir={rapl}", "published_scores=all", "correctness_col_name=correct_chosen", "output_dir=out"),
        )
        assert result.returncode == 0, result.stderr[-3000:]
        written = [json.loads(line) for line in (tmp_path / "out" / "preferences.jsonl").read_text().splitlines()]
        assert len(written) == 1000 and all(0 < row["reliability"] < 1 for row in written)
        assert sum(row["correct_chosen"] is not None for row in written) == 779
        assert "-0.166" in result.stdout


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"modle": "x"}, "unknown config key 'modle'. Did you mean 'model'"),
            ({"concurrency": 0}, "'concurrency' must be at least 1"),
            ({"temperature": "hot"}, "'temperature' must be int or float"),
            ({"temperature": -1.0}, "'temperature' must be at least 0"),
            ({"backend": "cloud"}, "'backend' must be one of local, openai"),
            ({"criteria": ["difficulty"]}, "criteria must be one or more of knowledge_requirements"),
            ({"criteria": []}, "criteria must be one or more of"),
            ({"calibration_fraction": 1.0}, r"must be in \(0, 1\)"),
            ({"request_fields": {"api_key": "x"}}, "'request_fields.api_key' looks like a credential"),
            ({"api_key_env": "sk-0123456789abcdefghijk"}, "'api_key_env' looks like a credential"),
            ({"backend": "openai"}, "needs the name of a model at the server"),
            (
                {"backend": "openai", "model": "m", "api_key_env": "NOT_SET_HERE"},
                "NOT_SET_HERE with the API key is not set",
            ),
            ({"backend": "openai", "model": "m", "base_url": "http://me:pw@x/v1"}, "contains a user name"),
            ({"backend": "openai", "model": "m", "answer_style": "form"}, "form is for local models"),
            ({"base_url": "http://localhost/v1"}, "base_url is for a server: set backend=openai"),
            ({"repetitions": 2}, "raise the temperature"),
            ({"prompt_price": 1.0}, "give both prompt_price and completion_price"),
            ({"published_scores": "all"}, "set lie_data_dir"),
            ({"published_scores": "one.json", "lie_data_dir": "x"}, 'must be "all" or a list of files'),
            ({"lie_data_dir": "x", "data_path": "y.csv"}, "both name the data"),
            ({"calibration_split": "cal"}, "give both calibration_split_col_name and calibration_split"),
        ],
    )
    def test_refuses(self, changes, message, monkeypatch):
        monkeypatch.delenv("NOT_SET_HERE", raising=False)
        with pytest.raises(ConfigError, match=message):
            check_config(_DEFAULTS | changes, _DEFAULTS)

    def test_defaults_are_fine(self):
        check_config(_DEFAULTS, _DEFAULTS)

    def test_mistakes_leave_no_record(self, tmp_path):
        result = run(tmp_path, "backend=openai", "model=m", "api_key_env=NOT_SET_HERE")
        assert result.returncode == 1 and "NOT_SET_HERE" in result.stderr and "Traceback" not in result.stderr
        assert os.listdir(tmp_path) == []

    @pytest.mark.parametrize(
        ("rows", "message"),
        [
            ([{"chosen": "a", "rejected": "b"}], "has no column 'id'"),
            ([{"id": 1, "chosen": "a", "rejected": "b"}, {"id": 1, "chosen": "c", "rejected": "d"}], "the first: '1'"),
            ([{"id": 1, "chosen": "a", "rejected": "a"}], "identical to column 'chosen'"),
        ],
    )
    def test_bad_data(self, tmp_path, rows, message):
        from tasks.rapl.llm_arms_data import load_rows

        (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(ConfigError, match=message):
            load_rows(_DEFAULTS | {"data_path": str(tmp_path / "d.jsonl"), "prompt_col_name": "prompt"})
