"""The job that monitors annotators, from files to files."""

import json

import pandas as pd
import pytest

from tasks.annotators.monitor import ex
from tasks.annotators.monitor_demo import DEMO_ETAS, demo_labels
from tasks.train_config import ConfigError


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(**config):
    return ex.run(config_updates=config).result


def test_the_demo(tmp_path, capfd):
    run(output_dir="out")
    printed = capfd.readouterr().out
    assert "ada" in printed and "If delta were other" in printed and "56 of 1800 rows" in printed
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"annotators.csv", "eta.json", "intervals.csv", "intervals.png", "results.json"}
    table = pd.read_csv("out/annotators.csv").set_index("annotator_id")
    covered = [table.ci_low[name] <= eta <= table.ci_high[name] for name, eta in DEMO_ETAS.items()]
    assert all(covered)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert results["pooled_eta"]["n"] == table["n_checks"].sum() and results["provenance"]["labels_sha256"]
    assert json.loads((tmp_path / "out" / "eta.json").read_text()) == pytest.approx(table["eta"].to_dict())


def test_files_of_labels_and_of_an_expert(tmp_path):
    labels, expert = demo_labels(seed=1)
    labels.rename(columns={"annotator_id": "worker", "label": "vote"}).to_csv("labels.csv", index=False)
    expert.rename(columns={"p": "truth"}).to_csv("expert.csv", index=False)
    names = {"annotator_col_name": "worker", "label_col_name": "vote", "probability_col_name": "truth"}
    summary = run(labels_path="labels.csv", expert_path="expert.csv", monitor="expert", output_dir="out", **names)
    assert summary["c_source"] == "probabilities of the items" and summary["n_checks"] > 800
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(written["provenance"]["files_sha256"]) == {"labels", "expert"}


def test_a_forecast_that_is_not_possible_leaves_the_rest(tmp_path, capfd):
    run(output_dir="out", c=0.001, half_width=1e-5, eta1=0.5001)
    assert "More than 10,000,000 checks each would recognise" in capfd.readouterr().out
    assert json.loads((tmp_path / "out" / "results.json").read_text())["checks_for_decision"] == "inf"
    assert pd.read_csv("out/annotators.csv")["more_checks_half_width"].eq(float("inf")).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"monitor": "both"}, "monitor must be one of self, expert"),
        ({"eta_0": 0.5}, "Did you mean 'eta0'"),
        ({"c": "high"}, "'c' must be float, got 'high'"),
        ({"level": 1.0}, "'level' must lie strictly between 0 and 1"),
        ({"c": 0.5, "trusted": ["ada"]}, "c and trusted all say what c is"),
        ({"monitor": "expert", "delta": 0.1}, "delta is only used with monitor=self"),
        ({"expert_path": "expert.csv"}, "expert_path is only read with monitor=expert"),
    ],
)
def test_mistakes_are_reported_before_a_run_is_recorded(tmp_path, config, message):
    with pytest.raises(ConfigError, match=message):
        run(**config)
    assert not (tmp_path / "runs").exists()


def test_a_file_that_is_not_there():
    with pytest.raises(ConfigError, match="can't read 'nowhere.csv': there is no such file"):
        run(labels_path="nowhere.csv")


def test_another_column_of_our_name_is_left_out(caplog):
    labels, _ = demo_labels(seed=1)
    run(output_dir="plain")
    labels.assign(rating=labels["label"], label="a remark").to_csv("labels.csv", index=False)
    summary = run(labels_path="labels.csv", label_col_name="rating", output_dir="out")
    assert "column 'label' is left out, since label_col_name says that column 'rating' takes its place" in caplog.text
    labels.to_csv("other.csv", index=False)
    assert summary["pooled_eta"] == run(labels_path="other.csv", output_dir="other")["pooled_eta"]
