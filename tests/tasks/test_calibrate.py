"""tasks/calibrate.py: a saved model gets probabilities, measured on other questions."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.model_selection import GroupKFold

from tasks.calibrate import KEYS, check
from tasks.calibrate_run import load_pairs, run
from tasks.config_keys import defaults
from tasks.pair_calibration import calibrate_pairs, cross_calibrate_pairs
from tasks.pair_groups import question_groups, split_by_question
from tasks.provenance import hash_pairs
from tasks.train_config import ConfigError
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring import (
    CalibratedScorer,
    LengthCurve,
    RewardCalibration,
    fit_preference_calibration,
    read_calibration,
    save_calibration,
)


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
    assert content["fitted_on"]["pairs"] == content["measured_on"]["pairs"] == 240
    assert content["cross_fit"]["folds"] == 5 and content["verdict"]["by"] == "log_loss_change"
    assert [part["fitted_pairs"] + part["measured_pairs"] for part in content["cross_fit"]["parts"]] == [240] * 5
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
        ({"model": "owner/name"}, "[Ss]et store=False"),
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


def test_a_share_of_the_questions_fits_and_the_rest_measures(world, tmp_path):
    run(configured(world, output_dir=str(tmp_path), store=False, fit_share=0.5), Recorder())
    content = json.loads((tmp_path / "calibration" / "calibration.json").read_text())
    assert content["fitted_on"]["pairs"] + content["measured_on"]["pairs"] == 240 and content["cross_fit"] is None


class TestQuestions:
    def test_connected_by_identifier_or_text(self):
        table = pd.DataFrame({"question_id": range(6), "prompt": ["a", "a ", "b", "c", "b", "d"]})
        assert question_groups(table).tolist() == [0, 0, 1, 2, 1, 3]
        table = pd.DataFrame({"question_id": [1, 2, 1, None], "prompt": ["a", "b", "c", "b"]})
        assert question_groups(table).tolist() == [0, 1, 0, 1]

    def test_conversations(self):
        prompts = [[{"role": "user", "content": text}] for text in ("a", "b", "a")]
        assert question_groups(pd.DataFrame({"prompt": prompts})).tolist() == [0, 1, 0]

    @pytest.mark.parametrize("columns", [{"question_id": [1, None, 2]}, {"chosen": ["a", "b", "c"]}])
    def test_a_pair_of_no_known_question_is_refused(self, columns):
        with pytest.raises(ValueError, match=r"row [01]: the pair has neither `prompt` nor `question_id`"):
            question_groups(pd.DataFrame(columns))

    @settings(max_examples=25)
    @given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30))
    def test_no_identifier_and_no_prompt_in_two(self, rows):
        table = pd.DataFrame(rows, columns=["question_id", "prompt"]).astype({"prompt": str})
        groups = question_groups(table)
        for name in table.columns:
            assert all(len(set(groups[table[name] == value])) == 1 for value in table[name])


OPTIONS = {"method": "temperature", "truth_column": "correct_chosen"}


def scored(n=300, **columns):
    differences = np.random.default_rng(0).normal(1, 2, n)
    plain = {"prompt": [f"q{i // 2}" for i in range(n)], "reward_chosen": differences, "reward_rejected": 0.0}
    return pd.DataFrame(plain | columns)


def test_what_measures_itself_is_refused():
    table = scored()
    with pytest.raises(ValueError, match="questions are both in the 200 pairs of the fit and in the 101 that measure"):
        calibrate_pairs(table[:200], table[199:], names=("a", "b"), **OPTIONS)


def test_cross_fitting_by_hand():
    table = scored()
    measured = cross_calibrate_pairs(table, name="x", folds=2, seed=3, **OPTIONS)
    halves = [part["parameters"]["temperature"]["value"] for part in measured.cross_fit["parts"]]
    differences = table["reward_chosen"].to_numpy()
    groups = question_groups(table)
    losses = np.zeros(300)
    for temperature, (_, own) in zip(
        halves, GroupKFold(2, shuffle=True, random_state=3).split(table, groups=groups), strict=True
    ):
        losses[own] = np.logaddexp(0, -differences[own] / temperature)
    assert measured.to_labels.calibrated.log_loss.value == pytest.approx(losses.mean())
    assert measured.calibration == fit_preference_calibration(
        differences, np.zeros(300), clusters=list(groups), description="x"
    )


def test_truth_with_gaps_and_words():
    truth = {"correct_chosen": [True, None, False] * 100}
    measured = cross_calibrate_pairs(scored(**truth), name="x", **OPTIONS)
    assert measured.to_truth.raw.n_rows == 200
    words = cross_calibrate_pairs(scored(correct_chosen=["True", None, "0"] * 100), name="x", **OPTIONS)
    assert str(words.to_truth.to_dict()) == str(measured.to_truth.to_dict())  # NaN is not NaN
    with pytest.raises(ValueError, match="column 'correct_chosen', row 1: the truth must be true or false"):
        cross_calibrate_pairs(scored(correct_chosen=["yes", "maybe"] * 150).replace("yes", "1"), name="x", **OPTIONS)


def test_pairs_that_trained_the_model_are_refused(world, tmp_path):
    config = configured(world, output_dir=str(tmp_path), store=False)
    path = world / "model" / "results.json"
    for facts, changes, message in (
        ({"data_sha256": {"train": hash_pairs(load_pairs(config))}}, {}, "are the pairs that"),
        ({"config": {"train_data_path": "demo", "demo_seed": 3}}, {"data": "demo"}, "Set demo_seed=3"),
    ):
        path.write_text(json.dumps({"provenance": facts}))
        with pytest.raises(ConfigError, match=message):
            run(config | changes, Recorder())
    path.unlink()


@pytest.mark.slow
def test_from_the_command_line(world, tmp_path):
    arguments = [f"model={world / 'model'}", f"data={world / 'pairs.jsonl'}", "store=False", "output_dir=out"]
    result = subprocess.run(
        [sys.executable, str(ROOT / "tasks" / "calibrate.py"), "with", *arguments],
        cwd=tmp_path, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr[-3000:]
    assert "a change below 0 is better" in result.stdout and (tmp_path / "out" / "calibration" / "raw.csv").is_file()
