import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset, load_from_disk
from scipy.special import expit

from tasks.annotators.oracle_calibration import (
    CALIBRATIONS,
    calibrator_settings,
    cross_fit,
    split_clusters,
    swap_pairs,
    turned,
)
from tasks.annotators.prepare_oracle_data import ex
from tasks.annotators.probability_sets import load_probabilities
from tasks.train_config import ConfigError
from tests.processes import ROOT, environment
from tests.tiny import pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.evaluation import expected_calibration_error
from trl_ext.reliability.calibrators import load_calibrator
from trl_ext.scoring.outputs import ScoreFile


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("oracle")
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def run(**config):
    return ex.run(config_updates={"progress": False, "resamples": 50, "skip_plots": True} | config).result


def report(folder="outputs/oracle-demo"):
    return json.loads(Path(folder, "report.json").read_text())


def preferences(count, path="rows.jsonl", seed=0):
    """Pairs whose label has nothing to do with the text, so that an untrained model orders some as labelled."""
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in pairs(count)))
    return path


class TestDemo:
    def test_true_scores_probabilities_and_files(self):
        figures = run(skip_plots=False)
        table = load_from_disk("outputs/oracle-demo/pairs")
        assert len(table) == 738
        assert table.features["chosen_score"].dtype == table.features["preference_score"].dtype == "float64"
        d = np.array(table["chosen_score"]) - np.array(table["rejected_score"])
        np.testing.assert_allclose(table["preference_score"], expit(d), rtol=1e-12)
        written = report()
        # folded: c̄ of an expert without doubt is the mean of 2|2p - 1|/2
        assert written["figures"]["c_bar"]["raw"]["value"] == pytest.approx(np.abs(2 * expit(d) - 1).mean(), rel=1e-9)
        assert figures["c_bar.raw"] == written["figures"]["c_bar"]["raw"]["value"]
        assert written["provenance"]["config"]["source"] == "demo" and written["provenance"]["pairs_sha256"]
        for name in ("calibration_raw", "calibration_calibrated"):
            assert Path("outputs/oracle-demo", f"{name}.png").stat().st_size > 5000
            assert Path("outputs/oracle-demo", f"{name}.csv").exists()

    def test_the_truth_is_calibrated_already(self):
        for seed in (0, 1, 2):  # labels, swaps and halves must not hang together
            run(seed=seed, resamples=200)
            raw = report()["figures"]["calibration"]["raw"]
            assert raw["ece"]["value"] < raw["ece_if_calibrated"]["ci_high"]
            gain = report()["figures"]["brier_gain"]
            assert gain["ci_low"] < 0.001 and abs(gain["value"]) < 0.003

    def test_every_probability_is_by_the_calibrator_of_the_other_half(self):
        run(calibration="histogram", n_bins=8)
        table = load_from_disk("outputs/oracle-demo/pairs")
        probabilities = np.array(table["preference_probability"])
        d = np.array(table["chosen_score"]) - np.array(table["rejected_score"])
        swapped, fold = np.array(table["swapped"]), np.array(table["calibration_fold"])
        scores = np.where(swapped, -d, d)
        for half in (0, 1):
            calibrator = load_calibrator(f"outputs/oracle-demo/calibrator_half_{half}.json")
            expected = turned(calibrator.predict(scores[fold == half]), swapped[fold == half])
            np.testing.assert_allclose(probabilities[fold == half], expected, rtol=1e-12)
            assert calibrator.fit_record.n == 2 * (fold != half).sum()  # both orders
            assert str(1 - half) in calibrator.fit_record.fitted_on
        assert load_calibrator("outputs/oracle-demo/calibrator.json").fit_record.n == 2 * 738
        questions = np.array(table["question_id"])
        assert not set(questions[fold == 0]) & set(questions[fold == 1])

    def test_probability_sets_read_it(self):
        run()
        table = load_from_disk("outputs/oracle-demo/pairs")
        for place in ("outputs/oracle-demo", "outputs/oracle-demo/pairs"):
            np.testing.assert_array_equal(load_probabilities(place), table["preference_probability"])
        run(calibration="none", output_dir="plain")
        np.testing.assert_array_equal(load_probabilities("plain"), load_from_disk("plain/pairs")["preference_score"])
        assert not list(Path("plain").glob("calibrator*"))

    def test_the_same_seed_gives_the_same_rows(self):
        run(output_dir="a")
        run(output_dir="b")
        run(output_dir="c", seed=1)
        a, b, c = (load_from_disk(f"{name}/pairs").to_pandas() for name in "abc")
        assert a.equals(b) and not a.equals(c)

    def test_calibrators_of_an_earlier_run_do_not_stay(self):
        run()
        run(calibration="none")
        assert not list(Path("outputs/oracle-demo").glob("calibrator*"))


class TestCrossFit:
    def simulate(self, sharpness, n=4000, seed=0):
        """True logits, and differences of an oracle that is `sharpness` times as sure; oriented by a drawn label."""
        rng = np.random.default_rng(seed)
        logits = rng.normal(size=n) * 1.2
        logits = np.where(rng.random(n) < expit(logits), logits, -logits)
        return logits, sharpness * logits, np.arange(n) // 4

    @pytest.mark.parametrize("kind", [kind for kind in CALIBRATIONS if kind != "none"])
    def test_repairs_an_oracle_that_is_too_sure(self, kind):
        logits, differences, clusters = self.simulate(3.0)
        fitted = cross_fit(differences, clusters, kind, calibrator_settings(kind, 15, 0.0))
        labels = 1.0 - fitted.swapped
        errors = [
            expected_calibration_error(turned(p, fitted.swapped), labels, resamples=2).value
            for p in (expit(differences), fitted.probabilities)
        ]
        assert errors[1] < 0.03 < 0.1 < errors[0]
        assert np.abs(fitted.probabilities - expit(logits)).mean() < 0.03

    def test_platt_finds_the_sharpness(self):
        _, differences, clusters = self.simulate(3.0, n=20000)
        calibrator = cross_fit(differences, clusters, "platt", {"C": 1e10}).calibrator
        assert calibrator.coef == pytest.approx(1 / 3, rel=0.05)
        assert calibrator.intercept == pytest.approx(0, abs=1e-6)  # both orders: no first is preferred as such

    @pytest.mark.parametrize("kind", ["platt", "isotonic", "temperature"])
    def test_both_orders_of_a_pair_add_up_to_one(self, kind):
        _, differences, clusters = self.simulate(2.0, n=400)
        calibrator = cross_fit(differences, clusters, kind, calibrator_settings(kind, 10, 0.0)).calibrator
        d = np.linspace(-4, 4, 41)
        np.testing.assert_allclose(calibrator.predict(d) + calibrator.predict(-d), 1, atol=1e-5)

    def test_in_the_order_drawn_as_in_the_paper(self):
        _, differences, clusters = self.simulate(2.0, n=400)
        fitted = cross_fit(differences, clusters, "platt", {"C": 1e10}, both_orders=False, seed=3)
        swapped = swap_pairs(400, 3)
        np.testing.assert_array_equal(fitted.swapped, swapped)
        first = fitted.by_fold[0]
        rows = fitted.fold == 1
        assert first.was_fitted_on(np.where(swapped, -differences, differences)[rows], 1.0 - swapped[rows])

    def test_halves_are_even_and_keep_prompts_together(self):
        clusters = np.repeat(np.arange(51), 3)
        fold = split_clusters(clusters, 0)
        assert [(fold == half).sum() for half in (0, 1)] == [26 * 3, 25 * 3]
        assert all(len(set(fold[clusters == cluster])) == 1 for cluster in range(51))

    def test_refuses_labels_made_of_the_scores(self):
        with pytest.raises(ValueError, match="in all 9 pairs that it does not tie: the labels were made of these"):
            cross_fit(np.arange(10.0), np.arange(10), "platt", {})

    def test_refuses_a_single_prompt(self):
        with pytest.raises(ValueError, match="all pairs share a prompt"):
            cross_fit(np.array([1.0, -1.0]), np.zeros(2), "platt", {})


class TestRewardModel:
    def test_scores_are_those_of_the_scorer(self, reward_model):
        source = preferences(40)
        run(source=source, oracle=reward_model, output_dir="out")
        table = load_from_disk("out/pairs")
        responses = [list(pair) for pair in zip(table["chosen"], table["rejected"], strict=True)]
        expected = np.array(RewardScorer(reward_model, progress=False).score(list(table["prompt"]), responses))
        np.testing.assert_allclose(table["chosen_score"], expected[:, 0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(table["rejected_score"], expected[:, 1], rtol=1e-5, atol=1e-6)
        assert report("out")["scoring"]["model"]["sha256"]

    def test_refuses_a_model_without_a_trained_head(self, tmp_path):
        source = preferences(4)
        with pytest.raises(ConfigError, match="has no trained reward head"):
            run(source=source, oracle=tiny_checkpoint(tmp_path / "language"), output_dir="out")
        assert not Path("out/pairs").exists()

    def test_interrupted_scoring_is_continued_and_nothing_is_scored_twice(self, reward_model, monkeypatch):
        config = {"source": preferences(40), "oracle": reward_model, "window_size": 16, "output_dir": "out"}
        run(**config | {"output_dir": "whole"})
        append, written = ScoreFile.append, []

        def interrupt(self, labels, rewards):
            if len(written) == 3:
                raise KeyboardInterrupt
            written.append(len(rewards))
            append(self, labels, rewards)

        monkeypatch.setattr(ScoreFile, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(**config)
        before = Path("out/scores/scores.jsonl").read_bytes()
        assert before.count(b"\n") == 48 and not Path("out/report.json").exists()
        monkeypatch.setattr(ScoreFile, "append", append)
        run(**config)
        assert Path("out/scores/scores.jsonl").read_bytes().startswith(before)
        assert report("out")["scoring"]["timing"]["responses"] == 80 - 48
        assert load_from_disk("out/pairs").to_pandas().equals(load_from_disk("whole/pairs").to_pandas())

    def test_a_new_calibration_does_not_score_again(self, reward_model):
        config = {"source": preferences(40), "oracle": reward_model, "output_dir": "out"}
        run(**config)
        stamp = os.stat("out/scores/scores.jsonl").st_mtime_ns
        run(**config, calibration="isotonic")
        assert os.stat("out/scores/scores.jsonl").st_mtime_ns == stamp

    def test_other_settings_need_overwrite(self, reward_model):
        config = {"source": preferences(20), "oracle": reward_model, "output_dir": "out", "calibration": "none"}
        run(**config)
        with pytest.raises(ConfigError, match="begun with other settings.*overwrite"):
            run(**config, dtype="bfloat16")
        run(**config, dtype="bfloat16", overwrite=True)

    @pytest.mark.slow
    def test_killed_scoring_is_continued(self, reward_model, tmp_path):
        preferences(200)
        settings = ["source=rows.jsonl", f"oracle={reward_model}", "window_size=20", "output_dir=out"]
        settings += ["max_tokens_per_batch=64", "skip_plots=True", "progress=False"]
        command = [sys.executable, str(ROOT / "tasks/annotators/prepare_oracle_data.py"), "with", *settings]
        scores = tmp_path / "out" / "scores" / "scores.jsonl"
        process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stderr=subprocess.DEVNULL)
        while process.poll() is None and (not scores.exists() or scores.read_bytes().count(b"\n") < 60):
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = scores.read_bytes().count(b"\n")
        assert 60 <= before < 400
        subprocess.run(command, cwd=tmp_path, env=environment(), check=True, stderr=subprocess.DEVNULL)
        assert report("out")["scoring"]["timing"]["responses"] == 400 - before // 20 * 20
        run(source="rows.jsonl", oracle=reward_model, output_dir="whole", window_size=20, max_tokens_per_batch=64)
        assert load_from_disk("out/pairs").to_pandas().equals(load_from_disk("whole/pairs").to_pandas())


def test_scores_that_the_data_brings():
    rows = {"chosen": [f"a{i}" for i in range(60)], "rejected": [f"b{i}" for i in range(60)]}
    rng = np.random.default_rng(0)
    rows |= {"chosen_score": rng.normal(0.5, 1, 60), "rejected_score": rng.normal(0, 1, 60)}
    Dataset.from_dict(rows).to_parquet("rows.parquet")
    run(source="skywork", data_path="rows.parquet", oracle="dataset", output_dir="out")
    np.testing.assert_array_equal(load_from_disk("out/pairs")["chosen_score"], rows["chosen_score"])


def test_conversations_are_scored_whole(reward_model):
    talks = [
        [{"role": "user", "content": f"What is {i}?"}, {"role": "assistant", "content": f"It is {i + k}."}]
        for k in (0, 1)
        for i in range(20)
    ]
    Dataset.from_dict({"chosen": talks[:20], "rejected": talks[20:]}).save_to_disk("rows")
    run(source="pku", data_path="rows", oracle=reward_model, output_dir="out", calibration="none")
    table = load_from_disk("out/pairs")
    prompts = [talk[:1] for talk in talks[:20]]
    answers = [[chosen[1:], rejected[1:]] for chosen, rejected in zip(talks[:20], talks[20:], strict=True)]
    expected = np.array(RewardScorer(reward_model, progress=False).score(prompts, answers))
    np.testing.assert_allclose(table["chosen_score"], expected[:, 0], rtol=1e-5, atol=1e-6)
    assert table["chosen"][:] == talks[:20]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"calibration": "spline"}, "'calibration' must be one of platt"),
        ({"orcale": "demo"}, "Did you mean 'oracle'"),
        ({"n_bins": 0}, "'n_bins' must be at least 1"),
        ({"level": 95.0}, "'level' must lie strictly between"),
        ({"both_orders": "yes"}, "'both_orders' must be bool"),
        ({"data_path": "x.parquet"}, "data_path is the copy of a named source"),
        ({"source": "x.parquet"}, "set output_dir"),
        ({"source": "nowhere.parquet", "output_dir": "out"}, "can't load preferences from 'nowhere.parquet'"),
        ({"oracle": "dataset"}, "oracle=dataset takes the scores that the data brings"),
        ({"hf_token": "hf_" + "x" * 34}, "looks like a credential"),
    ],
)
def test_mistakes_are_reported_without_a_traceback(config, message):
    with pytest.raises(ConfigError, match=message):
        run(**config)


def test_the_paper_calibrates_with_thirty_bins(tmp_path):
    result = ex.run(named_configs=["paper"], config_updates={"skip_plots": True, "resamples": 50, "output_dir": "out"})
    assert result.config["n_bins"] == 30 and result.config["both_orders"] is False
    assert json.loads(Path("out/calibrator.json").read_text())["smoothing"] == 0


def test_files_of_an_earlier_calibration_are_removed():
    run(skip_plots=False)
    folder = Path("outputs/oracle-demo")
    assert len(list(folder.glob("calibration_*.*"))) == 4 and len(list(folder.glob("calibrator*.json"))) == 3
    (folder / "calibration_notes.txt").touch()
    run(calibration="none", skip_plots=False)
    assert [path.name for path in folder.glob("calibrat*")] == ["calibration_notes.txt"]
