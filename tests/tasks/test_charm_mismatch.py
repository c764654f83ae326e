"""tasks/charm/mismatch.py: from stored responses to the models that a reward model over-values."""

import json

import pandas as pd
import pytest

from tasks.charm.mismatch import ex
from tasks.charm.mismatch_config import MISMATCH_KEYS, check_mismatch_config
from tasks.config_keys import defaults
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer


MODELS = ("loud", "fair", "plain")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mismatch")
    tokenizer = tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(folder / "rm")
    tokenizer.save_pretrained(folder / "rm")
    (folder / "responses").mkdir()
    for place, model in enumerate(MODELS):
        rows = [
            {"id": f"q{i}", "prompt": f"Question {i}?", "response": "good " * (place + 1) + str(i), "model": model}
            for i in range(30)
        ]
        (folder / "responses" / f"{model}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "ratings.csv").write_text("model,rating\nloud,1000\nfair,1000\nplain,1000\n")
    return folder


def test_every_pair_has_its_interval_and_the_files_are_complete(folder, monkeypatch):
    monkeypatch.chdir(folder)
    run = ex.run(config_updates={"model": "rm", "output_dir": ".", "draws": 200, "progress": False, "plots": True})
    results = json.loads((folder / "mismatch" / "rm" / "report.json").read_text())
    table = pd.read_csv(folder / "mismatch" / "rm" / "mismatch.csv")
    assert {tuple(sorted(pair)) for pair in table[["model", "reference"]].to_numpy()} == {
        ("fair", "loud"), ("loud", "plain"), ("fair", "plain"),
    }  # fmt: skip
    scores = pd.read_json(folder / "scores" / "rm" / "rewards.jsonl", lines=True).pivot(
        index="prompt_id", columns="source", values="reward"
    )
    for row in table.to_dict("records"):
        # equal ratings: half is expected, and the mismatch is (w - 1/2) / (1/2)
        won = (scores[row["model"]] > scores[row["reference"]]).mean()
        assert row["mismatch"] == pytest.approx(2 * won - 1) and row["ci_low"] <= row["mismatch"] <= row["ci_high"]
    assert len(results["mismatch"]) == len(table) and results["choice"] == run.result["choice"]
    assert results["data"]["prompts"] == 30 and {"command", "config", "versions"} <= results["provenance"].keys()
    for name in results["plots"].values():
        assert (folder / "mismatch" / "rm" / name).is_file()


def test_a_model_without_rating_is_told_before_anything_is_scored(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    ratings = tmp_path / "ratings.csv"
    ratings.write_text("model,rating\nloud,1000\nfair,1000\n")
    updates = {"model": "rm", "output_dir": str(tmp_path), "responses": "responses", "ratings": str(ratings)}
    with pytest.raises(ConfigError, match="plain"):
        ex.run(config_updates=updates)
    assert not (tmp_path / "scores").exists()


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({}, "set `model`"),
        ({"model": "rm", "level": 1.0}, "level"),
        ({"model": "rm", "draws": 3}, "draws"),
        ({"model": "rm", "ratngs": "x"}, "Did you mean 'ratings'"),
    ],
)
def test_mistakes(updates, message):
    with pytest.raises(ConfigError, match=message):
        check_mismatch_config(defaults(MISMATCH_KEYS) | updates)
