"""Reliability columns become the weights of the RAPL losses."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import ReliabilityRewardConfig, ReliabilityRewardTrainer
from trl_ext.losses import LabelSmoothingLoss


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
        ({"constant_reliability": "median"}, "'mean', got 'median'"),
        ({"rapl_method": "p", "normalize_beta": True}, "normalize_beta"),
        ({"min_eta": 0.0}, "min_eta"),
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


def pairwise_losses(rewards, reliability, loss):
    return np.array([loss(c - r, p) for (c, r), p in zip(rewards.astype(float), reliability, strict=True)])


def soft(d, label):
    return label * np.logaddexp(0, -d) + (1 - label) * np.logaddexp(0, d)


class TestSmoothing:
    def test_the_soft_label_is_the_probability(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, rapl_method="smoothing", max_steps=1)
        assert trainer.train_dataset["label"] == [0.5, 0.6, 0.9, 1.0, 0.75, 0.5]
        assert trainer.train_dataset["weight"] == [1, 1, 1, 1, 1, 0]  # below one half: nothing is taken from it
        trainer.train()

    def test_eval_loss_by_hand(self, tmp_path, tokenizer):
        reliability = [0.5, 0.6, 0.9, 1.0, 0.75, 0.8]
        data = pairs(6, reliability=reliability)
        trainer = make(tmp_path, tokenizer, rapl_method="smoothing")
        expected = pairwise_losses(trainer.predict(data).predictions, reliability, soft)
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-6)

    def test_with_flips_the_label_stays_what_the_column_says(self, tmp_path, tokenizer):
        data = pairs(6, reliability=RELIABILITY)
        trainer = make(tmp_path, tokenizer, rapl_method="smoothing", on_below_half="flip")
        assert "weight" not in trainer.train_dataset.column_names
        expected = pairwise_losses(trainer.predict(data).predictions, RELIABILITY, soft)
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-6)

    def test_a_constant_is_label_smoothing(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, rapl_method="smoothing", constant_reliability=0.9)
        rewards = trainer.predict(pairs(6)).predictions
        chosen, rejected = torch.tensor(rewards[:, 0]), torch.tensor(rewards[:, 1])
        label = torch.tensor(trainer.train_dataset["label"])
        found = trainer.pairwise_loss(chosen, rejected, {"label": label})
        torch.testing.assert_close(found, LabelSmoothingLoss(epsilon=0.1)(chosen, rejected))


class TestBackward:
    def test_eta_and_pairs_without_information(self, tmp_path, tokenizer, caplog):
        trainer = make(tmp_path, tokenizer, rapl_method="backward", max_steps=1)
        np.testing.assert_allclose(trainer.train_dataset["eta"], [1, 0.2, 0.8, 1, 0.5, 1])
        assert trainer.train_dataset["weight"] == [0, 1, 1, 1, 1, 0]
        assert "2 of 6 pairs get weight 0" in caplog.text
        trainer.train()

    def test_weights_of_the_data_are_kept(self, tmp_path, tokenizer):
        data = pairs(6, reliability=RELIABILITY, weight=[2.0, 3.0, 1.0, 1.0, 1.0, 5.0])
        trainer = make(tmp_path, tokenizer, train=data, rapl_method="backward")
        assert trainer.train_dataset["weight"] == [0, 3, 1, 1, 1, 0]

    def test_eval_loss_by_hand(self, tmp_path, tokenizer):
        data = pairs(6, reliability=RELIABILITY)
        trainer = make(tmp_path, tokenizer, rapl_method="backward", on_below_half="flip")

        def corrected(d, p):
            d, p = (d, p) if p > 0.5 else (-d, 1 - p)
            return (p * np.logaddexp(0, -d) - (1 - p) * np.logaddexp(0, d)) / (2 * p - 1)

        # the pair at chance weighs nothing
        expected = pairwise_losses(trainer.predict(data).predictions[1:], RELIABILITY[1:], corrected)
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-5)

    def test_near_chance_is_an_error_with_its_fix(self, tmp_path, tokenizer):
        data = pairs(4, reliability=[0.9, 0.5, 0.502, 0.8])
        with pytest.raises(
            ValueError, match=r"(?s)'reliability'.*row 2 \(id 'pair-2'\), value 0.502.*min_reliability=0.505"
        ):
            make(tmp_path, tokenizer, train=data, rapl_method="backward")
        make(tmp_path, tokenizer, train=data, rapl_method="backward", min_eta=0.001)
        make(tmp_path, tokenizer, train=data, rapl_method="backward", min_reliability=0.505)

    def test_near_chance_in_evaluation_data_weighs_nothing(self, tmp_path, tokenizer, caplog):
        trainer = make(tmp_path, tokenizer, rapl_method="backward")
        metrics = trainer.evaluate(pairs(2, reliability=[0.502, 1.0]))
        rewards = trainer.predict(pairs(2)).predictions.astype(float)
        assert metrics["eval_loss"] == pytest.approx(np.logaddexp(0, rewards[1, 1] - rewards[1, 0]), abs=1e-6)
        assert "1 of 2 pairs get weight 0" in caplog.text


class TestMeanBaseline:
    @pytest.mark.parametrize("method", ["beta", "p", "smoothing", "backward"])
    def test_every_pair_gets_the_mean_of_the_column(self, method, tmp_path, tokenizer):
        mean = np.mean(RELIABILITY)  # 0.675
        expected = {"beta": np.log(mean / (1 - mean)), "p": 0.35, "label": 0.675, "eta": 0.35}
        column = {"smoothing": "label", "backward": "eta"}.get(method, method)
        trainer = make(tmp_path, tokenizer, rapl_method=method, constant_reliability="mean")
        np.testing.assert_allclose(trainer.train_dataset[column], [expected[column]] * 6)
        assert trainer.weight_statistics.constant_reliability == pytest.approx(0.675)

    def test_of_the_pairs_that_are_left(self, tmp_path, tokenizer):
        trainer = make(
            tmp_path, tokenizer, rapl_method="p", constant_reliability="mean", min_reliability=0.7
        )  # fmt: skip
        np.testing.assert_allclose(trainer.train_dataset["p"], [2 * (0.9 + 1 + 0.75) / 3 - 1] * 3)

    def test_needs_the_column(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="'reliability'"):
            make(tmp_path, tokenizer, train=pairs(4), constant_reliability="mean")

    def test_a_number_from_a_command_line_is_a_number(self, tmp_path):
        args = ReliabilityRewardConfig(str(tmp_path), use_cpu=True, bf16=False, constant_reliability="0.9")
        assert args.constant_reliability == 0.9


class TestNormalizedBeta:
    def test_has_mean_one(self, tmp_path, tokenizer):
        plain = make(tmp_path, tokenizer)
        trainer = make(tmp_path, tokenizer, normalize_beta=True)
        beta = np.array(plain.train_dataset["beta"])
        np.testing.assert_allclose(trainer.train_dataset["beta"], beta / beta.mean())
        assert trainer.weight_statistics.normalization_factor == pytest.approx(beta.mean())
        assert trainer.weight_statistics.mean == pytest.approx(1)
        assert plain.weight_statistics.normalization_factor == 1
        assert trainer.weight_statistics.effective_sample_size == pytest.approx(
            plain.weight_statistics.effective_sample_size
        )

    def test_evaluation_has_the_factor_of_training(self, tmp_path, tokenizer):
        data = pairs(3, reliability=[0.9, 0.6, 0.8])
        trainer = make(tmp_path, tokenizer, normalize_beta=True)
        factor = trainer.weight_statistics.normalization_factor
        rewards = trainer.predict(data).predictions
        expected = pairwise_losses(
            rewards, data["reliability"], lambda d, p: np.logaddexp(0, -np.log(p / (1 - p)) / factor * d)
        )
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-6)

    def test_a_constant_becomes_plain_bradley_terry(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, normalize_beta=True, constant_reliability=0.9)
        assert trainer.train_dataset["beta"] == pytest.approx([1.0] * 6)

    def test_nothing_to_normalise(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="beta is 0 for all"):
            make(tmp_path, tokenizer, train=pairs(3, reliability=[0.5, 0.2, 0.1]), normalize_beta=True)


class TestFlipped:
    def test_predictions_are_about_the_labels_as_given(self, tmp_path, tokenizer):
        data = pairs(6, reliability=RELIABILITY)
        trainer = make(tmp_path, tokenizer, rapl_method="p", on_below_half="flip")
        found, plain = trainer.predict_pairs(data), trainer.predict_pairs(pairs(6))
        assert found["chosen"] == data["chosen"]
        assert found["reward_chosen"] == pytest.approx(plain["reward_chosen"], abs=1e-6)

    def test_preparing_prepared_pairs_changes_nothing(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, rapl_method="p", on_below_half="flip")
        rows = trainer.train_dataset.select(range(6))
        again = trainer.predict_pairs(rows)
        assert again["p"] == rows["p"] and again["flipped"] == rows["flipped"]

    def test_plain_training_on_flipped_labels(self, tmp_path, tokenizer):
        data = pairs(6, reliability=RELIABILITY)
        trainer = make(tmp_path, tokenizer, rapl_method="none", on_below_half="flip")
        difference = np.diff(trainer.predict(pairs(6)).predictions.astype(float))[:, 0]  # rejected minus chosen
        difference[5] *= -1
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(np.logaddexp(0, difference).mean(), abs=1e-6)
        assert trainer.weight_statistics.flipped == 1

    def test_plain_training_can_refuse_them(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="row 5"):
            make(tmp_path, tokenizer, rapl_method="none", on_below_half="error")

    def test_training_pulls_a_flipped_pair_the_other_way(self, tmp_path, tokenizer):
        data = Dataset.from_dict(
            {"prompt": ["2 + 2? "], "chosen": ["Seven."], "rejected": ["Four."], "reliability": [0.1]}
        )
        trainer = make(
            tmp_path, tokenizer, train=data, rapl_method="p", on_below_half="flip", learning_rate=1e-2, max_steps=15
        )
        trainer.train()
        chosen, rejected = trainer.predict(data).predictions[0]
        assert rejected > chosen

    def test_a_column_of_that_name_is_not_mistaken(self, tmp_path, tokenizer):
        data = pairs(6, reliability=RELIABILITY, flipped=[True] * 6)
        trainer = make(tmp_path, tokenizer, train=data, rapl_method="p")
        assert "flipped" not in trainer._loss_columns
        with pytest.raises(ValueError, match="'flipped'"):
            make(tmp_path, tokenizer, eval_dataset=pairs(6, flipped=[True] * 6), on_below_half="flip")


class TestWeightStatistics:
    @pytest.mark.parametrize(
        "method, weights",
        [
            ("p", [0, 0.2, 0.8, 1, 0.5, 0]),
            ("smoothing", [0, 0.2, 0.8, 1, 0.5, 0]),  # 2 label - 1
            ("backward", [0, 5, 1.25, 1, 2, 0]),  # 1 / eta
            ("none", [1] * 6),
        ],
    )
    def test_are_slopes_at_equal_rewards(self, method, weights, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, rapl_method=method)
        found = trainer.weight_statistics
        assert found.mean == pytest.approx(np.mean(weights))
        assert found.max == pytest.approx(max(weights))
        assert found.effective_sample_size == pytest.approx(np.sum(weights) ** 2 / np.square(weights).sum())
        assert found.share_below_half == pytest.approx(1 / 6)
        # and so they are: the derivative of the loss, times its weight, at equal rewards
        data = trainer.train_dataset
        columns = {name: torch.tensor(data[name]) for name in trainer.loss.columns}
        chosen = torch.zeros(6, requires_grad=True)
        trainer.pairwise_loss(chosen, torch.zeros(6), columns).sum().backward()
        sample_weight = data["weight"] if "weight" in data.column_names else 1
        np.testing.assert_allclose(-2 * chosen.grad.numpy() * sample_weight, weights, atol=1e-6)

    def test_are_logged_once_and_are_json(self, tmp_path, tokenizer, caplog):
        with caplog.at_level("INFO", logger="trl_ext"):
            trainer = make(tmp_path, tokenizer, rapl_method="p")
        assert caplog.text.count("weights of the training pairs") == 1
        assert json.loads(json.dumps(trainer.weight_statistics.to_dict()))["n"] == 6

    def test_raw_values_have_no_half(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, rapl_method="p", reliability_kind="raw")
        assert trainer.weight_statistics.share_below_half is None

    def test_count_the_pairs_that_are_trained_on(self, tmp_path, tokenizer):
        lengths = [len(ids) for ids in make(tmp_path, tokenizer).train_dataset["rejected_ids"]]
        trainer = make(tmp_path, tokenizer, rapl_method="p", max_length=max(lengths) - 1)
        assert trainer.weight_statistics.n == len(trainer.train_dataset) < 6


@pytest.mark.parametrize("below", ["zero", "flip"])
@pytest.mark.parametrize("constant", [None, 0.9, "mean"])
@pytest.mark.parametrize("minimum", [None, 0.2, 0.7])
@pytest.mark.parametrize("method", ["beta", "p", "margin", "smoothing", "backward"])
def test_baselines_combine(method, minimum, constant, below, tmp_path, tokenizer):
    settings = {"rapl_method": method, "min_reliability": minimum, "on_below_half": below}
    settings["constant_reliability"] = constant
    if constant == 0.9 and minimum is not None:
        with pytest.raises(ValueError, match="min_reliability"):
            make(tmp_path, tokenizer, **settings)
        return
    trainer = make(tmp_path, tokenizer, **settings)
    kept = [r for r in RELIABILITY if minimum is None or r >= minimum]
    found = trainer.weight_statistics
    assert found.n == len(kept)
    assert found.constant_reliability == pytest.approx({None: None, 0.9: 0.9, "mean": np.mean(kept)}[constant])
    assert found.flipped == (below == "flip" and constant is None and minimum != 0.7)
    loss = trainer.evaluate(pairs(6, reliability=RELIABILITY))["eval_loss"]
    assert np.isfinite(loss)
