"""Each method of calibration does what its formula says, and win-rate matching moves win rates where they should be."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from scipy.stats import kendalltau
from sklearn.linear_model import LogisticRegression

from tests.calibration_data import RATINGS, SETTINGS, Gradients, human_pairs, make_calibration, model_pairs
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import CalibrationRewardConfig, CalibrationRewardTrainer, PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.scoring.calibrated import CONFIG_KEY, RewardCalibration, save_calibration
from trl_ext.trainer.calibration_offsets import fit_source_offsets


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def first_log(trainer):
    return next(row for row in trainer.state.log_history if "loss" in row)


def rewards_of(trainer, dataset):
    return trainer.predict(dataset).predictions.astype(np.float64)


def cross_entropy(z, label):
    return label * np.logaddexp(0, -z) + (1 - label) * np.logaddexp(0, z)


class TestHardAndSoft:
    def test_hard_follows_the_trajectory_of_bradley_terry(self, tmp_path, tokenizer):
        trainer = make_calibration(tmp_path, tokenizer, calibration_method="hard", num_train_epochs=1)
        plain = PairwiseRewardTrainer(
            tiny_reward_model(tokenizer), PairwiseRewardConfig(str(tmp_path), **(SETTINGS | {"num_train_epochs": 1})), train_dataset=model_pairs(),
            processing_class=tokenizer,
        )  # fmt: skip
        trainer.train()
        plain.train()
        torch.testing.assert_close(weights(trainer), weights(plain), atol=1e-6, rtol=0)

    def test_soft_is_the_cross_entropy_at_its_temperature(self, tmp_path, tokenizer):
        label = np.linspace(0.1, 0.9, 12)
        train = model_pairs(12, label=label, weight=np.arange(12.0))
        trainer = make_calibration(
            tmp_path, tokenizer, train, calibration_method="soft", temperature=2.0, learning_rate=0.0,
            per_device_train_batch_size=12,
        )  # fmt: skip
        rewards = rewards_of(trainer, train)
        trainer.train()
        expected = np.average(cross_entropy((rewards[:, 0] - rewards[:, 1]) / 2, label), weights=np.arange(12.0))
        assert first_log(trainer)["loss"] == pytest.approx(expected, rel=1e-5)


class TestHumanPairs:
    def test_the_loss_is_the_weighted_sum_of_both_means(self, tmp_path, tokenizer):
        train, human = model_pairs(20, label=[0.8] * 20), human_pairs(12)
        trainer = make_calibration(
            tmp_path, tokenizer, train, human=human, calibration_method="soft", calibration_coefficient=0.5,
            human_coefficient=2.0, learning_rate=0.0, per_device_train_batch_size=32, logging_steps=1,
        )  # fmt: skip
        (first, second) = (np.subtract(*rewards_of(trainer, data).T) for data in (train, human))
        trainer.train()
        human_loss = cross_entropy(second, 1).mean()
        log = first_log(trainer)
        assert log["loss"] == pytest.approx(0.5 * cross_entropy(first, 0.8).mean() + 2 * human_loss, rel=1e-5)
        assert log["human_loss"] == pytest.approx(human_loss, rel=1e-5)
        assert log["human_accuracy"] == pytest.approx((second > 0).mean())

    def test_accumulation_does_not_change_the_gradient(self, tmp_path, tokenizer):
        found = []
        for batch, windows in ((32, 1), (8, 4)):
            record = Gradients()
            make_calibration(
                tmp_path, tokenizer, model_pairs(20), human=human_pairs(12), calibration_method="hard", callbacks=[record],
                max_grad_norm=0, per_device_train_batch_size=batch, gradient_accumulation_steps=windows, max_steps=1,
            ).train()  # fmt: skip
            found.append(record.steps[0])
        for other in found[1:]:
            torch.testing.assert_close(other, found[0], atol=1e-5 * found[0].abs().max().item(), rtol=0)

    def test_every_batch_has_both(self, tmp_path, tokenizer):
        trainer = make_calibration(tmp_path, tokenizer, human=human_pairs(20))
        shares = [batch["is_human"].sum().item() for batch in trainer.get_train_dataloader()]
        assert len(shares) == 8 and set(shares[:-1]) <= {2, 3} and sum(shares) == 20


class TestMatching:
    def test_the_first_loss_is_the_objective_of_the_batch(self, tmp_path, tokenizer):
        train = model_pairs(40)
        trainer = make_calibration(
            tmp_path, tokenizer, train, learning_rate=0.0, per_device_train_batch_size=40, pairs_of_models_per_batch=3,
            temperature=3.0, logging_steps=1,
        )  # fmt: skip
        z = np.subtract(*rewards_of(trainer, train).T)
        trainer.train()
        terms, gaps = [], []
        for first, second in (("ant", "bee"), ("ant", "cow"), ("bee", "cow")):
            signs = [(a == first) * (b == second) - 1 * (a == second) * (b == first)
                     for a, b in zip(train["source_chosen"], train["source_rejected"], strict=True)]  # fmt: skip
            shares = 1 / (1 + np.exp(-np.array(signs)[np.array(signs) != 0] * z[np.array(signs) != 0] / 3))
            errors = shares - 1 / (1 + 10 ** ((RATINGS[second] - RATINGS[first]) / 400))
            pair_count = len(errors) * (len(errors) - 1)
            terms.append((errors.sum() ** 2 - (errors**2).sum()) / pair_count)
            gaps.append(abs(errors.mean()))
        log = first_log(trainer)
        assert log["anchor"] == pytest.approx(0.0, abs=1e-8)  # nothing has changed yet
        assert log["win_rate_gap"] == pytest.approx(np.mean(gaps), rel=1e-4)
        assert log["loss"] == pytest.approx(np.mean(terms), rel=1e-4)

    @pytest.mark.slow
    def test_moves_win_rates_to_their_targets_and_the_anchor_keeps_the_order_within_models(self, tmp_path, tokenizer):
        rows = {
            "prompt": [f"Question {i}: what is {i} and {i + 1}? " for i in range(64)],
            "chosen": ["Sure! " + f"It is {7 * i % 64}." for i in range(64)],
            "rejected": [f"It is {11 * i % 64}, I think." for i in range(64)],
            "source_chosen": ["glib"] * 64,
            "source_rejected": ["modest"] * 64,
        }
        frozen = rewards_of(make_calibration(tmp_path, tokenizer), Dataset.from_dict(rows))
        data = Dataset.from_dict(rows | {"score_chosen": frozen[:, 0], "score_rejected": frozen[:, 1]})
        before = (frozen[:, 0] > frozen[:, 1]).mean()
        assert before < 0.3
        kept = []
        for anchor in (0.0, 0.1):
            trainer = make_calibration(
                tmp_path, tokenizer, data, ratings={"glib": 400 * np.log10(3), "modest": 0.0}, evaluation=data,
                learning_rate=1e-3, temperature=0.1, per_device_train_batch_size=64, num_train_epochs=20,
                anchor_coefficient=anchor, lr_scheduler_type="cosine",
            )  # fmt: skip
            trainer.train()
            metrics = trainer.evaluate()
            assert metrics["eval_win_rate_gap"] == pytest.approx(
                abs(metrics["eval_win_rate/glib/modest"] - 0.75), abs=1e-6
            )
            assert metrics["eval_win_rate_gap"] < 0.2 < 0.75 - before
            kept.append(metrics["eval_within_source_kendall_tau"])
        assert kept[1] > kept[0] + 0.1 and kept[1] > 0.85

    @pytest.mark.slow
    def test_given_and_computed_scores_are_the_same_training(self, tmp_path, tokenizer):
        computed = make_calibration(tmp_path, tokenizer)
        frozen = rewards_of(make_calibration(tmp_path, tokenizer), model_pairs())
        given = make_calibration(
            tmp_path, tokenizer, model_pairs(score_chosen=frozen[:, 0], score_rejected=frozen[:, 1])
        )
        for trainer in (computed, given):
            trainer.train()
        torch.testing.assert_close(weights(computed), weights(given), atol=1e-6, rtol=0)

    def test_packed_and_padded_batches_are_the_same_training(self, tmp_path, tokenizer):
        packed, padded = (
            make_calibration(
                tmp_path, tokenizer, human=human_pairs(), shared_prefix=shared, adam_epsilon=1e-4, num_train_epochs=1
            )
            for shared in (True, False)
        )
        assert packed.shared_prefix_report.enabled and not padded.shared_prefix_report.enabled
        for trainer in (packed, padded):
            trainer.train()
        torch.testing.assert_close(weights(packed), weights(padded), atol=2e-4, rtol=0)

    def test_trains_an_adapter(self, tmp_path, tokenizer):
        trainer = CalibrationRewardTrainer(
            tiny_reward_model(tokenizer),
            CalibrationRewardConfig(str(tmp_path), calibration_method="matching", **SETTINGS),
            train_dataset=model_pairs(), human_dataset=human_pairs(), ratings=RATINGS, processing_class=tokenizer,
            peft_config=LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear"),
        )  # fmt: skip
        before = {name: p.clone() for name, p in trainer.model.named_parameters()}
        trainer.train()
        changed = {name for name, p in trainer.model.named_parameters() if not torch.equal(p, before[name])}
        assert changed == {name for name, p in trainer.model.named_parameters() if p.requires_grad}


class TestSourceOffsets:
    def test_the_fit_is_that_of_a_ridge_regression(self):
        generator = np.random.default_rng(0)
        chosen = generator.integers(0, 4, 300)
        rejected = (chosen + generator.integers(1, 4, 300)) % 4
        label, weight = generator.integers(0, 2, 300).astype(float), generator.random(300)
        found = fit_source_offsets(np.zeros(300), chosen, rejected, label, weight, 4, prior_sd=0.7)
        design = np.eye(4)[chosen] - np.eye(4)[rejected]
        model = LogisticRegression(C=0.49, fit_intercept=False, tol=1e-12, max_iter=1000)
        expected = model.fit(design, label, weight).coef_[0]
        np.testing.assert_allclose(found, expected, atol=1e-5)
        assert found.sum() == pytest.approx(0, abs=1e-12)

    def test_differences_count_as_they_are(self):
        generator = np.random.default_rng(1)
        truth = np.array([0.8, -0.5, -0.3])
        chosen = generator.integers(0, 3, 50_000)
        rejected = (chosen + generator.integers(1, 3, 50_000)) % 3
        differences = generator.normal(0, 2, 50_000)
        label = generator.random(50_000) < 1 / (1 + np.exp(-differences - truth[chosen] + truth[rejected]))
        found = fit_source_offsets(differences, chosen, rejected, label.astype(float), np.ones(50_000), 3, 10.0)
        np.testing.assert_allclose(found, truth, atol=0.05)

    def test_offsets_explain_a_preference_for_a_source(self, tmp_path, tokenizer):
        # "bee" is preferred whatever it writes: with offsets, training need not reward it
        rows = [row | {"label": float(row["source_chosen"] == "bee")} for row in model_pairs(60)]
        train = Dataset.from_list([row for row in rows if "bee" in (row["source_chosen"], row["source_rejected"])])
        trainer = make_calibration(
            tmp_path, tokenizer, train, calibration_method="source_offset", learning_rate=1e-5,
            source_offset_update_steps=2, ratings=None,
        )  # fmt: skip
        trainer.train()
        offsets = trainer.source_offsets
        assert offsets["bee"] > 0.5 > max(offsets["ant"], offsets["cow"])
        assert sum(offsets.values()) == pytest.approx(0, abs=1e-9)
        trainer.create_model_card()
        assert "offsets of the sources, dropped | ant:" in (tmp_path / "README.md").read_text()

    def test_other_methods_have_none(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="'hard' has no source offsets"):
            _ = make_calibration(tmp_path, tokenizer, calibration_method="hard").source_offsets


class TestEvaluation:
    def test_win_rates_and_mismatch_by_hand(self, tmp_path, tokenizer):
        data = model_pairs(30, score_chosen=np.arange(30.0), score_rejected=-np.arange(30.0))
        trainer = make_calibration(tmp_path, tokenizer)
        rewards, metrics = rewards_of(trainer, data), trainer.evaluate(data)
        table = data.to_pandas().assign(better=rewards[:, 0] > rewards[:, 1])
        mismatches = []
        for first, second in (("ant", "bee"), ("ant", "cow"), ("bee", "cow")):
            forward = table[(table["source_chosen"] == first) & (table["source_rejected"] == second)]
            backward = table[(table["source_chosen"] == second) & (table["source_rejected"] == first)]
            rate = np.concatenate([forward["better"], ~backward["better"]]).mean()
            target = 1 / (1 + 10 ** ((RATINGS[second] - RATINGS[first]) / 400))
            mismatches.append(abs(rate - target) / max(target, 1 - target))
            assert metrics[f"eval_win_rate/{first}/{second}"] == pytest.approx(rate)
            assert metrics[f"eval_ties/{first}/{second}"] == 0
        assert metrics["eval_mean_abs_mismatch"] == pytest.approx(np.mean(mismatches), abs=1e-6)
        taus = []
        for model in RATINGS:
            mine = [(table["source_chosen"] == model).to_numpy(), (table["source_rejected"] == model).to_numpy()]
            values = [np.concatenate([scores[rows] for scores, rows in zip(both.T, mine, strict=True)])
                      for both in (rewards, table[["score_chosen", "score_rejected"]].to_numpy())]  # fmt: skip
            taus.append(kendalltau(*values).statistic)
        assert metrics["eval_within_source_kendall_tau"] == pytest.approx(np.mean(taus))

    def test_sets_without_sources_are_evaluated_as_usual(self, tmp_path, tokenizer):
        trainer = make_calibration(tmp_path, tokenizer)
        data = pairs(13)
        z, metrics = np.subtract(*rewards_of(trainer, data).T), trainer.evaluate(data)
        assert metrics["eval_loss"] == pytest.approx(np.logaddexp(0, -z).mean(), rel=1e-5)
        assert not any("win_rate" in name for name in metrics)

    def test_models_without_a_rating_are_evaluated_without_targets(self, tmp_path, tokenizer, caplog):
        trainer = make_calibration(tmp_path, tokenizer)
        metrics = trainer.evaluate(model_pairs(10, source_chosen=["dog"] * 10))
        assert "eval_win_rate/cow/dog" in metrics and "eval_mean_abs_mismatch" not in metrics
        assert "no rating of model 'dog'" in caplog.text

    def test_the_card_says_how_it_was_calibrated(self, tmp_path, tokenizer):
        trainer = make_calibration(tmp_path, tokenizer, human=human_pairs())
        trainer.create_model_card()
        card = (tmp_path / "README.md").read_text()
        for text in (
            "method | matching",
            "pairs of models | 3",
            "0.415 to 0.715",
            "human pairs | 12",
        ):
            assert text in card
        assert "Method: [" not in card  # win-rate matching is not the paper's, whose flips are


def test_a_stored_calibration_of_the_rewards_before_training_is_removed(tmp_path, tokenizer, caplog):
    model = tiny_reward_model(tokenizer)
    save_calibration(model, RewardCalibration({"a": -1.0, "b": 0.0}, gauge="reference"))
    PairwiseRewardTrainer(
        model,
        PairwiseRewardConfig(str(tmp_path), **(SETTINGS | {"num_train_epochs": 1})),
        train_dataset=model_pairs(),
        processing_class=tokenizer,
    )
    assert not hasattr(model.config, CONFIG_KEY)
    assert "calibration that is stored with the model is removed" in caplog.text
