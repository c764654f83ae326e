"""Reliability columns become the weights of the RAPL losses."""

import numpy as np
import pytest
from datasets import Dataset

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import ReliabilityRewardConfig, ReliabilityRewardTrainer


RELIABILITY = [0.5, 0.6, 0.9, 1.0, 0.75, 0.3]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, train=None, eval_dataset=None, **kwargs):
    defaults = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
        "disable_tqdm": True,
    }  # fmt: skip
    return ReliabilityRewardTrainer(
        model=tiny_reward_model(tokenizer),
        args=ReliabilityRewardConfig(str(path), **(defaults | kwargs)),
        train_dataset=pairs(6, reliability=RELIABILITY) if train is None else train,
        eval_dataset=eval_dataset,
        processing_class=tokenizer,
    )


@pytest.mark.parametrize(
    "method, expected",
    [
        ("beta", [0, np.log(0.6 / 0.4), np.log(9), np.log((1 - 1e-7) / 1e-7), np.log(3), 0]),
        ("p", [0, 0.2, 0.8, 1.0, 0.5, 0]),
        ("margin", [1, 1 - np.log(1.5), 0, 0, 0, 1]),
    ],
)
def test_probability_of_correctness_is_converted(method, expected, tmp_path, tokenizer):
    trainer = make(tmp_path, tokenizer, rapl_method=method, max_steps=1)
    np.testing.assert_allclose(trainer.train_dataset[method], expected, atol=1e-9)
    trainer.train()


@pytest.mark.parametrize("method", ["beta", "p", "margin"])
def test_raw_values_are_used_as_they_are(method, tmp_path, tokenizer):
    trainer = make(tmp_path, tokenizer, rapl_method=method, reliability_kind="raw")
    assert trainer.train_dataset[method] == RELIABILITY


def test_eval_loss_is_the_epsilon_loss(tmp_path, tokenizer):
    data = pairs(6, reliability=RELIABILITY)
    trainer = make(tmp_path, tokenizer, rapl_method="p", per_device_eval_batch_size=4)
    rewards = trainer.predict(data).predictions.astype(float)
    p = np.clip(2 * np.array(RELIABILITY) - 1, 0, 1)
    losses = -np.log(p / (1 + np.exp(rewards[:, 1] - rewards[:, 0])) + (1 - p) / 2)
    metrics = trainer.evaluate(data)
    assert metrics["eval_loss"] == pytest.approx(losses.mean(), abs=1e-6)
    # the criterion by which runs with different weights are compared
    assert metrics["eval_log_loss"] == pytest.approx(np.logaddexp(0, rewards[:, 1] - rewards[:, 0]).mean(), abs=1e-6)


def test_evaluation_without_reliability_uses_bradley_terry(tmp_path, tokenizer):
    trainer = make(tmp_path, tokenizer, eval_dataset=pairs(5))
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] == pytest.approx(metrics["eval_log_loss"], abs=1e-6)


def test_below_half_can_be_flipped(tmp_path, tokenizer):
    data = pairs(6, reliability=RELIABILITY)
    trainer = make(tmp_path, tokenizer, train=data, rapl_method="p", on_below_half="flip")
    found = trainer.train_dataset
    assert found["flipped"] == [False] * 5 + [True]
    assert found["p"][5] == pytest.approx(0.4)
    assert found["chosen"] == data["chosen"]


def test_below_half_can_be_refused(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="row 5"):
        make(tmp_path, tokenizer, on_below_half="error")


def test_constant_reliability_needs_no_column(tmp_path, tokenizer):
    trainer = make(tmp_path, tokenizer, train=pairs(4), rapl_method="p", constant_reliability=0.9)
    np.testing.assert_allclose(trainer.train_dataset["p"], [0.8] * 4)


def test_constant_raw_p(tmp_path, tokenizer):
    trainer = make(
        tmp_path, tokenizer, train=pairs(4), rapl_method="p", constant_reliability=0.9, reliability_kind="raw"
    )
    assert trainer.train_dataset["p"] == [0.9] * 4


def test_hard_filtering_drops_and_says_so(tmp_path, tokenizer, caplog):
    trainer = make(tmp_path, tokenizer, rapl_method="none", min_reliability=0.7)
    assert trainer.train_dataset["reliability"] == [0.9, 1.0, 0.75]
    assert "dropped 3 of 6" in caplog.text


def test_hard_filtering_refuses_to_drop_everything(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="min_reliability.*largest is 0.5"):
        make(tmp_path, tokenizer, train=pairs(3, reliability=[0.5, 0.2, 0.1]), min_reliability=0.7)


@pytest.mark.parametrize("value", [float("nan"), 1.2, -0.1])
@pytest.mark.parametrize("method", ["beta", "p", "margin"])
def test_bad_reliability_is_refused_with_its_row(value, method, tmp_path, tokenizer):
    data = pairs(4, reliability=[0.5, 0.6, value, 0.7])
    with pytest.raises(ValueError, match=r"(?s)'reliability'.*row 2.*pair-2"):
        make(tmp_path, tokenizer, train=data, rapl_method=method)


def test_missing_reliability_is_refused(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="'reliability'"):
        make(tmp_path, tokenizer, train=pairs(4))


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"rapl_method": "gamma"}, "rapl_method"),
        ({"reliability_kind": "percent"}, "reliability_kind"),
        ({"on_below_half": "drop"}, "on_below_half"),
        ({"constant_reliability": 1.5}, "constant_reliability"),
        ({"constant_reliability": 0.9, "min_reliability": 0.5}, "min_reliability"),
        ({"reliability_kind": "raw", "on_below_half": "flip"}, "on_below_half"),
    ],
)
def test_contradictory_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ReliabilityRewardConfig("x", use_cpu=True, bf16=False, **kwargs)


def test_reliable_pairs_decide_where_labels_conflict(tmp_path, tokenizer):
    """Two labels of one pair contradict; the more reliable one must win, whichever comes first."""
    for reliability in ([0.95, 0.55], [0.55, 0.95]):
        data = Dataset.from_dict(
            {
                "prompt": ["2 + 2? "] * 2,
                "chosen": ["It is four.", "It is seven."],
                "rejected": ["It is seven.", "It is four."],
                "reliability": reliability,
            }
        )
        trainer = make(tmp_path, tokenizer, train=data, rapl_method="p", learning_rate=1e-2, max_steps=40)
        trainer.train()
        rewards = trainer.predict(data).predictions
        assert (rewards[0, 0] > rewards[0, 1]) == (reliability[0] > reliability[1])
