"""The defaults of win-rate matching do not depend on the unit of the rewards, and soft labels bring their temperature."""

import logging

import numpy as np
import pytest
import torch

from tests.calibration_data import RATINGS, SETTINGS, human_pairs, make_calibration, model_pairs
from tests.tiny import tiny_reward_model, tiny_tokenizer
from trl_ext import CalibrationRewardConfig, CalibrationRewardTrainer


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def logged(trainer, name):
    return np.array([row[name] for row in trainer.state.log_history if name in row])


class TestUnit:
    @pytest.fixture(scope="class")
    def runs(self, tmp_path_factory, tokenizer):
        """
        A model, and one whose rewards are 16 times as large. Gradients of the head are then a 16th, so that under SGD steps
        256 times as large keep it 16 times as large. Powers of two, so that nothing is rounded differently.
        """
        found = []
        for unit in (1.0, 16.0):
            model = tiny_reward_model(tokenizer)
            with torch.no_grad():
                model.score.weight *= unit
            body = [p for name, p in model.named_parameters() if not name.startswith("score")]
            groups = [{"params": body, "lr": 0.01}, {"params": [model.score.weight], "lr": 0.01 * unit**2}]
            settings = SETTINGS | {"max_grad_norm": 0, "max_steps": 3, "logging_steps": 1}
            args = CalibrationRewardConfig(
                str(tmp_path_factory.mktemp("run")), calibration_method="matching", **settings
            )
            trainer = CalibrationRewardTrainer(
                model, args, train_dataset=model_pairs(), ratings=RATINGS, processing_class=tokenizer,
                optimizers=(torch.optim.SGD(groups), None),
            )  # fmt: skip
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            trainer.train()
            found.append((trainer, before))
        return found

    def test_the_settings_are_in_the_unit_of_the_rewards(self, runs):
        (one, _), (large, _) = runs
        assert (large.temperature, large.anchor_weight) == (16 * one.temperature, one.anchor_weight / 256)
        assert one.temperature == pytest.approx(one.frozen_sd / 4)
        assert one.anchor_weight == pytest.approx(0.02 / one.frozen_sd**2)

    def test_the_objective_and_the_win_rates_are_the_same_in_every_step(self, runs):
        (one, _), (large, _) = runs
        assert len(logged(one, "loss")) == 3 and logged(one, "anchor")[-1] > 1e-3 * one.frozen_sd**2
        for name, factor in (("win_rate_gap", 1), ("loss", 1), ("anchor", 256)):
            np.testing.assert_allclose(logged(large, name), factor * logged(one, name), rtol=1e-6, atol=1e-9)

    def test_so_is_the_training(self, runs):
        (one, before), (large, _) = runs
        for (name, p), q in zip(one.model.named_parameters(), large.model.parameters(), strict=True):
            assert not torch.equal(p, before[name])
            torch.testing.assert_close(q / (16 if name.startswith("score") else 1), p, atol=1e-7, rtol=1e-6)


class TestFoundBeforeTraining:
    def test_given_scores_set_it_at_once_in_either_order_of_a_pair(self, tmp_path, tokenizer, caplog):
        generator = np.random.default_rng(0)
        scores, train = generator.normal(0, 8, (40, 2)), model_pairs()
        train = train.add_column("score_chosen", scores[:, 0]).add_column("score_rejected", scores[:, 1])
        with caplog.at_level(logging.INFO, logger="trl_ext"):
            trainer = make_calibration(tmp_path, tokenizer, train, anchor_coefficient=0.05)
        names = zip(train["source_chosen"], train["source_rejected"], strict=True)
        table = train.to_pandas().assign(pair=["/".join(sorted(both)) for both in names])
        table["z"] = table["score_chosen"] - table["score_rejected"]
        table["z"] = table["z"].where(table["source_chosen"] < table["source_rejected"], -table["z"])
        groups = table.groupby("pair")["z"]
        sd = np.sqrt((groups.var() * (groups.size() - 1)).sum() / (40 - 3))
        assert (trainer.frozen_sd, trainer.temperature) == pytest.approx((sd, sd / 4))
        assert trainer.anchor_weight == pytest.approx(0.05 / sd**2)
        assert caplog.text.count(f"standard deviation of {sd:.4g} before training") == 1
        trainer.create_model_card()
        card = (tmp_path / "README.md").read_text()
        assert f"| temperature | {sd / 4:.4g} |" in card and f"| {0.05 / sd**2:.4g} / reward² |" in card

    def test_an_evaluation_finds_it_and_a_prediction_does_without(self, tmp_path, tokenizer):
        trainer = make_calibration(tmp_path, tokenizer)
        assert (trainer.temperature, trainer.anchor_weight, trainer.frozen_sd) == (None, None, None)
        prediction = trainer.predict(model_pairs(10))
        assert np.isnan(prediction.metrics["test_loss"])
        z = np.subtract(*trainer.predict(model_pairs()).predictions.astype(np.float64).T)
        loss = trainer.evaluate(model_pairs(10))["eval_loss"]
        assert np.isfinite(loss) and trainer.temperature == pytest.approx(trainer.frozen_sd / 4)
        assert 0 < trainer.frozen_sd <= np.sqrt((z**2).sum() / 37)

    def test_settings_of_ones_own_need_no_rewards_before_training(self, tmp_path, tokenizer):
        trainer = make_calibration(tmp_path, tokenizer, temperature=0.3, anchor_coefficient=0.0)
        assert (trainer.temperature, trainer.anchor_weight, trainer.frozen_sd) == (0.3, 0.0, None)

    def test_a_temperature_that_is_not_of_the_unit_is_noticed(self, tmp_path, tokenizer, caplog):
        scores = np.random.default_rng(0).normal(0, 0.05, (2, 40))
        train = model_pairs(score_chosen=scores[0], score_rejected=scores[1])
        make_calibration(tmp_path, tokenizer, train, temperature=1.0)
        assert "temperature=1 is above the standard deviation 0.0" in caplog.text


class TestTemperatureOfLabels:
    def test_every_label_has_its_own(self, tmp_path, tokenizer):
        label, temperature = np.linspace(0.55, 0.95, 12), np.repeat([0.5, 4.0], 6)
        train = model_pairs(12, label=label, label_temperature=temperature)
        trainer = make_calibration(tmp_path, tokenizer, train, calibration_method="soft")
        z = np.subtract(*trainer.predict(train).predictions.astype(np.float64).T) / temperature
        expected = (label * np.logaddexp(0, -z) + (1 - label) * np.logaddexp(0, z)).mean()
        assert trainer.evaluate(train)["eval_loss"] == pytest.approx(expected, rel=1e-5)
        assert trainer.temperature is None
        trainer.create_model_card()
        assert "| temperature | 0.5 to 4, that of each label |" in (tmp_path / "README.md").read_text()

    @pytest.mark.parametrize(
        "columns, settings, expected",
        [({}, {}, 1.0), ({}, {"temperature": 3.0}, 3.0), ({"label_temperature": [2.0] * 40}, {}, 2.0)],
    )
    def test_one_for_all(self, tmp_path, tokenizer, columns, settings, expected):
        train = model_pairs(label=[0.7] * 40, **columns)
        assert (
            make_calibration(tmp_path, tokenizer, train, calibration_method="soft", **settings).temperature == expected
        )


class TestGivenScores:
    """Scores of the training set are compared with the rewards of the model before the first step."""

    @pytest.fixture(scope="class")
    def right(self, tmp_path_factory, tokenizer):
        rewards = make_calibration(tmp_path_factory.mktemp("run"), tokenizer).predict(model_pairs()).predictions
        return rewards.astype(np.float64).T

    @staticmethod
    def trained(path, tokenizer, scores, compares=True):
        train = model_pairs(score_chosen=scores[0], score_rejected=scores[1])
        trainer = make_calibration(
            path, tokenizer, train, human=human_pairs(), max_steps=2, disable_dropout=False, shared_prefix=False
        )
        trainer._compares_scores &= compares
        for layer in trainer.model.model.layers:
            layer.self_attn.attention_dropout = 0.2
        trainer.train()
        return trainer

    def test_those_of_the_model_pass_and_others_are_told(self, tmp_path, tokenizer, right, caplog):
        self.trained(tmp_path, tokenizer, right)
        assert "not the rewards of the model" not in caplog.text
        scores = right.copy()
        scores[0, 39] += 5.0
        self.trained(tmp_path, tokenizer, scores)
        assert "in 16 rows that were compared they differ by up to 5 (" in caplog.text

    def test_the_training_is_the_same(self, tmp_path, tokenizer, right):
        compared, plain = (self.trained(tmp_path, tokenizer, right, compares).model for compares in (True, False))
        for p, q in zip(compared.parameters(), plain.parameters(), strict=True):
            assert torch.equal(p, q)

    def test_not_after_a_resume(self, tmp_path, tokenizer, right, caplog):
        train = model_pairs(score_chosen=right[0], score_rejected=right[1])
        settings = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
        make_calibration(tmp_path, tokenizer, train, **settings).train()
        resumed = make_calibration(tmp_path, tokenizer, train, **settings)
        with torch.no_grad():
            resumed.model.score.weight *= 100  # as the weights of the checkpoint would be
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        assert "not the rewards of the model" not in caplog.text
