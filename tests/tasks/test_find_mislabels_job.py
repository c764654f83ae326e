"""The job that finds wrong labels, from data to files."""

import json

import pandas as pd
import pytest
from tiny import tiny_checkpoint

from tasks.find_mislabels import ex
from tasks.mislabels_config import EVIDENCE
from tasks.train_config import ConfigError
from trl_ext.data import PREFERENCE_COLUMNS, load_preferences, validate_preferences
from trl_ext.mislabels import EVIDENCE as KNOWN_EVIDENCE


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def model(tmp_path):
    tiny_checkpoint(tmp_path / "model")
    return "model"


def run(**config):
    return ex.run(config_updates={"progress": False, "resamples": 20, "output_dir": "out", **config}).result


def test_planted_errors_in_the_demo(tmp_path, capfd, model):
    result = run(model=model, planted_errors=0.1, train_dataset_size=60, seed=1)
    assert result["true_wrong_share"] == pytest.approx(0.1)
    folder = tmp_path / "out" / "mislabels"
    assert {path.name for path in folder.iterdir()} == {
        *("mislabels.csv", "annotators.csv", "comparison.csv", "mislabels.json", "reliability.jsonl"),
        *("precision.csv", "precision.png"),
    }
    pairs = pd.read_csv(folder / "mislabels.csv")
    assert {"row", "id", "annotator_id", "margin", "influence", "eta", "evidence", "rank"} <= set(pairs)
    assert pairs["wrong"].sum() == 6 and pairs["p_wrong"].is_monotonic_decreasing
    written = json.loads((folder / "mislabels.json").read_text())
    assert written["provenance"]["seed"] == 1 and written["provenance"]["data_sha256"]
    assert set(written["figures"]["wrong_labels"]) == {"value", "se", "ci_low", "ci_high", "n", "method"}
    printed = capfd.readouterr().out
    assert "Known to be wrong: 0.100" in printed and "annotator-" in printed
    assert "mistakes that annotators share" in " ".join(printed.split()) and written["notes"]
    assert pairs["chosen"][0][:20] in printed and '"nan"' not in json.dumps(written["comparison"])

    # what it writes is what the reliability trainers read, in the order of the data
    cleaned = load_preferences(folder / "reliability.jsonl")
    validate_preferences(cleaned, numeric_columns={"reliability": PREFERENCE_COLUMNS["reliability"]})
    by_id = dict(zip(pairs["id"], pairs["p_wrong"], strict=True))
    for row in cleaned:
        assert (
            row["reliability"] == pytest.approx(1 - by_id[row["id"]]) and row["correct_chosen"] == 1 - row["planted"]
        )


def test_hidden_states_are_kept(tmp_path, model):
    first = run(model=model, train_dataset_size=30)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs" / "features").iterdir()}
    assert kept and run(model=model, train_dataset_size=30) == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "outputs" / "features").iterdir()} == kept


def test_a_file_without_annotators_and_truth(tmp_path, model, capfd):
    rows = [{"chosen": f"good {i}", "rejected": f"bad {i}", "prompt": f"q{i}"} for i in range(12)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = run(train_data_path="pairs.jsonl", model=model, skip_plots=True)
    assert "precision" not in result and "Known to be wrong" not in capfd.readouterr().out
    assert not (tmp_path / "out" / "mislabels" / "comparison.csv").exists()


def test_files_of_an_earlier_search_do_not_stay(tmp_path, model):
    folder = tmp_path / "out" / "mislabels"
    folder.mkdir(parents=True)
    for name in ("comparison.csv", "precision.png", "precision.csv"):
        (folder / name).write_text("earlier")
    rows = [{"chosen": f"good {i}", "rejected": f"bad {i}", "prompt": f"q{i}"} for i in range(12)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(train_data_path="pairs.jsonl", model=model)
    names = {"mislabels.csv", "annotators.csv", "mislabels.json", "reliability.jsonl"}
    assert {path.name for path in folder.iterdir()} == names


def test_a_column_of_reliability_is_kept_under_another_name(tmp_path, model, capfd):
    rows = [{"chosen": f"good {i}", "rejected": "bad", "prompt": f"q{i}", "reliability": 0.25} for i in range(12)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run(train_data_path="pairs.jsonl", model=model)
    assert "'reliability_before'" in capfd.readouterr().out
    written = load_preferences(tmp_path / "out" / "mislabels" / "reliability.jsonl")
    assert set(written["reliability_before"]) == {0.25} and 0.25 not in set(written["reliability"])
    with pytest.raises(ConfigError, match="'reliability_before'"):
        run(train_data_path="out/mislabels/reliability.jsonl", model="no/such-model")


def test_whole_models_are_trained(model):
    keys = {"max_steps": 1, "per_device_train_batch_size": 4, "bf16": False, "use_cpu": True}
    result = run(mode="train", model=model, train_dataset_size=20, folds=2, train=keys, planted_errors=0.2)
    assert result["true_wrong_share"] == pytest.approx(0.2)


def test_the_job_offers_all_evidence():
    assert EVIDENCE == KNOWN_EVIDENCE


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"evidense": "margin"}, "Did you mean 'evidence'"),
        ({"planted_errors": 1.0}, "planted_errors"),
        ({"mode": "train", "evidence": "influence"}, "needs mode=head"),
        ({"train": {"max_steps": 1}}, "train is for mode=train"),
        ({"mode": "train", "train": {"learning_rte": 1.0}}, "train.learning_rte is not a field"),
        ({"train_data_path": "missing.jsonl"}, "missing.jsonl"),
        ({"annotator_col_name": "worker"}, "worker"),
        ({"truth_col_name": "eta"}, "'eta' has 480 values other than 0 and 1; first: row 0"),
        ({"demo_labels": "true", "train_data_path": "pairs.jsonl"}, "demo_labels"),
        ({"folds": 1}, "folds"),
        ({"train_data_path": "bad.jsonl"}, "column 'annotator_id' has 1 missing ids .*; first: row 2"),
        ({"train_data_path": "bad.jsonl", "annotator_col_name": "time"}, "column 'time' must be all str or all int"),
        (
            {"train_data_path": "bad.jsonl", "annotator_col_name": "who", "group_col_name": "one"},
            "all rows have one value",
        ),
        (
            {"train_data_path": "bad.jsonl", "annotator_col_name": "who", "group_col_name": "part"},
            "'part' has 1 missing",
        ),
        ({"mode": "train", "leave_out": "row"}, "leave_out is for mode=head"),
        ({"mode": "train", "batch_size": 4}, "train.per_device_train_batch_size"),
    ],
)
def test_bad_input_is_refused_before_a_model_loads(config, message, tmp_path):
    rows = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b", "who": "w", "time": 0.5, "one": 1} for i in range(4)]
    for i, row in enumerate(rows):
        row |= {"annotator_id": None if i == 2 else "p", "part": None if i == 1 else "x"}
    (tmp_path / "bad.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ConfigError, match=message):
        run(**{"model": "no/such-model", **config})
