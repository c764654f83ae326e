import json

import pandas as pd
import pytest

from tasks.rapl.aggregate_labels import ex
from tasks.train_config import ConfigError
from trl_ext.data import PREFERENCE_COLUMNS, load_preferences, validate_preferences
from trl_ext.data.demo_votes import load_demo_votes


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(**config):
    return ex.run(config_updates=config).result


@pytest.mark.parametrize("method", ["majority_vote", "dawid_skene", "glad", "noisy_bradley_terry"])
def test_demo_is_aggregated_by_every_method(tmp_path, method):
    summary = run(method=method, output_dir="out", demo_votes_per_pair=3, ties="keep")
    assert summary["n_items"] == 492 and summary["n_annotators"] == 12 and summary["n_votes"] == 1476
    items, annotators = pd.read_csv("out/items.csv"), pd.read_csv("out/annotators.csv")
    assert len(items) == 492 and len(annotators) == 12
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert written["provenance"]["config"]["method"] == method and written["provenance"]["votes_sha256"]
    assert (tmp_path / "out" / "responses.csv").exists() == (method == "noisy_bradley_terry")


def test_dawid_skene_beats_the_majority_on_the_demo():
    assert run(method="dawid_skene")["accuracy"] > run(method="majority_vote")["accuracy"] + 0.05


def test_preferences_are_rows_that_the_trainers_take():
    run(output_dir="out", soft_labels=True)
    rows = load_preferences("out/preferences.jsonl")
    assert len(rows) == 492
    validate_preferences(rows, numeric_columns={name: PREFERENCE_COLUMNS[name] for name in ("label", "reliability")})
    truth = load_demo_votes()[1].set_index("item_id")
    expected = [
        truth.loc[row["id"], "response_a" if truth.loc[row["id"], "first_is_better"] else "response_b"] for row in rows
    ]
    correct = [row["chosen"] == text for row, text in zip(rows, expected, strict=True)]
    assert rows["correct_chosen"][:] == [int(ok) for ok in correct]


def test_files_with_other_column_names():
    votes, pairs = load_demo_votes(votes_per_pair=3)
    votes.rename(columns={"item_id": "pair", "annotator_id": "worker", "label": "vote"}).to_csv("v.csv", index=False)
    pairs.rename(columns={"item_id": "pair"}).to_json("p.jsonl", orient="records", lines=True)
    names = {"item_col_name": "pair", "annotator_col_name": "worker", "label_col_name": "vote"}
    summary = run(votes_path="v.csv", pairs_path="p.jsonl", output_dir="out", settings={"model": "two_coin"}, **names)
    assert summary["n_preferences"] == 492
    assert "sensitivity" in pd.read_csv("out/annotators.csv")
    assert json.loads(open("out/summary.json").read())["provenance"]["votes_file_sha256"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"method": "vote"}, "method must be one of majority_vote"),
        ({"settings": {"modle": "two_coin"}}, "dawid_skene has no setting 'modle'"),
        ({"votes_path": "nowhere.csv"}, "can't read 'nowhere.csv': there is no such file"),
        ({"demo_votes_per_pair": 13}, r"votes_per_pair must lie in \[1, 12\]"),
        ({"demo_votes_per_pair": 1}, "has one vote"),
        ({"level": "abc"}, "'level' must be float, got 'abc'"),
        ({"level": 1.5}, "'level' must lie strictly between 0 and 1"),
        ({"settings": {"smoothing": "abc"}}, "'settings.smoothing' must be float, got 'abc'"),
        ({"settings": {"restarts": True}}, "'settings.restarts' must be int, got True"),
        ({"settings": {"prevalence": "half"}}, r"'settings.prevalence' must be float \| None, got 'half'"),
        ({"method": "glad", "settings": {"ability_prior": [1.0]}}, "'settings.ability_prior' must be tuple"),
        ({"soft_labels": 1}, "'soft_labels' must be bool"),
        ({"votes_pth": "v.csv"}, "Did you mean 'votes_path'"),
    ],
)
def test_mistakes_are_reported_without_a_traceback(config, message):
    with pytest.raises(ConfigError, match=message):
        run(**config)


@pytest.mark.parametrize("config", [{"level": "abc"}, {"settings": {"smoothing": "abc"}}])
def test_mistakes_of_type_are_refused_before_a_run_is_recorded(tmp_path, config):
    with pytest.raises(ConfigError):
        run(**config)
    assert not (tmp_path / "runs").exists()


def test_files_of_an_earlier_run_that_wrote_more_are_removed(tmp_path):
    run(method="noisy_bradley_terry", output_dir="out", demo_votes_per_pair=3)
    assert {"preferences.jsonl", "responses.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
    load_demo_votes(votes_per_pair=3)[0].to_csv("v.csv", index=False)
    run(votes_path="v.csv", method="majority_vote", output_dir="out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"items.csv", "annotators.csv", "summary.json"}


def test_the_seed_decides_the_demo():
    a, b = load_demo_votes(seed=1)[0], load_demo_votes(seed=1)[0]
    pd.testing.assert_frame_equal(a, b)
    assert not a.equals(load_demo_votes(seed=2)[0])
