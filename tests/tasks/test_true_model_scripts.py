"""tasks/rapl/train_true_model.py and score_reliability.py from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tasks.rapl import correctness_run, score_reliability, score_run, train_true_model
from tasks.rapl.correctness_config import check_scoring, check_training
from tasks.rapl.correctness_data import load_correctness_data
from tasks.rapl.true_data import load_true_split
from tasks.train_config import ConfigError
from tests.tiny import tiny_checkpoint
from trl_ext.reliability.correctness import load_correctness_model, read_comparisons


ROOT = Path(__file__).resolve().parents[2]


def script(name: str, folder: Path, *updates: str, fails: bool = False) -> str:
    result = subprocess.run(
        [sys.executable, str(ROOT / "tasks" / "rapl" / name), "with", *updates],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (result.returncode != 0) == fails, result.stdout[-2000:] + result.stderr[-3000:]
    return result.stdout + result.stderr


def table(count: int = 60, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    correct = generator.integers(0, 2, count)
    return pd.DataFrame(
        {
            "prompt": [f"what is the answer {seed}-{i}" for i in range(count)],
            "response_a": ["a good answer"] * count,
            "response_b": ["a bad answer" if y else "a good answer too" for y in correct],
            "correct": correct,
            "confidence": generator.random(count).round(2),
        }
    )


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def run(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    table().to_json(folder / "labelled.jsonl", orient="records", lines=True)
    script(
        "train_true_model.py", folder, f"model_name={tiny}", "train_data_path=labelled.jsonl", "num_train_epochs=2",
        "learning_rate=5e-3", "max_length=64", "resamples=50", "context_columns=['confidence']", "output_dir=true",
    )  # fmt: skip
    return folder


def base_config(**updates) -> dict:
    defaults = {
        "columns": {}, "true_data_dir": None, "fold": 0, "train_data_path": None, "val_data_path": None,
        "cal_data_path": None, "context_columns": [], "demo_seed": 0, "val_share": 0.2, "cal_share": 0.2, "seed": 0,
    }  # fmt: skip
    return defaults | updates


class TestTraining:
    def test_results_and_model(self, run):
        results = json.loads((run / "true" / "results.json").read_text())
        assert {"before_auc", "after_auc", "after_brier_minus_base_rate", "auc_confidence"} <= results[
            "figures"
        ].keys()
        assert results["figures"]["auc_model_and_confidence"].keys() >= {"value", "ci_low", "ci_high", "method"}
        assert [results["rows"][split]["comparisons"] for split in ("train", "val", "cal")] == [36, 12, 12]
        assert results["calibrator"]["fit_record"]["fitted_on"] == "cal"
        assert results["calibrator"]["fit_record"]["n"] == 24  # both orders
        assert results["provenance"]["config"]["seed"] == 42 and results["provenance"]["model"]["sha256"]
        assert load_correctness_model(run / "true").predict(table(3, 1)).shape == (3,)

    @pytest.mark.parametrize(
        "method, share, patience", [("value_head", 0.2, 2), ("value_head", 0.0, None), ("next_token", 0.2, None)]
    )
    def test_an_interrupted_run_is_resumed_to_the_same_model(self, tiny, run, tmp_path, method, share, patience):
        class DiesAt:
            """A Sacred run in whose logging the process ends."""

            def __init__(self, step):
                self.step, self.steps = step, []

            def log_scalar(self, name, value, step):
                if name == "loss":
                    self.steps.append(step)
                if step == self.step:
                    raise KeyboardInterrupt

        config = train_true_model._DEFAULTS | {
            "model_name": tiny, "method": method, "train_data_path": str(run / "labelled.jsonl"), "max_length": 64,
            "selection_share": share, "num_train_epochs": 2, "learning_rate": 5e-3, "resamples": 50, "save_steps": 2,
            "patience": patience, "trainer": {"logging_steps": 1, "disable_tqdm": True, "lr_scheduler_type": "constant"},
        }  # fmt: skip
        whole, parts = tmp_path / "whole", tmp_path / "parts"
        correctness_run.run(config | {"output_dir": str(whole)}, DiesAt(None))
        with pytest.raises(KeyboardInterrupt):
            correctness_run.run(config | {"output_dir": str(parts)}, DiesAt(3))
        assert [path.name for path in (parts / "checkpoints").glob("checkpoint-*")] == ["checkpoint-2"]
        with pytest.raises(ConfigError, match="other settings .*learning_rate: 0.005 there, 0.01 here"):
            correctness_run.run(config | {"output_dir": str(parts), "learning_rate": 0.01}, DiesAt(None))
        resumed = DiesAt(None)
        correctness_run.run(config | {"output_dir": str(parts)}, resumed)
        assert resumed.steps[:3] == [1, 2, 3]  # two of them told again, from the checkpoint
        for folder in (whole, parts):
            assert not (folder / "checkpoints").exists()
        weights = [load_file(folder / "model.safetensors") for folder in (whole, parts)]
        assert weights[0].keys() == weights[1].keys()
        for name, weight in weights[0].items():
            torch.testing.assert_close(weights[1][name], weight, rtol=0, atol=1e-6)

    @pytest.mark.parametrize("limit", [{"trainer": {"max_steps": 2}}, {"patience": 1, "trainer": {}}])
    def test_a_run_killed_after_its_last_step_takes_none_more(self, tiny, run, tmp_path, monkeypatch, limit):
        config = train_true_model._DEFAULTS | {
            "model_name": tiny, "train_data_path": str(run / "labelled.jsonl"), "max_length": 64, "resamples": 50,
            "selection_share": 0.2, "num_train_epochs": 5, "learning_rate": 0.5, "output_dir": str(tmp_path / "out"),
        } | limit  # fmt: skip
        config["trainer"] |= {"logging_steps": 1, "disable_tqdm": True}

        class Run:
            def __init__(self):
                self.steps = []

            def log_scalar(self, name, value, step):
                if name == "loss":
                    self.steps.append(step)

        first, resumed = Run(), Run()
        with monkeypatch.context() as patch:
            patch.setattr(correctness_run, "_calibrator", lambda config: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                correctness_run.run(config, first)
        assert len(first.steps) < 5 * 4  # a learning rate that makes it worse and worse
        correctness_run.run(config, resumed)
        assert resumed.steps == first.steps

    def test_the_default_calibration_does_not_depend_on_the_scale_of_the_scores(self, run):
        calibrator = json.loads((run / "true" / "calibrator.json").read_text())
        assert calibrator["standardize"] is True and calibrator["sd"] > 0

    def test_next_token_without_training(self, tiny, run):
        updates = {
            "model_name": tiny, "method": "next_token", "train_data_path": str(run / "labelled.jsonl"),
            "fine_tune": False, "few_shot": 2, "resamples": 50, "output_dir": str(run / "asked"),
        }  # fmt: skip
        correctness_run.run(train_true_model._DEFAULTS | updates, None)
        model = load_correctness_model(run / "asked")
        assert model.scorer.kind == "next_token" and "decision was correct\n\n" in model.scorer.text_format.examples

    @pytest.mark.parametrize(
        "updates, message",
        [
            ({"learning_rat": 1}, "Did you mean 'learning_rate'"),
            ({"method": "magic"}, "must be one of value_head, next_token"),
            ({"learning_rate": "fast"}, "'learning_rate' must be int or float"),
            ({"val_share": 0.5, "cal_share": 0.5}, "leave nothing to train on"),
            ({"few_shot": 2}, "are for method=next_token"),
            ({"train_data_path": "a.csv", "cal_data_path": "b.csv"}, "both, or neither"),
            ({"true_data_dir": "x", "train_data_path": "a.csv"}, "leave train_data_path out"),
            ({"trainer": {"hub_token": "hf_" + "a" * 34}}, "looks like a credential"),
        ],
    )
    def test_mistakes_in_the_configuration(self, updates, message):
        defaults = train_true_model._DEFAULTS
        with pytest.raises(ConfigError, match=message):
            check_training(defaults | updates, defaults)

    def test_a_mistake_is_reported_without_a_traceback(self, run):
        output = script("train_true_model.py", run, "train_data_path=none.jsonl", fails=True)
        assert "there is no such file" in output and "Traceback" not in output

    def test_a_comparison_in_two_splits_is_refused(self, run):
        paths = {f"{split}_data_path": str(run / "labelled.jsonl") for split in ("train", "val", "cal")}
        with pytest.raises(ValueError, match="60 comparisons are both in train and in val; first: row 0 of val"):
            load_correctness_data(base_config(**paths))

    def test_the_splits_of_the_demo_share_no_question(self):
        data = load_correctness_data(base_config())
        clusters = [set(part.clusters) for part in (data.train, data.val, data.cal)]
        assert not clusters[0] & clusters[1] and not clusters[0] & clusters[2] and not clusters[1] & clusters[2]

    def test_the_published_splits_and_doubled_orders(self, shared_dir):
        root = shared_dir / "data" / "rapl"
        if not (root / "TRUE").is_dir():
            pytest.skip(f"no TRUE data at {root}")
        data = load_correctness_data(base_config(true_data_dir=str(root), context_columns=["confidence_scores"]))
        assert [len(part) for part in (data.train, data.val, data.cal)] == [690, 230, 230]
        doubled = read_comparisons(load_true_split(root, "train", 0, repeated_orders=True))
        ours = data.train.both_orders()
        assert (ours.response_a, ours.response_b) == (doubled.response_a, doubled.response_b)
        np.testing.assert_array_equal(ours.correct, doubled.correct)


def scoring_config(**updates) -> dict:
    return score_reliability._DEFAULTS | updates


class TestScoring:
    def test_the_command_line(self, run):
        output = script("score_reliability.py", run, "model_path=true", "output_path=demo.parquet")
        assert "480 rows: mean reliability" in output
        assert pd.read_parquet(run / "demo.parquet")["reliability"].between(0, 1).all()

    @pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
    def test_the_column_is_added(self, run, suffix):
        pairs = table(7, 2).rename(columns={"response_a": "chosen", "response_b": "rejected"}).drop(columns="correct")
        pairs.to_parquet(run / "pairs.parquet")
        output = run / f"out.{suffix}"
        score_run.run(
            scoring_config(model_path=str(run / "true"), data_path=str(run / "pairs.parquet"), output_path=str(output))
        )
        read = {"parquet": pd.read_parquet, "csv": pd.read_csv, "jsonl": lambda p: pd.read_json(p, lines=True)}
        scored = read[suffix](output)
        expected = load_correctness_model(run / "true").predict(pairs)
        np.testing.assert_allclose(scored["reliability"], expected, atol=1e-6)
        pd.testing.assert_frame_equal(scored.drop(columns="reliability"), pairs, check_dtype=False)
        meta = json.loads((run / f"out.{suffix}.meta.json").read_text())
        assert meta["rows"] == 7 and meta["below_half"] == int((expected < 0.5).sum())
        assert not list(run.glob(".out*"))

    def test_nearly_constant_predictions_are_announced_and_recorded(self, run, monkeypatch, caplog):
        monkeypatch.chdir(run)

        class Constant:
            spread = 0.0

            def __init__(self, path):
                pass

            def predict(self, part):
                return 0.7 + self.spread * np.resize([-1, 1], len(part))

        monkeypatch.setattr(score_run, "load_correctness_model", Constant)
        config = scoring_config(model_path="true", output_path="flat.parquet")
        with caplog.at_level("WARNING"):
            score_run.run(config)
        assert json.loads(Path("flat.parquet.meta.json").read_text())["nearly_constant"] is True
        assert "nearly the same" in caplog.text
        caplog.clear()
        Constant.spread = 0.1
        score_run.run(config)
        assert json.loads(Path("flat.parquet.meta.json").read_text())["nearly_constant"] is False
        assert "nearly the same" not in caplog.text

    def test_an_interrupted_run_continues(self, run, monkeypatch):
        monkeypatch.chdir(run)
        table(25, 3).to_json("more.jsonl", orient="records", lines=True)
        config = scoring_config(
            model_path="true", data_path="more.jsonl", output_path="more.parquet", rows_per_part=10
        )
        loaded = score_run.load_correctness_model

        class Killed(Exception):
            pass

        class DiesInTheSecondPart:
            parts = 0

            def __init__(self, path):
                self.model = loaded(path)

            def predict(self, part):
                self.parts += 1
                if self.parts == 2:
                    raise Killed
                return self.model.predict(part)

        monkeypatch.setattr(score_run, "load_correctness_model", DiesInTheSecondPart)
        with pytest.raises(Killed):
            score_run.run(config)
        assert not Path("more.parquet").exists()
        with Path(".more.parquet.parts.jsonl").open("a") as file:
            file.write("[0.1, 0.")  # killed while it wrote
        monkeypatch.setattr(score_run, "load_correctness_model", DiesInTheSecondPart)
        with pytest.raises(Killed):  # the second part, then dies in the third
            score_run.run(config)
        monkeypatch.setattr(score_run, "load_correctness_model", loaded)
        assert score_run.run(config)["rows"] == 25
        np.testing.assert_allclose(
            pd.read_parquet("more.parquet")["reliability"], loaded("true").predict(table(25, 3)), atol=1e-6
        )

    @pytest.mark.parametrize(
        "updates, message",
        [
            ({"model_path": "nowhere"}, "no correctness.json in 'nowhere'"),
            ({"column": "eta"}, "have a column 'eta' already"),
            ({"data_path": "none.csv"}, "there is no such file"),
        ],
    )
    def test_mistakes_are_reported(self, run, updates, message):
        with pytest.raises(ConfigError, match=message):
            score_run.run(scoring_config(**{"model_path": str(run / "true"), **updates}))

    def test_an_unknown_kind_of_file_is_refused(self):
        with pytest.raises(ConfigError, match="must end with one of .parquet, .jsonl, .csv"):
            check_scoring(scoring_config(output_path="out.txt"), score_reliability._DEFAULTS)
