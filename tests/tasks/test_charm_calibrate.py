"""tasks/charm/calibrate.py: from files to calibrated pairs and their report."""

import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset

import trl_ext.arena as arena
from tasks.charm.calibrate import ex
from tasks.charm.calibrate_run import _mean_mismatch
from tasks.train_config import ConfigError
from trl_ext.data import load_preferences, validate_preferences


MODELS = {"loud": 1.5, "fair": 0.0, "plain": 0.0}
IDS = [f"q{i}" for i in range(120)]


def write_lines(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_run(folder, ratings=None):
    """What the scripts before this one leave: prompts, responses of three models, rewards and ratings."""
    generator = np.random.default_rng(0)
    common = generator.normal(size=len(IDS))
    scores = {model: common + generator.normal(size=len(IDS)) + mean for model, mean in MODELS.items()}
    prompts = [{"id": name, "prompt": f"Question {name}?"} for name in IDS]
    splits = ["calibration"] * 80 + ["heldout"] * 40
    write_lines(folder / "prompts.jsonl", [row | {"split": split} for row, split in zip(prompts, splits, strict=True)])
    for model in MODELS:
        rows = [row | {"response": f"{model} on {row['id']}", "model": model} for row in prompts]
        write_lines(folder / "responses" / f"{model}.jsonl", rows)
    of_models = [row | {"responses": [f"{m} on {row['id']}" for m in MODELS], "sources": [*MODELS]} for row in prompts]
    write_lines(folder / "scores" / "rm" / "input.jsonl", of_models)
    rewards = [
        {"prompt_id": name, "response_id": place, "source": model, "reward": float(scores[model][row])}
        for row, name in enumerate(IDS)
        for place, model in enumerate(MODELS)
    ]
    write_lines(folder / "scores" / "rm" / "rewards.jsonl", rewards)
    (folder / "scores" / "rm" / "rewards.jsonl.meta.json").write_text('{"finished": true}')
    lines = [f"{model},{rating}" for model, rating in (ratings or dict.fromkeys(MODELS, 1000)).items()]
    (folder / "ratings.csv").write_text("\n".join(["model,rating", *lines]) + "\n")
    return folder


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return write_run(tmp_path / "charm")


def run(folder, **config):
    return ex.run(config_updates={"output_dir": str(folder), "bootstrap": 200, **config}).result


def report_of(folder, rm="rm"):
    return json.loads((folder / "calibration" / rm / "report.json").read_text())


def test_finds_and_calibrates_the_overvalued_model(folder):
    result = run(folder)
    report = report_of(folder)
    (pair,) = report["pairs"]
    assert pair["model"] == "loud" and pair["mismatch_before"] > 0.5
    assert abs(pair["mismatch_after"]) <= 1 / 80 and pair["solution"]["attainable"]
    assert pair["offset_interval"]["ci_low"] < pair["offset"] < pair["offset_interval"]["ci_high"]
    before, after = report["heldout"]
    assert before["n"] == after["n"] == 40 and after["ci_low"] < after["mismatch"] < before["mismatch"]
    assert report["provenance"]["versions"]["scipy"] and report["provenance"]["command"]
    rows = load_preferences(str(folder / "calibration" / "rm" / "pairs.jsonl"))
    validate_preferences(rows)
    assert len(rows) == result["rows"] == 80 and sum(rows["flipped"]) == result["flipped"] == pair["flipped"]
    assert {row["id"].split(":")[0] for row in rows} == set(IDS[:80])  # none of the held-out prompts
    for row in rows:
        assert row["chosen"].startswith(row["source_chosen"])
        assert row["score_chosen"] - row["score_rejected"] + row["offset"] > 0


def test_done_once_with_the_same_settings(folder):
    run(folder)
    report, pairs = (folder / "calibration" / "rm" / name for name in ("report.json", "pairs.jsonl"))
    times = report.stat().st_mtime_ns, pairs.stat().st_mtime_ns
    run(folder)
    assert (report.stat().st_mtime_ns, pairs.stat().st_mtime_ns) == times
    with pytest.raises(ConfigError, match="results of another setting 'labels': 'hard' there, 'soft' here"):
        run(folder, labels="soft")
    (folder / "ratings.csv").write_text("model,rating\nloud,1001\nfair,1000\nplain,1000\n")
    with pytest.raises(ConfigError, match="results of another content of 'ratings'"):
        run(folder)
    pairs.write_text("torn")
    with pytest.raises(ConfigError, match="content of 'ratings'"):
        run(folder)
    run(folder, overwrite=True, labels="soft")
    assert 0.5 <= json.loads(pairs.read_text().splitlines()[0])["label"] < 1


def test_torn_pairs_are_written_again(folder):
    run(folder)
    pairs = folder / "calibration" / "rm" / "pairs.jsonl"
    content = pairs.read_text()
    pairs.write_text(content[:100])
    run(folder)
    assert pairs.read_text() == content


@pytest.mark.parametrize(
    ("config", "models"),
    [
        ({"pairs": "all", "method": "soft_paired"}, 3),
        ({"pairs": "extremes"}, 3),
        ({"overvalued": "fair", "reference": "loud", "method": "reference", "labels": "soft"}, 2),
        ({"reference": "fair", "pairs": "significant", "labels": "none", "mismatch_ties": "half"}, 2),
    ],
)
def test_other_rules(folder, config, models):
    run(folder, **config)
    report = report_of(folder)
    assert len(report["chosen_per_model"]) == models
    assert (report["joint"] is not None) == (config.get("pairs") in ("all", "extremes"))


def test_ratings_from_battles(folder):
    generator = np.random.default_rng(1)
    names = list(MODELS)
    battles = []
    for _ in range(300):
        first, second = generator.choice(3, size=2, replace=False)
        winner = ("model_a", "model_b", "tie")[generator.integers(3)]
        battles.append({"model_a": names[first], "model_b": names[second], "winner": winner})
    write_lines(folder / "battles.jsonl", battles)
    (folder / "ratings.csv").unlink()
    run(folder)
    report = report_of(folder)
    assert "Bradley" in report["ratings_method"] and math.isfinite(report["ratings"][0]["rating_low"])


def test_the_originals_files(folder, tmp_path):
    scores = tmp_path / "datasets" / "scores" / "RM"
    generator = np.random.default_rng(0)
    for model, mean in (("A", 2.0), ("B", 0.0)):
        columns = {"prompt": IDS, "response": [f"{model} {i}" for i in IDS], "score": generator.normal(mean, size=120)}
        Dataset.from_dict(columns).save_to_disk(str(scores / f"{model}_score"))
    config = [{"model_name": m, "model_path": "", "arena_score": s} for m, s in (("A", 1216), ("B", 1273))]
    (tmp_path / "pm_config.json").write_text(json.dumps(config))
    output = tmp_path / "datasets" / "calibrate" / "RM" / "A_B"
    options = {"pm_config_path": "pm_config.json", "overvalued_model": "A", "ref_model": "B"}
    run(folder, score_dataset_dir=str(scores), preference_output_dir=str(output), **options)
    rows = arena.read_original_pairs(output)
    assert len(rows) == 120 and rows["chosen"][0][0] == {"role": "user", "content": "q0"}
    report = report_of(folder, "RM")
    assert abs(report["pairs"][0]["mismatch_after"]) <= 1 / 120
    assert report["pairs"][0]["expected_win_rate"] == pytest.approx(0.41869852163108506)


def test_place_of_the_originals_layout(folder, tmp_path):
    output = tmp_path / "preferences"
    run(folder, preference_output_dir=str(output))
    written = arena.read_original_pairs(output)["chosen"][:]
    shutil.rmtree(output)
    run(folder, preference_output_dir=str(output))
    assert arena.read_original_pairs(output)["chosen"][:] == written
    time = (output / "dataset_info.json").stat().st_mtime_ns
    run(folder, preference_output_dir=str(output))
    assert (output / "dataset_info.json").stat().st_mtime_ns == time
    run(folder, preference_output_dir=str(tmp_path / "elsewhere"))
    assert arena.read_original_pairs(tmp_path / "elsewhere")["chosen"][:] == written
    with pytest.raises(ConfigError, match="name=... to keep both"):
        run(folder, labels="soft")


def test_other_covariance_of_the_ratings_is_another_content(folder):
    ratings = arena.RatingTable.from_ratings(dict.fromkeys(MODELS, 1000.0))
    for scale in (1.0, 400.0):
        arena.write_ratings(replace(ratings, covariance=scale * np.eye(3)), folder / "ratings.csv")
        if scale == 1.0:
            run(folder)
    with pytest.raises(ConfigError, match="another content of 'ratings'"):
        run(folder)


@pytest.mark.parametrize("content", ["{}", "[]", '{"settings": {', '{"settings": {}, "provenance": {"hashes": {}}}'])
def test_damaged_report(folder, content):
    path = folder / "calibration" / "rm" / "report.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(ConfigError, match="report.json is damaged: .* overwrite=True"):
        run(folder)
    run(folder, overwrite=True)


def test_interval_is_of_the_same_ties(folder):
    path = folder / "scores" / "rm" / "rewards.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    write_lines(path, [row | {"reward": round(4 * row["reward"]) / 4} for row in rows])
    run(folder, mismatch_ties="half")
    (pair,) = report_of(folder)["pairs"]
    assert pair["offset_interval"]["value"] == pair["offset"]


def test_an_undervalued_model_is_raised(tmp_path, caplog):
    folder = write_run(tmp_path / "charm", ratings={"loud": 1340, "fair": 1000, "plain": 1340})
    run(folder, mismatch_ties="half")
    report = report_of(folder)
    (pair,) = report["pairs"]
    assert pair["model"] == "plain" and pair["offset"] > 0
    assert report["all_pairs"]["mean_mismatch_after"] < report["all_pairs"]["mean_mismatch_before"]
    assert "rises" not in caplog.text


def test_offsets_that_misplace_a_model_are_a_warning(caplog):
    columns = dict(zip("abc", np.random.default_rng(0).normal(size=(3, 50)), strict=True))
    ratings = arena.RatingTable.from_ratings(dict.fromkeys("abc", 1000.0))
    pairs = [{"model": "b", "offset": 3.0}]
    found = _mean_mismatch({"mismatch_ties": "half"}, arena.ScoreTable.from_columns(columns), ratings, pairs)
    assert found["mean_mismatch_after"] > 0.5 > found["mean_mismatch_before"]
    assert "of all pairs of models rises" in caplog.text


def test_no_model_is_overvalued(tmp_path):
    folder = write_run(tmp_path / "charm", ratings={"loud": 1350, "fair": 1000, "plain": 1000})
    with pytest.raises(ConfigError, match="there is no pair to calibrate: .* Name overvalued and reference"):
        run(folder)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"labls": "soft"}, "unknown config key 'labls'. Did you mean 'labels'"),
        ({"method": "exact"}, "'method' must be one of paired, soft_paired, reference"),
        ({"temperature": 0.5}, "'temperature' is of method=soft_paired and method=reference"),
        ({"method": "soft_paired", "temperature": -1.0}, "'temperature' must be a positive number or 'std', got -1.0"),
        ({"level": 1.0}, "'level' must lie strictly between 0 and 1"),
        ({"min_margin": -0.1}, "'min_margin' must be at least 0"),
        ({"overvalued": "loud"}, "'overvalued' needs a 'reference'"),
        ({"overvalued": "loud", "reference": "loud"}, "needs another model as `reference`"),
        ({"overvalued": "quiet", "reference": "fair"}, "model 'quiet' is not in the table"),
        ({"reference": "fair", "ref_model": "fair"}, "two names of one setting"),
        ({"choice": "paper", "reference": "fair"}, "choice=paper names both models"),
        ({"pairs": "all", "reference": "fair"}, "pairs=all takes all models: leave 'reference' out"),
        ({"pairs": "extremes", "labels": "none"}, "labels=none needs all prompts"),
        ({"ratings": "a.csv", "battles": "b.jsonl"}, "set one of them"),
        ({"score_dataset_dir": "s", "responses": "r"}, "leave 'responses' out"),
        ({"ratings": "nowhere.csv"}, "nowhere.csv"),
        ({"rm": "other"}, "other"),
        ({"split": "training"}, "no prompts of the split 'training'; there are calibration, heldout"),
        ({"score_dataset_dir": "nowhere", "ratings": "charm/ratings.csv"}, "there is no folder 'nowhere'"),
    ],
)
def test_mistakes_are_reported_without_a_traceback(folder, config, message):
    with pytest.raises(ConfigError, match=message):
        run(folder, **config)


def test_rating_missing(tmp_path):
    folder = write_run(tmp_path / "charm", ratings={"loud": 1000, "fair": 1000})
    with pytest.raises(ConfigError, match="there is no rating of model 'plain'"):
        run(folder)


def test_response_missing(folder):
    path = folder / "responses" / "fair.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ConfigError, match="q119"):
        run(folder)


def test_several_reward_models(folder):
    (folder / "scores" / "second").mkdir()
    with pytest.raises(ConfigError, match="there are scores of rm, second"):
        run(folder)
