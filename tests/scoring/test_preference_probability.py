"""Probabilities that travel with a model: stored, checked against the weights, applied on request."""

import json

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from scipy.special import expit
from transformers import AutoModelForSequenceClassification

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import RewardScorer
from trl_ext.scoring import (
    CalibratedScorer,
    PreferenceCurve,
    RewardCalibration,
    read_calibration,
    reward_function,
    save_calibration,
)


TEMPERATURE = RewardCalibration(preference=PreferenceCurve("temperature", temperature=2.0))
LAPSE = RewardCalibration(
    {"a": 1.0, "b": -1.0}, "sum_zero", preference=PreferenceCurve("lapse", temperature=2.0, eta=0.5)
)
PROMPTS = ["Question: what is the answer? ", "The capital of France, is it "]
FIRST, SECOND = ["Paris.", "a"], ["It is a good question.", "bad"]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture
def folder(tokenizer, tmp_path):
    tiny_reward_model(tokenizer).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def raw_differences(folder):
    scorer = RewardScorer(str(folder), progress=False)
    rewards = np.array(scorer.score(PROMPTS, list(zip(FIRST, SECOND, strict=True))), dtype=np.float64)
    return rewards[:, 0] - rewards[:, 1]


class TestScorer:
    def test_a_reload_applies_it_and_a_plain_load_does_not(self, folder):
        before = raw_differences(folder)
        save_calibration(folder, TEMPERATURE)
        np.testing.assert_array_equal(raw_differences(folder), before)
        scorer = CalibratedScorer.from_pretrained(str(folder), progress=False)
        found = scorer.preference_probability(PROMPTS, FIRST, SECOND)
        np.testing.assert_allclose(found, expit(before / 2), atol=1e-6)
        np.testing.assert_allclose(scorer.preference_probability(PROMPTS, SECOND, FIRST), 1 - found, atol=1e-6)
        # the unit of rewards is the log-odds
        rewards = np.array(scorer.score(PROMPTS, list(zip(FIRST, SECOND, strict=True))), dtype=np.float64)
        np.testing.assert_allclose(expit(rewards[:, 0] - rewards[:, 1]), found, atol=1e-6)

    def test_what_a_label_says_and_what_is_better(self, folder):
        save_calibration(folder, LAPSE)
        scorer = CalibratedScorer.from_pretrained(str(folder), progress=False)
        differences = raw_differences(folder) + 2
        sources = {"sources_a": "a", "sources_b": ["b", "b"]}
        label = scorer.preference_probability(PROMPTS, FIRST, SECOND, **sources)
        better = scorer.preference_probability(PROMPTS, FIRST, SECOND, better=True, **sources)
        np.testing.assert_allclose(better, expit(differences / 2), atol=1e-6)
        np.testing.assert_allclose(label, better / 2 + 0.25, atol=1e-12)

    def test_matrices(self, folder):
        scorer = CalibratedScorer(RewardScorer(str(folder), progress=False), TEMPERATURE)
        (matrix,) = scorer.preference_matrices(PROMPTS[:1], [["Paris.", "a", "bad"]])
        pair = scorer.preference_probability(PROMPTS[:1], ["Paris."], ["bad"])[0]
        assert matrix.shape == (3, 3) and np.isnan(np.diag(matrix)).all() and matrix[0, 2] == pytest.approx(pair)
        np.testing.assert_allclose((matrix + matrix.T)[0, 1:], 1.0)

    def test_as_a_reward_of_grpo(self, folder):
        reward = reward_function(CalibratedScorer(RewardScorer(str(folder), progress=False), TEMPERATURE))
        raw = reward_function(RewardScorer(str(folder), progress=False))
        arguments = {"prompts": [PROMPTS[0]] * 2, "completions": [FIRST[0], SECOND[0]]}
        np.testing.assert_allclose(np.array(reward(**arguments)) * 2, raw(**arguments), rtol=1e-6)

    def test_refusals(self, folder):
        plain = CalibratedScorer(
            RewardScorer(str(folder), progress=False), RewardCalibration({"a": 1.0, "b": -1.0}, "sum_zero")
        )
        with pytest.raises(ValueError, match="has no curve of preference"):
            plain.preference_probability(PROMPTS, FIRST, SECOND)
        scorer = CalibratedScorer(RewardScorer(str(folder), progress=False), TEMPERATURE)
        with pytest.raises(ValueError, match="two responses per prompt, got 2 prompts, 1 and 2 responses"):
            scorer.preference_probability(PROMPTS, FIRST[:1], SECOND)


class TestOfTheseWeights:
    def test_a_model_that_was_trained_on(self, folder):
        save_calibration(folder, TEMPERATURE)
        model = AutoModelForSequenceClassification.from_pretrained(folder)
        with torch.no_grad():
            model.score.weight.mul_(1.1)
        model.save_pretrained(folder)  # transformers keeps the entry of the configuration
        scorer = CalibratedScorer.from_pretrained(str(folder), progress=False)
        with pytest.raises(ValueError, match="is of other weights"):
            scorer.score(PROMPTS, [["a"], ["b"]])
        given = CalibratedScorer.from_pretrained(str(folder), calibration=read_calibration(folder), progress=False)
        assert len(given.score(PROMPTS, [["a"], ["b"]])) == 2

    @pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
    def test_the_precision_makes_no_difference(self, folder, dtype):
        save_calibration(folder, TEMPERATURE)
        CalibratedScorer.from_pretrained(str(folder), dtype=dtype, progress=False).score(PROMPTS, [["a"], ["b"]])

    def test_in_memory_and_saved_are_alike(self, folder, tokenizer, tmp_path):
        model = tiny_reward_model(tokenizer)
        save_calibration(model, TEMPERATURE)
        save_calibration(folder, TEMPERATURE)
        stored = json.loads((folder / "config.json").read_text())["reward_calibration"]
        assert model.config.reward_calibration == stored and len(stored["head_sha256"]) == 64

    def test_an_adapter(self, folder, tokenizer, tmp_path_factory):
        path = tmp_path_factory.mktemp("adapter")
        base = AutoModelForSequenceClassification.from_pretrained(folder)
        adapter = get_peft_model(base, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"]))
        with torch.no_grad():
            adapter.base_model.model.score.modules_to_save["default"].weight.mul_(3)
        adapter.save_pretrained(path)
        save_calibration(path, TEMPERATURE)
        CalibratedScorer.from_pretrained(str(path), progress=False).score(PROMPTS, [["a"], ["b"]])
        with torch.no_grad():
            adapter.base_model.model.score.modules_to_save["default"].weight.mul_(3)
        adapter.save_pretrained(path)
        with pytest.raises(ValueError, match="is of other weights"):
            CalibratedScorer.from_pretrained(str(path), progress=False).score(PROMPTS, [["a"], ["b"]])


def test_what_is_applied_to_files(folder):
    save_calibration(folder, TEMPERATURE)
    raw = RewardScorer(str(folder), progress=False).score_dataset(pairs(5))
    calibrated = CalibratedScorer.from_pretrained(str(folder), progress=False).score_dataset(pairs(5))
    np.testing.assert_allclose(np.array(calibrated["reward"]) * 2, raw["reward"], rtol=1e-5)
