"""Calibration of σ(reward difference) in the logs of the trainer and in `calibration/training.json`."""

import json

import numpy as np
import pytest

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.evaluation import pair_calibration
from trl_ext.trainer.probability_metrics import flat_metrics, probability_figures, write_probability_log


def test_metrics_and_the_file_of_a_training(tmp_path):
    tokenizer = tiny_tokenizer()
    args = PairwiseRewardConfig(
        str(tmp_path), max_steps=2, eval_strategy="steps", eval_steps=1, per_device_train_batch_size=4, report_to="none",
        use_cpu=True, save_strategy="no", bf16=False, gradient_checkpointing=False,
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(
        tiny_reward_model(tokenizer), args, train_dataset=pairs(8), eval_dataset=pairs(13), processing_class=tokenizer
    )
    trainer.train()
    logged = [row for row in trainer.state.log_history if "eval_ece" in row]
    rewards = trainer.predict(pairs(13)).predictions.astype(np.float64)
    expected = pair_calibration(rewards[:, 0] - rewards[:, 1], resamples=200)
    for name, figure in expected.items():
        assert logged[-1][f"eval_{name}"] == pytest.approx(figure.value, abs=1e-6)
        assert logged[-1][f"eval_{name}_ci_low"] <= figure.value
    rows = json.loads((tmp_path / "calibration" / "training.json").read_text())
    assert [row["step"] for row in rows] == [1, 2] and {"ece", "brier", "log_loss"} <= rows[0].keys()
    assert rows[1]["ece"]["value"] == logged[1]["eval_ece"]
    assert "diagram" not in rows[0] and sum(bin["n"] for bin in rows[1]["diagram"]["bins"]) == 13
    assert (tmp_path / "calibration" / "training.png").is_file()


def test_rows_of_another_run_go(tmp_path):
    differences = np.random.default_rng(0).normal(size=30)
    figures = probability_figures(differences, None)
    for step, log in (
        (1, []),
        (2, [{"step": 1, "eval_ece": figures["ece"].value}]),
        (3, [{"step": 1, "eval_ece": 0.123}]),
    ):
        write_probability_log(tmp_path, figures, differences, None, step=step, prefix="eval", log_history=log)
        rows = json.loads((tmp_path / "calibration" / "training.json").read_text())
        assert [row["step"] for row in rows] == {1: [1], 2: [1, 2], 3: [3]}[step]


def test_a_single_pair_has_no_interval_and_rewards_that_are_not_finite_no_figures():
    assert flat_metrics(probability_figures(np.array([1.0]), None)).keys() == {"ece", "brier", "log_loss"}
    assert probability_figures(np.array([np.inf]), None) == {}


def test_labels_decide_who_is_right():
    d = np.array([2.0, 1.0, -1.0])
    turned = pair_calibration(-d, np.zeros(3), resamples=50)
    assert turned["ece"].value == pytest.approx(pair_calibration(d, resamples=50)["ece"].value)
    weighted = pair_calibration(d, weights=[1.0, 2.0, 0.0], resamples=50)
    assert weighted["log_loss"].value == pytest.approx((np.log1p(np.exp(-2)) + 2 * np.log1p(np.exp(-1))) / 3)
