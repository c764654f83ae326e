"""Models with several outputs in the trainers: ensembles of heads and Gaussian rewards."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, TrainerCallback

from tests.tiny import pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import (
    AnnotatorAwareRewardConfig,
    AnnotatorAwareRewardTrainer,
    CalibrationRewardConfig,
    NoiseAwareRewardConfig,
    NoiseAwareRewardTrainer,
    PairwiseRewardConfig,
    PairwiseRewardTrainer,
    ReliabilityRewardConfig,
    ReliabilityRewardTrainer,
)
from trl_ext.evaluation import pair_calibration
from trl_ext.losses import GaussianRewardLoss, LabelSmoothingLoss
from trl_ext.model_entries import REWARD_HEAD
from trl_ext.trainer.heads import EnsembleHead, GaussianHead
from trl_ext.trainer.heads.bootstrap import poisson_weights
from trl_ext.trainer.heads.ensemble import HEAD_WEIGHTS


COUNT = 13
ANCHORS = {"anchor_chosen": [i % 3 if i % 2 else None for i in range(COUNT)], "anchor_rejected": [None, 0] * 6 + [1]}


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


@pytest.fixture(scope="module")
def base(tokenizer, tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("base"), tokenizer)


def trainer_for(
    path, base, data=None, config=PairwiseRewardConfig, kind=PairwiseRewardTrainer, trainer=None, **kwargs
):
    settings = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
        "disable_tqdm": True, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "num_train_epochs": 1,
        "lr_scheduler_type": "constant", "seed": 3, "full_determinism": False, "logging_steps": 1,
    }  # fmt: skip
    args = config(str(path), **(settings | kwargs))
    data = pairs(COUNT) if data is None else data
    return kind(base, args, train_dataset=data, eval_dataset=pairs(7), **(trainer or {}))


def parameters(trainer) -> np.ndarray:
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters() if p.requires_grad]).numpy()


class TestBootstrap:
    def test_counts_are_poisson(self):
        counts = poisson_weights(range(20_000), 4, seed=0)
        assert counts.shape == (20_000, 4)
        # mean 1 and variance 1, standard errors 1/sqrt(80000) and sqrt(3/80000)
        assert counts.mean() == pytest.approx(1, abs=5 * 80_000**-0.5)
        assert counts.var() == pytest.approx(1, abs=5 * (3 / 80_000) ** 0.5)
        assert (counts == 0).mean() == pytest.approx(np.exp(-1), abs=0.01)
        assert np.abs(np.corrcoef(counts.T) - np.eye(4)).max() < 5 * 20_000**-0.5

    @given(st.lists(st.text(), min_size=1, unique=True), st.integers(0, 2**31))
    def test_depend_on_pair_and_seed_alone(self, keys, seed):
        whole = poisson_weights(keys, 3, seed)
        np.testing.assert_array_equal(poisson_weights(keys[::-1], 5, seed)[::-1, :3], whole)

    def test_other_seed_other_counts(self):
        assert (poisson_weights(range(50), 2, 0) != poisson_weights(range(50), 2, 1)).any()

    def test_pairs_of_a_key_are_together(self, tmp_path, base):
        data = pairs(COUNT, prompt_id=[i // 4 for i in range(COUNT)])
        trainer = trainer_for(tmp_path, base, data, reward_head="ensemble", bootstrap_column="prompt_id")
        weights = np.array(trainer.train_dataset[HEAD_WEIGHTS])
        assert (weights[:4] == weights[0]).all() and (weights[4] != weights[0]).any()


class TestEnsemble:
    def test_a_head_learns_as_alone_with_its_weights(self, tmp_path, base):
        """With a frozen backbone: gradients of heads do not meet, so that each is a reward model of its own."""
        ensemble = trainer_for(
            tmp_path, base, reward_head="ensemble", num_reward_heads=3, optim="sgd", max_grad_norm=0
        )
        weights = np.array(ensemble.train_dataset[HEAD_WEIGHTS])
        start = ensemble.model.score.weight.detach().clone()
        for name, parameter in ensemble.model.named_parameters():
            parameter.requires_grad_("score" in name)
        ensemble.train()
        for head in range(3):
            data = pairs(COUNT, weight=weights[:, head].astype(float))
            # 1/K of the loss is a head's
            alone = trainer_for(tmp_path, base, data, optim="sgd", learning_rate=1e-2 / 3, max_grad_norm=0)
            with torch.no_grad():
                alone.model.score.weight.copy_(start[head : head + 1])
            for name, parameter in alone.model.named_parameters():
                parameter.requires_grad_("score" in name)
            alone.train()
            torch.testing.assert_close(
                ensemble.model.score.weight[head], alone.model.score.weight[0], atol=1e-6, rtol=0
            )

    def test_accumulation_and_packing_change_nothing(self, tmp_path, base):
        found = []
        for batch, accumulation, packed in ((4, 1, True), (4, 1, False), (2, 2, True), (1, 4, False)):
            trainer = trainer_for(
                tmp_path, base, reward_head="ensemble", num_reward_heads=4, shared_prefix=packed, optim="sgd",
                per_device_train_batch_size=batch, gradient_accumulation_steps=accumulation,
                train_sampling_strategy="sequential",
            )  # fmt: skip
            assert trainer.shared_prefix_report.enabled == packed
            trainer.train()
            found.append((parameters(trainer), trainer.predict(pairs(7)).predictions))
        for values, rewards in found[1:]:
            np.testing.assert_allclose(values, found[0][0], atol=3e-6)
            np.testing.assert_allclose(rewards, found[0][1], atol=3e-6)

    def test_rewards_and_spread(self, tmp_path, base):
        trainer = trainer_for(tmp_path, base, reward_head="ensemble", num_reward_heads=5)
        trainer.train()
        metrics = trainer.evaluate()
        assert metrics["eval_mean_difference_sd"] > 0 and 0 <= metrics.get("eval_confidence_auroc", 0.5) <= 1
        assert trainer.predict(pairs(7)).predictions.shape == (7, 2)

    def test_a_constant_of_a_head_cancels(self):
        outputs = torch.randn(6, 4)
        shifted = outputs + torch.tensor([5.0, -3.0, 0.0, 100.0])
        head = EnsembleHead(4, "none", None, 0)
        torch.testing.assert_close(
            head.difference_sd(*shifted.chunk(2)), head.difference_sd(*outputs.chunk(2)), atol=1e-4, rtol=0
        )

    def test_heads_start_differently(self, tmp_path, base):
        trainer = trainer_for(tmp_path, base, reward_head="ensemble", num_reward_heads=3)
        assert torch.pdist(trainer.model.score.weight).min() > 0

    @pytest.mark.parametrize(
        ("config", "kind", "columns", "more"),
        [
            (ReliabilityRewardConfig, ReliabilityRewardTrainer, {"reliability": [0.6 + 0.03 * i for i in range(COUNT)]},
             {"rapl_method": "p"}),
            (NoiseAwareRewardConfig, NoiseAwareRewardTrainer, {"eta": [0.5] * COUNT, "label": [i % 2 for i in range(COUNT)]},
             {"noise_method": "forward"}),
            (AnnotatorAwareRewardConfig, AnnotatorAwareRewardTrainer, {"annotator_id": ["a", "b"] * 6 + ["a"]}, {}),
        ],
    )  # fmt: skip
    @pytest.mark.parametrize("head", ["ensemble", pytest.param("gaussian", marks=pytest.mark.slow)])
    def test_trainers_for_noisy_labels(self, tmp_path, base, config, kind, columns, more, head):
        trainer = trainer_for(
            tmp_path, base, pairs(COUNT, **columns, **ANCHORS), config, kind, reward_head=head, **more
        )
        before = parameters(trainer)
        trainer.train()
        assert np.isfinite(parameters(trainer)).all() and (parameters(trainer) != before).any()
        assert np.isfinite(trainer.evaluate()["eval_loss"])

    def test_not_for_win_rates(self, tmp_path):
        with pytest.raises(ValueError, match="not for a calibration to win rates"):
            CalibrationRewardConfig(str(tmp_path), reward_head="ensemble", use_cpu=True, bf16=False)

    @pytest.mark.parametrize(
        ("settings", "match"),
        [
            ({"reward_head": "quantile"}, "one of scalar, ensemble, gaussian"),
            ({"reward_head": "ensemble", "num_reward_heads": 1}, "at least 2"),
            ({"num_reward_heads": 4}, "no effect with reward_head='scalar'"),
            ({"reward_head": "ensemble", "anchor_learning_rate": 0.1}, "no effect with reward_head='ensemble'"),
            ({"reward_head": "ensemble", "head_bootstrap": "jackknife"}, "one of poisson, none"),
            ({"reward_head": "gaussian", "gaussian_anchor_coefficient": -1.0}, "at least 0"),
        ],
    )
    def test_settings_are_checked(self, tmp_path, settings, match):
        with pytest.raises(ValueError, match=match):
            PairwiseRewardConfig(str(tmp_path), use_cpu=True, bf16=False, **settings)

    def test_other_heads_are_refused(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="has a reward head with 1 outputs"):
            trainer_for(
                tmp_path, tiny_reward_model(tokenizer), trainer={"processing_class": tokenizer}, reward_head="ensemble"
            )
        with pytest.raises(ValueError, match="column 'group'"):
            trainer_for(tmp_path, str(tmp_path / "no model"), reward_head="ensemble", bootstrap_column="group",
                        trainer={"processing_class": tokenizer})  # fmt: skip

    def test_a_scalar_trainer_refuses_several_outputs(self, tmp_path, tokenizer):
        model = tiny_reward_model(tokenizer, num_labels=3)
        model.config.reward_head = {"kind": "ensemble", "num_heads": 3}
        model.save_pretrained(tmp_path / "ensemble")
        for source in (model, str(tmp_path / "ensemble")):
            with pytest.raises(
                ValueError, match="3 outputs, trained with reward_head='ensemble', but .*'scalar' needs 1"
            ):
                trainer_for(tmp_path, source, trainer={"processing_class": tokenizer})

    def test_a_column_of_the_same_name_is_not_dropped(self, tmp_path, base):
        with pytest.raises(ValueError, match="'head_weights' is the column of the bootstrap counts"):
            trainer_for(tmp_path, base, pairs(COUNT, head_weights=[1.0] * COUNT), reward_head="ensemble")

    def test_pairs_without_a_key_are_named(self, tmp_path, base):
        data = pairs(COUNT, group=["a"] * 5 + [None] * (COUNT - 5))
        with pytest.raises(ValueError, match="column 'group'.* has 8 rows without a value; first: row 5"):
            trainer_for(tmp_path, base, data, reward_head="ensemble", bootstrap_column="group")


class _AtEveryStep(TrainerCallback):
    def __init__(self, call):
        self.call = call

    def on_step_end(self, args, state, control, **kwargs):
        self.call()


def _without_columns(trainer) -> dict:
    """All training pairs in one batch, in order, as inputs of the model."""
    batch = trainer.data_collator([trainer.train_dataset[row] for row in range(len(trainer.train_dataset))])
    return {name: value for name, value in batch.items() if name not in trainer._batch_columns}


class TestGaussian:
    def test_the_loss_is_that_of_thurstone(self, tmp_path, base):
        head = GaussianHead(1.0, 0.0, None)
        chosen, rejected = torch.randn(6, 2), torch.randn(6, 2)
        losses = head.losses(
            lambda a, b, columns: -torch.nn.functional.logsigmoid(a - b), chosen, rejected, {}, {}, training=True
        )
        expected = GaussianRewardLoss()(
            chosen[:, 0], rejected[:, 0], log_variance_chosen=chosen[:, 1], log_variance_rejected=rejected[:, 1]
        )
        torch.testing.assert_close(losses, expected)

    def test_gradients_far_away_are_those_of_float64(self):
        head = GaussianHead(1.0, 0.0, 0.01)
        anchors = {"anchor_chosen": torch.tensor([0.0, 1, 2, -1]), "anchor_rejected": torch.tensor([1.0, 1, 1, 1])}
        for loss in (LabelSmoothingLoss(0.1), None):
            found = []
            for dtype in (torch.float32, torch.float64):
                outputs = [[1e4, 5.0], [-1e4, -5.0], [1e4, -5.0], [-1e4, 5.0]]
                chosen = torch.tensor(outputs, requires_grad=True, dtype=dtype)
                rejected = torch.zeros(4, 2, requires_grad=True, dtype=dtype)

                def of_pairs(a, b, columns, loss=loss):
                    return -torch.nn.functional.logsigmoid(a - b) if loss is None else loss(a, b)

                value = head.losses(of_pairs, chosen, rejected, {}, anchors, training=True)
                value.sum().backward()
                found.append(torch.cat([value.detach()[:, None], chosen.grad, rejected.grad], 1).double())
            assert found[0].isfinite().all()
            torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)
            assert found[1][1, 1] < -1e3  # of a pair in the wrong order, thousands of standard deviations away

    def test_evaluation_is_of_the_probability_it_was_trained_with(self, tmp_path, base):
        trainer = trainer_for(tmp_path, base, pairs(COUNT, **ANCHORS), reward_head="gaussian")
        trainer.train()
        metrics = trainer.evaluate()  # without anchors: -log Phi(z)
        assert metrics["eval_log_loss"] == pytest.approx(metrics["eval_loss"], rel=1e-5)
        rewards = trainer.predict(pairs(7)).predictions.astype(np.float64)
        of_means = pair_calibration(rewards[:, 0] - rewards[:, 1], resamples=20)["log_loss"].value
        assert metrics["eval_log_loss"] != pytest.approx(of_means, rel=1e-3)

    def test_commitment_is_estimated_with_the_likelihood_of_training(self, tmp_path, base):
        trainer = trainer_for(
            tmp_path, base, pairs(COUNT, annotator_id=["a", "b"] * 6 + ["a"], **ANCHORS), AnnotatorAwareRewardConfig,
            AnnotatorAwareRewardTrainer, reward_head="gaussian", learning_rate=0.0,
        )  # fmt: skip
        trainer.train()
        chosen, rejected = trainer.compute_outputs(trainer.model, _without_columns(trainer))[:2]
        expected = trainer.reward_head.log_odds(chosen, rejected).detach().numpy()
        np.testing.assert_allclose(np.sort(trainer.annotators.latest), np.sort(expected), rtol=1e-3, atol=1e-4)
        assert np.abs(trainer.annotators.latest - (chosen - rejected)[:, 0].detach().numpy()).max() > 1e-3

    def test_the_best_model_has_its_thresholds(self, tmp_path, base):
        trainer = trainer_for(
            tmp_path, base, pairs(COUNT, **ANCHORS), reward_head="gaussian", anchor_learning_rate=0.1, max_steps=3,
            save_strategy="steps", save_steps=1, eval_strategy="steps", eval_steps=1, load_best_model_at_end=True,
            metric_for_best_model="eval_min_reward", greater_is_better=False,
        )  # fmt: skip
        seen = []
        trainer.add_callback(_AtEveryStep(lambda: seen.append(trainer.reward_head.thresholds.values())))
        trainer.train()
        best = int(trainer.state.best_model_checkpoint.rpartition("-")[2])
        assert trainer.reward_head.thresholds.values() == seen[best - 1]
        assert len({tuple(values) for values in seen}) == 3

    def test_thresholds_are_learned_ordered_and_kept(self, tmp_path, base):
        trainer = trainer_for(
            tmp_path, base, pairs(COUNT, **ANCHORS), reward_head="gaussian", anchor_learning_rate=0.1
        )
        trainer.train()
        low, high = trainer.reward_head.thresholds.values()
        assert low < high and (low, high) != (-1.0, 1.0)
        trainer.save_model()
        model = AutoModelForSequenceClassification.from_pretrained(tmp_path)
        assert model.config.reward_head["anchor_thresholds"] == [low, high]
        assert model.config.id2label == {0: "reward_mean", 1: "reward_log_variance"}

    def test_needs_anchors_or_says_what_is_missing(self, tmp_path, base, caplog):
        for data in (pairs(COUNT), pairs(COUNT, anchor_chosen=[float("nan")] * COUNT)):
            with pytest.raises(ValueError, match="not identified from pairs alone"):
                trainer_for(tmp_path, base, data, reward_head="gaussian")
        trainer_for(tmp_path, base, reward_head="gaussian", gaussian_anchor_coefficient=0.0)
        assert "do not identify the variance" in caplog.text

    def test_bad_anchors_are_named(self, tmp_path, base):
        data = pairs(COUNT, anchor_chosen=[1] * 4 + [3] + [2] * 8)
        with pytest.raises(ValueError, match=r"'anchor_chosen' has 1 values.*row 4 \(id 'pair-4'\), value 3"):
            trainer_for(tmp_path, base, data, reward_head="gaussian")


@pytest.mark.parametrize("head", ["ensemble", "gaussian"])
def test_resumes_exactly(tmp_path, base, head):
    settings = {"reward_head": head, "save_strategy": "steps", "save_steps": 2, "num_train_epochs": 2}
    data = pairs(COUNT, **ANCHORS)
    whole = trainer_for(tmp_path / "whole", base, data, **settings)
    whole.train()
    again = trainer_for(tmp_path / "again", base, data, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    np.testing.assert_array_equal(parameters(again), parameters(whole))
    if head == "gaussian":
        assert again.reward_head.thresholds.values() == whole.reward_head.thresholds.values()


@pytest.mark.parametrize("head", ["ensemble", "gaussian"])
def test_an_adapter_keeps_what_its_outputs_are(tmp_path, base, head):
    trainer = trainer_for(
        tmp_path, base, pairs(COUNT, **ANCHORS), reward_head=head,
        trainer={"peft_config": LoraConfig(target_modules=["q_proj"])},
    )  # fmt: skip
    trainer.train()
    trainer.save_model()
    assert REWARD_HEAD.read(tmp_path)["kind"] == head
