"""tasks/charm/evaluate.py on tiny reward models: files, figures, what it refuses, and that it scores nothing twice."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from tasks.charm.evaluate import ex
from tasks.charm.evaluate_config import KEYS, check_config
from tasks.charm.evaluate_report import _drift_notes
from tasks.config_keys import defaults
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext.arena import RewardDrift
from trl_ext.evaluation import Estimate


MODELS = ("policy-long", "policy-plain", "policy-short", "policy-other")
ADDED = {"policy-long": " so" * 9, "policy-plain": " yes", "policy-short": "", "policy-other": "\n- one\n- **two**"}


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def core_rows() -> list[dict]:
    return [
        {
            **{"id": 10 * s + i, "subset": subset, "prompt": f"Question {i} of {subset}?"},
            **{"chosen": "It is good." + " Indeed." * (i % 3), "rejected": "It is bad." + " Perhaps." * (i % 2)},
        }
        for s, subset in enumerate(("mt-bench-hard", "llmbar-natural"))
        for i in range(6)
    ]


def rm_bench_rows() -> list[dict]:
    return [
        {
            **{"id": f"{domain} {i}", "prompt": f"What of {domain} {i}?", "domain": domain},
            **{side: [f"{side} {i}", f"{side} {i} at length", f"**{side}** {i}"] for side in ("chosen", "rejected")},
        }
        for domain in ("chat", "math")
        for i in range(4)
    ]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A reward model, and the same with another head."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = tiny_tokenizer()
    paths = {}
    for name, noise in (("frozen", 0.0), ("calibrated", 0.5)):
        model = tiny_reward_model(tokenizer)
        with torch.no_grad():
            torch.manual_seed(1)
            model.score.weight.add_(noise * torch.randn_like(model.score.weight))
        paths[name] = folder / name
        model.save_pretrained(paths[name])
        tokenizer.save_pretrained(paths[name])
    return paths


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    ids = [f"{i:03d}" for i in range(30)]
    splits = ["heldout" if i % 3 else "calibration" for i in range(30)]
    rows = [{"id": i, "prompt": f"What is {i}?", "split": split} for i, split in zip(ids, splits, strict=True)]
    write_lines(folder / "prompts.jsonl", rows)
    for number, model in enumerate(MODELS):
        answers = [
            {
                **{"id": row["id"], "prompt": row["prompt"], "model": model},
                "response": f"{row['id'][::-1]} {number}{ADDED[model]}",
            }
            for row in rows
        ]
        write_lines(folder / "responses" / f"{model}.jsonl", answers)
    ratings = pd.DataFrame({"model": MODELS, "rating": [1200.0, 1150.0, 1100.0, 1180.0]})
    ratings.assign(rating_low=ratings["rating"] - 8, rating_high=ratings["rating"] + 8).to_csv(
        folder / "ratings.csv", index=False
    )
    pairs = [{"model": "policy-long", "reference": "Policy-Plain", "offset": -1.0}]
    (folder / "report.json").write_text(json.dumps({"pairs": pairs}))
    human = [
        {
            **{"id": f"h{i}", "prompt": f"Why {i}?", "chosen": f"Since {i}", "rejected": f"It is {i} so"},
            **{"correct_chosen": int(i % 4 > 0), "cluster": f"q{i // 2}"},
        }
        for i in range(24)
    ]
    write_lines(folder / "human.jsonl", human)
    write_lines(folder / "core.jsonl", core_rows())
    write_lines(folder / "rm_bench.jsonl", rm_bench_rows())
    return folder


def settings(models, inputs, /, **config):
    return {
        **{"before": str(models["frozen"]), "after": str(models["calibrated"]), "progress": False, "draws": 200},
        **{key: str(inputs / name) for key, name in (("prompts", "prompts.jsonl"), ("ratings", "ratings.csv"))},
        **{"responses": str(inputs / "responses"), "output_dir": "out", "prompt_format": "text"},
        **config,
    }


def run(models, inputs, /, **config):
    return ex.run(config_updates=settings(models, inputs, **config)).result


@pytest.fixture(scope="module")
def finished(models, inputs, tmp_path_factory):
    """The folder of a run with everything, and what it returned."""
    folder = tmp_path_factory.mktemp("run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        result = run(
            *(models, inputs),
            calibrated=str(inputs / "report.json"),
            human_pairs=str(inputs / "human.jsonl"),
            rewardbench=str(inputs / "core.jsonl"),
            rm_bench=str(inputs / "rm_bench.jsonl"),
        )
    return folder / "out" / "evaluation", result


class TestRun:
    def test_files(self, finished):
        folder, _ = finished
        written = {path.name for path in (folder / "calibrated").iterdir()}
        assert written >= {"results.json", "table.md", "mismatch_pairs.csv", "mismatch_summary.csv", "drift.csv"}
        assert written >= {"rewardbench.csv", "rm_bench.csv", "order_within_models.csv"}
        assert {path.name for path in (folder / "scores").iterdir()} == {"frozen", "calibrated"}

    def test_plots(self, finished):
        pytest.importorskip("matplotlib")
        folder, _ = finished
        drawn = json.loads((folder / "calibrated" / "results.json").read_text())["plots"]
        assert drawn and all((folder / "calibrated" / name).stat().st_size > 5000 for name in drawn.values())

    def test_figures_are_those_of_the_scores(self, finished):
        folder, result = finished
        record = json.loads((folder / "calibrated" / "results.json").read_text())
        assert record["data"]["prompts"] == 20 and record["data"]["split"] == "heldout"
        assert record["mismatch"]["calibrated"] == [["policy-long", "policy-plain"]]
        lines = [
            json.loads(line) for line in (folder / "scores/frozen/responses/rewards.jsonl").read_text().splitlines()
        ]
        rewards = pd.DataFrame(lines).pivot(index="prompt_id", columns="source", values="reward")
        pairs = pd.read_csv(folder / "calibrated" / "mismatch_pairs.csv").set_index(["model", "reference"])
        share = (rewards["policy-long"] > rewards["policy-plain"]).mean()
        assert pairs.loc[("policy-long", "policy-plain"), "win_rate_before"] == pytest.approx(share)
        assert pairs.loc[("policy-long", "policy-plain"), "group"] == "calibrated"
        assert pairs.loc[("policy-short", "policy-other"), "group"] == "held_out"
        human = record["human_pairs"]
        assert human["n_pairs"] == 24 and human["n_clusters"] == 12 and human["auc_before"] is not None
        change = human["accuracy_after"]["value"] - human["accuracy_before"]["value"]
        assert human["accuracy_change"]["value"] == pytest.approx(change)
        assert result["calibrated"]["accuracy on human pairs"] == pytest.approx(change)
        assert set(record["benchmarks"]["rewardbench"]) == {"Chat Hard"}
        assert set(record["benchmarks"]["rm_bench"]) == {"overall", "hard", "normal", "easy", "chat", "math"}
        assert record["drift"]["constant_features"] == ["headers", "code_blocks"]
        assert record["provenance"]["before"]["sha256"] != record["provenance"]["after"]["sha256"]

    def test_table(self, finished):
        folder, _ = finished
        text = (folder / "calibrated" / "table.md").read_text()
        for name in ("calibrated pairs", "held-out pairs", "human pairs", "RewardBench Chat Hard", "RM-Bench hard"):
            assert name in text
        assert "than -1 points" in text

    def test_a_second_run_scores_nothing_again(self, finished, models, inputs, monkeypatch):
        folder, _ = finished
        monkeypatch.chdir(folder.parents[1])
        before = {path: path.stat().st_mtime_ns for path in folder.glob("scores/*/*/rewards.jsonl")}
        run(models, inputs, calibrated=[["policy-long", "policy-plain"]], name="again", plots=False)
        assert {path: path.stat().st_mtime_ns for path in folder.glob("scores/*/*/rewards.jsonl")} == before
        again = json.loads((folder / "again" / "results.json").read_text())
        first = json.loads((folder / "calibrated" / "results.json").read_text())
        assert again["mismatch"] == first["mismatch"] and again["human_pairs"] is None

    def test_scores_of_other_prompts_are_not_mixed_in(self, finished, models, inputs, monkeypatch):
        folder, _ = finished
        monkeypatch.chdir(folder.parents[1])
        with pytest.raises(ConfigError, match="overwrite"):
            run(models, inputs, split="all", name="all")


class TestMistakes:
    @pytest.fixture(autouse=True)
    def in_a_folder(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"prompts": "nowhere.jsonl"}, "prompts: there is no nowhere.jsonl"),
            ({"ratings": "nowhere.csv"}, "ratings: there is no nowhere.csv"),
            ({"models": ["policy-long", "nobody"]}, "no responses of model 'nobody'"),
            ({"calibrated": [["policy-long", "nobody"]]}, "calibrated model 'nobody'"),
            ({"calibrated": "nowhere.json"}, "can't read nowhere.json"),
            ({"human_pairs": "nowhere.jsonl"}, "nowhere.jsonl"),
        ],
    )
    def test_are_named_before_a_model_is_loaded(self, models, inputs, config, message, monkeypatch):
        monkeypatch.setattr("tasks.charm.evaluate_run.score_model", None)
        with pytest.raises(ConfigError, match=message):
            run(models, inputs, **config)

    def test_without_held_out_prompts(self, models, inputs, tmp_path):
        rows = [
            json.loads(line) | {"split": "calibration"} for line in (inputs / "prompts.jsonl").read_text().splitlines()
        ]
        path = write_lines(tmp_path / "prompts.jsonl", rows)
        with pytest.raises(ConfigError, match="no prompts of split 'heldout'; its splits are 'calibration'"):
            run(models, inputs, prompts=str(path))

    def test_a_prompt_without_responses(self, models, inputs, tmp_path):
        rows = [json.loads(line) for line in (inputs / "prompts.jsonl").read_text().splitlines()]
        path = write_lines(tmp_path / "prompts.jsonl", [*rows, {"id": "new", "prompt": "And?", "split": "heldout"}])
        with pytest.raises(ConfigError, match="1 of 21 prompts .* first: id 'new'"):
            run(models, inputs, prompts=str(path))

    def test_a_model_without_rating(self, models, inputs, tmp_path):
        ratings = pd.read_csv(inputs / "ratings.csv").iloc[1:]
        ratings.to_csv(tmp_path / "ratings.csv", index=False)
        with pytest.raises(ConfigError, match="no rating of model 'policy-long'"):
            run(models, inputs, ratings=str(tmp_path / "ratings.csv"))

    def test_a_label_column_with_other_values(self, models, inputs, tmp_path):
        rows = [json.loads(line) for line in (inputs / "human.jsonl").read_text().splitlines()]
        rows[3]["correct_chosen"] = 2
        path = write_lines(tmp_path / "human.jsonl", rows)
        with pytest.raises(ConfigError, match="first: row 3, id 'h3', value 2"):
            run(models, inputs, human_pairs=str(path))

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"after": "b"}, "set `before`"),
            ({"before": "a"}, "set `after`"),
            ({"before": "a", "after": ["b", 3]}, "list of names"),
            ({"before": "a", "after": ["b", "c"], "name": "x"}, "several"),
            ({"before": "a", "after": "b", "calibrated": [["x"]]}, "pairs of models"),
            ({"before": "a", "after": "b", "split": "test"}, "one of heldout"),
            ({"before": "a", "after": "b", "level": 1.5}, "level"),
            ({"before": "a", "after": "b", "draws": 10}, "draws"),
            ({"before": "a", "after": "b", "not_worse_than": 1.5}, "not_worse_than"),
            ({"before": "a", "after": "b", "name": "../../../x"}, "'name' must be a name for a folder"),
            ({"before": "a", "after": "b", "name": "scores"}, "can't be 'scores'"),
            ({"before": "a", "after": "b", "seed": -1}, "'seed' must be at least 0"),
            ({"before": "a", "after": "b", "befor": 1}, "unknown config key"),
            ({"before": "a", "after": "b", "hf_token": "x"}, "HF_TOKEN"),
        ],
    )
    def test_in_the_configuration(self, config, message):
        with pytest.raises(ConfigError, match=message):
            check_config(defaults(KEYS) | config)

    def test_models_that_would_share_a_folder(self, models, inputs):
        with pytest.raises(ConfigError, match="given twice"):
            run(models, inputs, after=str(models["frozen"]))
        assert not np.any([path.suffix == ".json" for path in Path("out").rglob("*")])

    def test_a_model_of_the_name_of_the_folder_of_rewards(self, models, inputs):
        with pytest.raises(ConfigError, match="'after' can't be 'scores'"):
            run(models, inputs, after="models/scores")


def test_equal_formats_and_a_prompt_that_a_model_did_not_answer(models, inputs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, model in enumerate(MODELS):
        path = inputs / "responses" / f"{model}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        rows = [row | {"response": f"{row['id'][::-1]} {number}"} for row in rows]
        if number == 1:
            rows[1]["response"] = None
        write_lines(tmp_path / "responses" / path.name, rows)
    config = {"responses": str(tmp_path / "responses"), "plots": False}
    with pytest.raises(ConfigError, match="Set on_failure='drop'"):
        run(models, inputs, **config)
    run(models, inputs, on_failure="drop", **config)
    record = json.loads((tmp_path / "out/evaluation/calibrated/results.json").read_text())
    assert record["data"]["prompts"] == 19 and record["drift"] is None
    assert "no feature varies" in record["drift_note"]
    assert "Drift was not measured" in (tmp_path / "out/evaluation/calibrated/table.md").read_text()


def test_a_growing_dislike_is_not_called_liking():
    features = pd.DataFrame(
        {
            **{"feature": ["lists", "words", "bold"], "measure": "joint_slope"},
            **{"before": [-0.02, 0.5, -0.4], "after": [-0.71, 0.1, 0.3]},
        }
    )
    order = pd.DataFrame({"spearman": [0.9]})
    estimate = Estimate(0.9, 0.1, 0.8, 1.0, 20, "")
    scale = {"within_prompt_sd_before": 1.0, "within_prompt_sd_after": 1.0, "spearman": estimate}
    drift = RewardDrift(features, ("lists", "bold"), ("words", "bold"), True, scale, order, ())
    note = _drift_notes(drift)[0]
    assert "the disliking of lists grew" in note and "the liking of words fell" in note
    assert "the disliking of bold fell" in note and "the liking of bold grew" in note
