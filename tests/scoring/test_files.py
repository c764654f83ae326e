"""Files are scored window by window, and an interrupted run continues to the same file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.processes import ROOT, free_port
from tests.scoring.helpers import read_lines, write_rows
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("reward")
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


@pytest.fixture(scope="module")
def scorer(checkpoint):
    return RewardScorer(checkpoint, progress=False)


@pytest.fixture
def rows(tmp_path):
    return write_rows(tmp_path / "rows.jsonl", 40)


class TestOutput:
    def test_has_a_line_per_response_in_the_order_of_the_input(self, scorer, rows, tmp_path):
        meta = scorer.score_file(rows, tmp_path / "out.jsonl", window_size=7)
        lines = read_lines(tmp_path / "out.jsonl")
        inputs = read_lines(rows)
        assert [(line["prompt_id"], line["response_id"], line["source"]) for line in lines] == [
            (row["id"], k, f"model-{k}") for row in inputs for k in range(len(row["responses"]))
        ]
        expected = scorer.score([row["prompt"] for row in inputs], [row["responses"] for row in inputs])
        np.testing.assert_allclose([line["reward"] for line in lines], np.concatenate(expected), rtol=2e-6, atol=1e-6)
        assert meta["finished"] and meta["rows"] == 40 and meta["responses"] == len(lines)
        assert meta["provenance"]["threads"] == torch.get_num_threads() and "threads" not in meta["settings"]

    def test_rewards_round_trip(self, scorer, rows, tmp_path):
        scorer.score_file(rows, tmp_path / "out.jsonl")
        inputs = read_lines(rows)
        expected = scorer.score([row["prompt"] for row in inputs], [row["responses"] for row in inputs])
        written = np.array([line["reward"] for line in read_lines(tmp_path / "out.jsonl")], dtype=np.float32)
        np.testing.assert_array_equal(written, np.concatenate(expected))

    @pytest.mark.parametrize("suffix", [".jsonl", ".json", ".csv", ".parquet"])
    def test_is_the_same_for_every_kind_of_file(self, scorer, tmp_path, suffix):
        dataset = pairs(9)
        path = tmp_path / f"pairs{suffix}"
        if suffix == ".csv":
            dataset.to_csv(path)
        elif suffix == ".parquet":
            dataset.to_parquet(path)
        else:
            dataset.to_json(path, lines=suffix == ".jsonl")
        scorer.score_file(path, tmp_path / "out.jsonl", window_size=6)
        table = scorer.score_dataset(dataset)
        lines = read_lines(tmp_path / "out.jsonl")
        assert [line["prompt_id"] for line in lines] == table["prompt_id"][:]
        np.testing.assert_allclose([line["reward"] for line in lines], table["reward"][:], rtol=2e-6, atol=1e-6)

    def test_has_a_record_of_how_it_was_made(self, scorer, checkpoint, rows, tmp_path):
        scorer.score_file(rows, tmp_path / "out.jsonl")
        meta = json.loads((tmp_path / "out.jsonl.meta.json").read_text())
        assert meta["provenance"]["model"] == checkpoint
        assert meta["provenance"]["shared_prefix_report"]["enabled"] is True
        assert set(meta["settings"]["versions"]) == {"trl_ext", "torch", "transformers"}
        assert meta["settings"]["dtype"] == "float32"
        assert meta["truncated"] == 0
        assert meta["timing"]["responses"] == meta["responses"]
        assert not list(tmp_path.glob("*.tmp"))

    def test_columns_can_be_renamed(self, scorer, tmp_path):
        path = tmp_path / "in.parquet"
        pq.write_table(pa.table({"question": ["a"], "answers": [["b", "c"]]}), path)
        scorer.score_file(path, tmp_path / "out.jsonl", columns={"prompt": "question", "responses": "answers"})
        assert [line["response_id"] for line in read_lines(tmp_path / "out.jsonl")] == [0, 1]


class TestBadInput:
    @pytest.mark.parametrize(
        ("line", "match"),
        [
            ('{"prompt": "a", "responses": ["b", " "]}', "row 2, response 1 is empty"),
            ('{"prompt": "a", "answers": ["b"]}', "row 2.*column 'responses' is missing.*'answers'"),
            ('{"prompt": "a", ', "line 3 is not JSON"),
            ("[1]", "line 3 is not an object"),
            ("\udcff", "line 3 is not UTF-8"),
            ('{"id": 1, "prompt": "a", "responses": ["b"]}', "row 2 has an id .* the rows before have none"),
        ],
    )
    def test_is_named_before_the_model_is_loaded(self, checkpoint, tmp_path, monkeypatch, line, match):
        path = tmp_path / "in.jsonl"
        path.write_text('{"prompt": "a", "responses": ["b"]}\n' * 2 + line + "\n", errors="surrogateescape")
        scorer = RewardScorer(checkpoint, progress=False)
        monkeypatch.setattr(scorer, "_load_model", lambda: pytest.fail("the model was loaded"))
        with pytest.raises(ValueError, match=f"in.jsonl, {match}"):
            scorer.score_file(path, tmp_path / "out.jsonl")
        assert not (tmp_path / "out.jsonl").exists()

    @pytest.mark.parametrize("column", ["id", "prompt_id"])
    def test_ids_of_csv_files_stay_text(self, scorer, tmp_path, column):
        (tmp_path / "in.csv").write_text(f"{column},chosen,rejected\n007,a,b\n1e3,c,d\n")
        scorer.score_file(tmp_path / "in.csv", tmp_path / "out.jsonl")
        assert [line["prompt_id"] for line in read_lines(tmp_path / "out.jsonl")] == ["007", "007", "1e3", "1e3"]

    def test_ids_of_other_types_are_refused(self, scorer, tmp_path):
        ids = pa.array([0], pa.timestamp("ms"))
        pq.write_table(pa.table({"id": ids, "chosen": ["a"], "rejected": ["b"]}), tmp_path / "in.parquet")
        with pytest.raises(TypeError, match="row 0: column 'id' must hold text or whole numbers, got datetime"):
            scorer.score_file(tmp_path / "in.parquet", tmp_path / "out.jsonl")

    @pytest.mark.parametrize("num_workers", [0, 1, 3])
    def test_further_on_loses_nothing_that_was_written(self, checkpoint, rows, tmp_path, num_workers):
        whole = RewardScorer(checkpoint, progress=False)
        whole.score_file(rows, tmp_path / "whole.jsonl", window_size=6)
        lines = rows.read_text().splitlines(keepends=True)
        rows.write_text("".join(lines[:30]) + '{"id": "x", "prompt": "", "responses": ["b"]}\n' + "".join(lines[30:]))
        scorer = RewardScorer(checkpoint, progress=False, num_workers=num_workers)
        with pytest.raises(ValueError, match="row 30 .*: the prompt is empty"):
            scorer.score_file(rows, tmp_path / "out.jsonl", window_size=6)
        written = (tmp_path / "out.jsonl").read_text()
        assert len(written) > 1000
        assert (tmp_path / "whole.jsonl").read_text().startswith(written)

    @pytest.mark.parametrize(
        ("name", "match"), [("no.jsonl", "there is no such file"), ("no.txt", "type '.txt' are not known")]
    )
    def test_files_that_are_not_there(self, scorer, tmp_path, name, match):
        with pytest.raises(ValueError, match=match):
            scorer.score_file(tmp_path / name, tmp_path / "out.jsonl")


class TestOutputThatCanNotBe:
    @pytest.mark.parametrize("how", ["same", "link", "record"])
    def test_the_input_is_refused_and_kept(self, scorer, rows, tmp_path, how):
        before = rows.read_bytes()
        output = rows
        if how == "link":
            output = tmp_path / "link.jsonl"
            output.symlink_to(rows)
        elif how == "record":
            output = tmp_path / "out.jsonl"
            rows = rows.rename(tmp_path / "out.jsonl.meta.json")
        with pytest.raises(ValueError, match="is the input"):
            scorer.score_file(rows, output, overwrite=True)
        assert rows.read_bytes() == before

    def test_a_directory_is_refused(self, scorer, rows, tmp_path):
        with pytest.raises(ValueError, match="is a directory"):
            scorer.score_file(rows, tmp_path, overwrite=True)

    def test_the_old_output_stays_if_the_new_one_can_not_begin(self, scorer, rows, tmp_path):
        out = tmp_path / "out.jsonl"
        scorer.score_file(rows, out)
        before = out.read_bytes()
        rows.write_text('{"prompt": "", "responses": ["b"]}\n')
        with pytest.raises(ValueError, match="the prompt is empty"):
            scorer.score_file(rows, out, overwrite=True)
        assert out.read_bytes() == before


class TestResume:
    @pytest.fixture
    def whole(self, scorer, rows, tmp_path):
        scorer.score_file(rows, tmp_path / "whole.jsonl", window_size=7)
        return (tmp_path / "whole.jsonl").read_bytes()

    @pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.77, 0.999, 1])
    def test_gives_the_file_of_an_uninterrupted_run(self, scorer, rows, tmp_path, whole, share):
        out = tmp_path / "out.jsonl"
        scorer.score_file(rows, out, window_size=7)
        out.write_bytes(whole[: int(share * len(whole))])
        meta_path = tmp_path / "out.jsonl.meta.json"
        meta_path.write_text(json.dumps(json.loads(meta_path.read_text()) | {"finished": False}))
        meta = scorer.score_file(rows, out, window_size=7)
        assert out.read_bytes() == whole
        assert meta["finished"] and meta["rows"] == 40
        assert share < 0.5 or meta["timing"]["responses"] < meta["responses"] / 2

    def test_counts_truncations_of_both_parts(self, checkpoint, rows, tmp_path):
        scorer = RewardScorer(checkpoint, max_length=25, max_length_policy="truncate_prompt_left", progress=False)
        out = tmp_path / "out.jsonl"
        whole = scorer.score_file(rows, out, window_size=7)
        assert whole["truncated"] > 10
        out.write_bytes(out.read_bytes()[:1500])
        assert scorer.score_file(rows, out, window_size=7)["truncated"] == whole["truncated"]

    def test_of_a_finished_file_changes_nothing(self, scorer, rows, tmp_path):
        out = tmp_path / "out.jsonl"
        first = scorer.score_file(rows, out)
        before = out.stat().st_mtime_ns
        assert scorer.score_file(rows, out) == first
        assert out.stat().st_mtime_ns == before

    def test_with_other_settings_is_refused(self, scorer, checkpoint, rows, tmp_path):
        out = tmp_path / "out.jsonl"
        scorer.score_file(rows, out)
        before = out.read_bytes()
        other = RewardScorer(checkpoint, max_length=100, max_tokens_per_batch=50, progress=False)
        with pytest.raises(
            ValueError, match="max_length was None and is 100; max_tokens_per_batch was 4096 and is 50"
        ):
            other.score_file(rows, out)
        tokenizer = tiny_tokenizer()
        with pytest.raises(ValueError, match="model_weights_sha256 was"):
            RewardScorer(tiny_reward_model(tokenizer, seed=1), tokenizer, progress=False).score_file(rows, out)
        model = tiny_reward_model(tokenizer)
        model.config.rms_norm_eps = 1.0
        with pytest.raises(ValueError, match="model_config_sha256 was"):
            RewardScorer(model, tokenizer, progress=False).score_file(rows, out)
        rows.write_text(rows.read_text() + '{"id": "last", "prompt": "a", "responses": ["b"]}\n')
        with pytest.raises(ValueError, match="input_sha256 was"):
            scorer.score_file(rows, out)
        assert out.read_bytes() == before
        scorer.score_file(rows, out, overwrite=True)
        assert len(read_lines(out)) == before.count(b"\n") + 1

    def test_of_another_program_s_file_is_refused(self, scorer, rows, tmp_path):
        (tmp_path / "out.jsonl").write_text("precious\n")
        with pytest.raises(ValueError, match="exists, but not the record"):
            scorer.score_file(rows, tmp_path / "out.jsonl")
        assert (tmp_path / "out.jsonl").read_text() == "precious\n"


def command(*arguments: object, launcher: tuple[str, ...] = ()) -> list[str]:
    return [sys.executable, "-m", *(launcher + ("-m",) if launcher else ()), "trl_ext.scoring", *map(str, arguments)]


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def run(arguments: list[str]) -> subprocess.CompletedProcess:
    return subprocess.run(arguments, env=ENVIRONMENT, capture_output=True, text=True, timeout=240)


class TestCommandLine:
    def test_continues_after_a_kill(self, checkpoint, tmp_path):
        rows, out = write_rows(tmp_path / "rows.jsonl", 1500), tmp_path / "out.jsonl"
        arguments = command(
            "--model", checkpoint, "--input", rows, "--output", out, "--window-size", 8, "--max-tokens-per-batch", 30
        )  # fmt: skip
        process = subprocess.Popen(arguments, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not (out.exists() and out.stat().st_size > 5000) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_at = len(read_lines(out))
        assert not json.loads((tmp_path / "out.jsonl.meta.json").read_text())["finished"]
        with out.open("ab") as file:  # what a kill in the middle of a write leaves
            file.write(b'{"prompt_id": "q1", "resp')

        result = run(arguments)
        assert result.returncode == 0, result.stderr[-3000:]
        assert json.loads(result.stdout)["timing"]["responses"] < json.loads(result.stdout)["responses"] == 2250
        assert 0 < killed_at < 2250
        scorer = RewardScorer(checkpoint, max_tokens_per_batch=30, progress=False)
        scorer.score_file(rows, tmp_path / "whole.jsonl", window_size=8)
        assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()

    def test_two_processes_write_the_file_of_one(self, scorer, checkpoint, rows, tmp_path):
        out = tmp_path / "out.jsonl"
        launcher = (
            "accelerate.commands.launch", "--config_file", str(ROOT / "accelerate_configs" / "cpu_2proc.yaml"),
            "--main_process_port", str(free_port()),
        )  # fmt: skip
        arguments = command(
            "--model", checkpoint, "--input", rows, "--output", out, "--window-size", 7, launcher=launcher
        )
        result = run(arguments)
        assert result.returncode == 0, result.stderr[-3000:]
        meta = scorer.score_file(rows, tmp_path / "one.jsonl", window_size=7)
        assert out.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
        found = json.loads((tmp_path / "out.jsonl.meta.json").read_text())
        assert found["provenance"]["processes"] == 2
        assert found["timing"]["sequence_tokens"] == meta["timing"]["sequence_tokens"]
        # One process continues what two began, and two what one began
        out.write_bytes(out.read_bytes()[:2000])
        assert scorer.score_file(rows, out, window_size=7)["provenance"]["processes"] == 1
        assert out.read_bytes() == (tmp_path / "one.jsonl").read_bytes()
        out.write_bytes(out.read_bytes()[:1000])
        result = run(arguments)
        assert result.returncode == 0, result.stderr[-3000:]
        assert out.read_bytes() == (tmp_path / "one.jsonl").read_bytes()

    def test_errors_are_one_line(self, checkpoint, rows, tmp_path):
        out = tmp_path / "out.jsonl"
        result = run(command("--model", checkpoint, "--input", rows, "--output", out, "--responses-column", "answers"))
        assert result.returncode == 1
        assert "column 'answers' is missing" in result.stderr
        assert "Traceback" not in result.stderr

    def test_help_names_every_option(self):
        result = run(command("--help"))
        for option in ("--adapter", "--dtype", "--max-length-policy", "--prompt-column", "--overwrite"):
            assert option in result.stdout


def test_the_distributed_scorer_gives_all_rewards_to_every_process(checkpoint, tmp_path):
    script = Path(__file__).with_name("score_and_fail.py")
    result = run(
        [
            sys.executable, "-m", "accelerate.commands.launch", "--config_file",
            str(ROOT / "accelerate_configs" / "cpu_2proc.yaml"), "--main_process_port", str(free_port()),
            str(script), checkpoint, str(tmp_path),
        ]
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    found = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    assert found[0] == found[1]
    assert len(found[0]["rewards"]) == 5000
    assert "prompt 4990, response 0: " in found[0]["error"]
