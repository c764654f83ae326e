"""tasks/calibrate.py: a saved model gets probabilities, measured on other questions."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from tasks.calibrate import KEYS, check
from tasks.calibrate_run import run
from tasks.config_keys import defaults
from tasks.pair_calibration import split_by_question
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring import CalibratedScorer, LengthCurve, RewardCalibration, read_calibration, save_calibration


ROOT = Path(__file__).resolve().parents[2]


class Recorder:
    def __init__(self):
        self.info = {}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, and pairs labelled as if its rewards were five times too sure."""
    folder, tokenizer = tmp_path_factory.mktemp("world"), tiny_tokenizer()
    tiny_reward_model(tokenizer).save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    generator = np.random.default_rng(0)
    words = ["good", "bad", "Paris", "answer", "question", "France", "is", "the"]
    prompts = [f"Question {i // 4}: what is it? " for i in range(240)]
    responses = [[" ".join(generator.choice(words, 5)) + f" {k}{i}." for k in range(2)] for i in range(240)]
    rewards = np.array(RewardScorer(str(folder / "model"), progress=False).score(prompts, responses))
    difference = rewards[:, 0] - rewards[:, 1]
    first = generator.random(240) < expit(difference / difference.std() * 1.5)
    rows = [
        {"prompt": prompt, "chosen": pair[1 - int(yes)], "rejected": pair[int(yes)], "correct_chosen": bool(i % 5)}
        for i, (prompt, pair, yes) in enumerate(zip(prompts, responses, first, strict=True))
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def configured(world, **updates):
    config = defaults(KEYS) | {"model": str(world / "model"), "data": str(world / "pairs.jsonl")} | updates
    check(config)
    return config


def test_files_figures_and_the_stored_calibration(world, tmp_path, capsys):
    found = run(configured(world, output_dir=str(tmp_path)), Recorder())
    printed = capsys.readouterr().out
    assert "ece to the labels" in printed and "ece to the truth" in printed and "CalibratedScorer" in printed
    content = json.loads((tmp_path / "calibration" / "calibration.json").read_text())
    assert {"method", "fitted_on", "measured_on", "raw", "calibrated", "ece_change", "parameters"} <= content.keys()
    assert {"brier", "ece", "log_loss", "diagram"} <= content["raw"].keys() and content["truth"] is not None
    assert content["measured_on"]["questions_of_the_fit"] == 0
    assert content["fitted_on"]["pairs"] + content["measured_on"]["pairs"] == 240
    assert found["ece_calibrated"] == content["calibrated"]["ece"]["value"]
    assert content["provenance"]["seed"] == 0 and content["provenance"]["versions"]
    for name in ("raw.png", "raw.csv", "calibrated.png", "calibrated.csv"):
        assert (tmp_path / "calibration" / name).is_file()
    stored = read_calibration(world / "model")
    assert stored == RewardCalibration.from_dict(content["calibration"])
    row = json.loads((world / "pairs.jsonl").read_text().splitlines()[0])
    scorer = CalibratedScorer.from_pretrained(str(world / "model"), progress=False)
    assert 0 < scorer.preference_probability([row["prompt"]], [row["chosen"]], [row["rejected"]])[0] < 1


def test_store_off_and_kept_corrections(world, tmp_path):
    curve = RewardCalibration(length_curve=LengthCurve((1, 60), (0.0, 0.1), "characters"))
    save_calibration(world / "model", curve, overwrite=True)
    run(configured(world, output_dir=str(tmp_path), store=False, method="isotonic"), Recorder())
    assert read_calibration(world / "model") == curve
    content = json.loads((tmp_path / "calibration" / "calibration.json").read_text())
    assert content["calibration"]["length_curve"]["unit"] == "characters" and content["method"] == "isotonic"


@pytest.mark.parametrize(
    ("updates", "message"),
    [
        ({"model": None}, "set model="),
        ({"model": "owner/name"}, "Set store=False"),
        ({"method": "beta"}, "must be one of temperature"),
        ({"fit_share": 1.0}, "above 0 and below 1"),
    ],
)
def test_mistakes_are_found_before_anything_loads(world, updates, message):
    with pytest.raises(ConfigError, match=message):
        configured(world, **updates)


def test_no_question_on_both_sides():
    table = pd.DataFrame({"prompt": [f"q{i // 3}" for i in range(60)], "reward_chosen": range(60)})
    fit, rest = split_by_question(table, 0.5, seed=1)
    assert not set(fit["prompt"]) & set(rest["prompt"]) and len(fit) + len(rest) == 60


@pytest.mark.slow
def test_from_the_command_line(world, tmp_path):
    arguments = [f"model={world / 'model'}", f"data={world / 'pairs.jsonl'}", "store=False", "output_dir=out"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "tasks" / "calibrate.py"), "with", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert "a change below 0 is better" in result.stdout and (tmp_path / "out" / "calibration" / "raw.csv").is_file()
