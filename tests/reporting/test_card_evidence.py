"""The card shows evidence about the model that is in the folder, wherever it lies, and a push can't be stopped by it."""

import hashlib
import json
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.reporting.card_run import write_run
from trl_ext.reporting.card_evidence import SOURCES_FILE, outdated_files
from trl_ext.reporting.model_card import card_to_push, model_card, refresh_model_card


FACTS = {
    **{"model_name": "rm", "dataset": None, "base_model": None, "base_is_public": False, "adapter": False, "tags": []},
    **{"reward_head": "scalar", "eos_token": "", "trainer": "PairwiseRewardTrainer", "versions": {"trl_ext": "1"}},
    **{"losses": [], "training": {"seed": 42}, "tables": {}, "paper": {}},
}
RATE = "raises the reward by 2.12"


def change(path: Path, **entries) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


@pytest.fixture
def run(tmp_path):
    folder = write_run(tmp_path / "run")
    (folder / "training_facts.json").write_text(json.dumps(FACTS))
    return folder


def trained(folder: Path, **since: float) -> None:
    began = (datetime.now(UTC) + timedelta(**since)).isoformat()
    (folder / "training_facts.json").write_text(json.dumps(FACTS | {"training_began": began}))


class TestEarlierModels:
    def test_what_is_older_than_the_training_is_not_shown(self, run):
        trained(run, hours=-1)
        assert RATE in model_card(run) and not outdated_files(run)
        trained(run, hours=1)
        card = model_card(run)
        for text in (RATE, "## Calibration", "CalibratedScorer", "ece, raw", "calibrated.png"):
            assert text not in card
        assert "an earlier model, which say nothing of this one and are not shown: calibration, rate." in card
        assert "wrong labels" in card  # about the data
        names = ("calibrated.png", "calibration.json", "raw.png")
        assert outdated_files(run) == [*(f"calibration/{name}" for name in names), "rate/effects.json"]

    def test_what_was_measured_since_is_shown_again(self, run):
        trained(run, hours=1)
        later = time.time() + 7200
        os.utime(run / "rate" / "effects.json", (later, later))
        card = model_card(run)
        assert RATE in card and "not shown: calibration." in card

    def test_a_calibration_of_a_training_with_another_configuration(self, run):
        path = run / "calibration" / "calibration.json"
        config = json.loads((run / "results.json").read_text())["provenance"]["config"]
        change(path, provenance={"command": ["tasks/train.py"], "config": config})
        assert "## Calibration" in model_card(run)
        change(path, provenance={"command": ["tasks/train.py"], "config": config | {"rapl_method": "none"}})
        assert "## Calibration" not in model_card(run)

    def test_a_calibration_of_other_weights(self, run):
        path, weights = run / "calibration" / "calibration.json", run / "model.safetensors"
        weights.write_bytes(b"these")
        model = {"sha256": {weights.name: hashlib.sha256(b"these").hexdigest()}}
        change(path, provenance={"command": ["/srv/tasks/calibrate.py"], "config": {}, "model": model})
        assert "## Calibration" in model_card(run)
        weights.write_bytes(b"others")
        assert "## Calibration" not in model_card(run)


class TestEvidenceElsewhere:
    def test_a_push_has_what_the_card_was_made_with(self, run, tmp_path):
        shutil.move(run / "rate", tmp_path / "rate")
        assert RATE not in model_card(run)
        assert refresh_model_card(run, "me/rm", rate=tmp_path / "rate")
        assert RATE in (run / "README.md").read_text() and RATE in card_to_push(run, "me/rm")
        assert SOURCES_FILE.startswith(".")  # hidden files are never uploaded

    def test_a_place_that_is_gone_is_said(self, run, tmp_path, caplog):
        shutil.move(run / "rate", tmp_path / "rate")
        refresh_model_card(run, rate=tmp_path / "rate")
        shutil.rmtree(tmp_path / "rate")
        assert RATE not in card_to_push(run, "me/rm") and "no rate results" in caplog.text


class TestFilesOfOtherKinds:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("training_facts.json", "{torn"),
            ("training_facts.json", '{"model_name": "x", "losses": [], "training": {}, "tables": {}}'),
            ("training_facts.json", json.dumps(FACTS | {"losses": 3})),
            ("results.json", '{"figures": {}, "provenance": "x"}'),
            ("results.json", '{"figures": {}, "provenance": {"data_names": ["a"]}}'),
            ("results.json", '{"figures": {}, "weights": "x"}'),
            ("results.json", '{"figures": {}, "weights": {"n": 9, "effective_sample_size": 1, "share_zero": null}}'),
            (SOURCES_FILE, "[]"),
        ],
    )
    def test_never_stop_a_push(self, run, name, content):
        (run / name).write_text(content)
        assert "# rm" in card_to_push(run, "me/rm")
