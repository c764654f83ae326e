"""tasks/train.py with labels that are known to be noisy."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tasks.resume import RUN_FILE, TrainingRun
from tasks.train import _DEFAULTS, ex
from tasks.train_config import CHOICES, ConfigError
from tasks.train_report import mark_pairs, oracle_figures
from tests.tiny import pairs, tiny_checkpoint
from trl_ext.evaluation import oracle_scores
from trl_ext.trainer.noise_aware_config import ETA_METHODS, NOISE_METHODS


ANNOTATORS = ["anna", "ben", "anna", "cleo", "ben", "cleo", "anna", "ben"]
LABELS = [1, 0, 1, 1, 0, 1, 0, 1]
ORACLE = [0.9, 0.3, 0.8, 0.5, 0.2, 0.7, 0.4, 0.6]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> str:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=512)


@pytest.fixture(autouse=True)
def in_a_scratch_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(ex, "observers", [])


def run(model: str, path: str, **updates) -> dict:
    settings = {
        "model_name": model, "train_data_path": path, "eval_data_path": path, "lora_last_layers": 1,
        "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1,
        "trainer": {"max_steps": 2, "disable_tqdm": True}, "verify_round_trip": False, "cpu_threads": 1,
    }  # fmt: skip
    ex.run(config_updates=settings | updates)
    (folder,) = Path("outputs").iterdir()
    return {"folder": folder, **json.loads((folder / "results.json").read_text())}


def data_file(**columns) -> str:
    pairs(8, **columns).to_csv("pairs.csv", index=False)
    return "pairs.csv"


def test_eta_of_annotators_and_figures_against_the_oracle(tiny, capsys):
    Path("eta.json").write_text(json.dumps({"anna": 0.9, "ben": 0.4, "cleo": 0.0}))
    path = data_file(worker=ANNOTATORS, vote=LABELS, truth=ORACLE)
    results = run(
        tiny, path, noise_method="forward", annotator_eta_path="eta.json", annotator_col_name="worker",
        label_col_name="vote", oracle_col_name="truth",
    )  # fmt: skip
    assert results["folder"].name == "pairs-noise-forward"
    assert results["eta"] == {
        "source": "annotators", "n": 8, "n_annotators": 3, "mean": pytest.approx((3 * 0.9 + 3 * 0.4) / 8),
        "minimum": 0.0, "maximum": 0.9, "n_zero": 2,
    }  # fmt: skip
    table = pd.read_csv(results["folder"] / "test_rewards.csv")
    scores = oracle_scores(table["reward_chosen"], table["reward_rejected"], ORACLE)
    for name, figure in scores.figures().items():
        found = results["figures"][f"after_{name}"]
        assert found["value"] == pytest.approx(figure.value, abs=1e-6) and found["ci_low"] <= found["ci_high"]
        assert f"before_{name}" in results["figures"]
    difference = table["reward_chosen"] - table["reward_rejected"]
    agrees = np.where(np.array(LABELS) == 1, difference > 0, difference < 0)
    assert results["figures"]["after_accuracy_to_labels"]["value"] == pytest.approx(agrees.mean())
    assert "cross-entropy to the oracle" in capsys.readouterr().out


def test_other_methods_report_the_oracle_too(tiny):
    path = data_file(reliability=[0.6, 0.7, 0.8, 0.9, 0.55, 1.0, 0.7, 0.8], oracle_probability=ORACLE)
    results = run(tiny, path, rapl_method="p", eval_before_training=False)
    assert results["figures"]["after_oracle_excess"]["value"] > 0
    assert "eta" not in results and results["weights"]["n"] == 8


def test_one_eta_for_all_and_parameters_of_the_loss(tiny):
    path = data_file(label=LABELS)
    results = run(tiny, path, noise_method="backward", eta=0.5, eval_before_training=False)
    assert results["eta"]["source"] == "constant" and results["eta"]["mean"] == 0.5
    parameters = {"max_steps": 1, "disable_tqdm": True, "focal_gamma": 1.0}
    run_again = {"noise_method": "focal", "trainer": parameters, "output_dir": "outputs/pairs-noise-backward"}
    assert run(tiny, path, **run_again, eval_before_training=False)["eta"] is None


def test_the_checks_know_the_methods_of_the_trainer():
    assert CHOICES["noise_method"] == NOISE_METHODS
    from tasks.train_config import _ETA_METHODS

    assert _ETA_METHODS == ETA_METHODS


def test_a_run_from_before_these_keys_can_be_resumed(tmp_path):
    """A record without the new keys: they had the effect of their defaults."""
    config = _DEFAULTS | {"rapl_method": "p"}
    old = {key: value for key, value in config.items() if key not in ("noise_method", "eta", "label_col_name")}
    TrainingRun("run", old, "hash", 1).lock.release()
    (tmp_path / "run" / "checkpoint-1").mkdir()
    record = json.loads((tmp_path / "run" / RUN_FILE).read_text())
    assert "noise_method" not in record["config"]
    TrainingRun("run", config, "hash", 1, _DEFAULTS).lock.release()
    with pytest.raises(ConfigError, match="other settings.*noise_method: None there, 'forward' here"):
        TrainingRun("run", config | {"noise_method": "forward"}, "hash", 1, _DEFAULTS)


def test_labels_of_one_half_have_no_side():
    table = pd.DataFrame(
        {"reward_chosen": [1.0, 1.0, 1.0, 1.0], "reward_rejected": [0.0, 0.0, 0.0, 1.0], "label": [1, 0.2, 0.5, 0.0]}
    )
    assert mark_pairs(table, "none", "label")["agrees_with_label"].tolist()[:2] == [1, 0]
    assert np.isnan(mark_pairs(table, "none", "label")["agrees_with_label"][2])
    assert mark_pairs(table, "none", "label")["agrees_with_label"][3] == 0  # a tie
    assert mark_pairs(table, "none")["agrees_with_label"].tolist() == [1, 1, 1, 0]
    assert oracle_figures(table) == {}
