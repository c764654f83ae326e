"""η is learned with the reward model, kept in checkpoints, and never part of the model."""

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from benchmarks.joint_learning import make_trainer, simulate
from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import ReliabilityRewardConfig, ReliabilityRewardTrainer
from trl_ext.hub.files import files_to_upload
from trl_ext.reliability.commitment_likelihood import commitment_mode
from trl_ext.trainer import AnnotatorAwareRewardConfig, AnnotatorAwareRewardTrainer
from trl_ext.trainer.annotator_state import ANNOTATORS_FILE


IDS = ["ann", "bob", "cyd"]
SETTINGS = {
    "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    "disable_tqdm": True, "learning_rate": 1e-2, "per_device_train_batch_size": 4, "num_train_epochs": 2,
    "logging_steps": 3, "eta_update_steps": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def labelled(count=26, ids=IDS, **columns):
    return pairs(count, annotator_id=[ids[i % len(ids)] for i in range(count)], **columns)


def make(path, tokenizer, train=None, commitment=None, **settings):
    return AnnotatorAwareRewardTrainer(
        tiny_reward_model(tokenizer),
        AnnotatorAwareRewardConfig(str(path), **(SETTINGS | settings)),
        train_dataset=labelled() if train is None else train,
        processing_class=tokenizer,
        commitment=commitment,
    )


def weights(trainer):
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


def eta_logs(trainer):
    return [(row["eta_mean"], row["eta_min"], row["eta_max"]) for row in trainer.state.log_history if "loss" in row]


class TestEstimate:
    def test_eta_is_the_mode_given_the_latest_differences(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        trainer.train()
        state = trainer.annotators
        assert np.isfinite(state.latest).all()
        expected = commitment_mode(np.tanh(state.latest / 2), np.arange(26) % 3, 3, (2.0, 1.25))
        np.testing.assert_allclose(state.eta, expected, atol=1e-9)

    def test_follows_the_annotators(self, tmp_path):
        simulation = simulate(np.array([-0.6, 0.1, 0.4, 0.7, 0.95]), seed=200, pairs=1000, test_pairs=1000)
        trainer = make_trainer("joint", simulation.train, 200, str(tmp_path))
        trainer.train()
        table = trainer.annotator_report().table
        truth = table["annotator_id"].map(simulation.eta)
        assert np.corrcoef(table["eta"], truth)[0, 1] > 0.9
        assert table["adversarial"].tolist() == (truth < 0).tolist()
        assert trainer.evaluate(simulation.test)["eval_accuracy"] > 0.75

    def test_logs_what_is_known(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        trainer.train()
        first, *_, last = eta_logs(trainer)
        assert first != last
        assert all(low <= mean <= high for mean, low, high in eta_logs(trainer))

    def test_one_annotator(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, train=labelled(ids=["only"]))
        trainer.train()
        assert trainer.annotator_report().table["n"].tolist() == [26]

    def test_integers_are_ids_too(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, train=labelled(ids=[7, 3]))
        assert trainer.annotator_ids == [7, 3]

    def test_length_biases_are_learned(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, length_bias_sd=0.5)
        trainer.train()
        assert np.abs(trainer.annotators.bias).max() > 0
        assert {"length_bias", "length_bias_se"} <= set(trainer.annotator_report().table)

    def test_dropped_pairs_have_no_part(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, max_length=24)
        assert 0 < len(trainer.train_dataset) < 26
        trainer.train()
        kept = sorted(trainer.train_dataset["pair_index"])
        assert np.flatnonzero(np.isfinite(trainer.annotators.latest)).tolist() == kept


class TestGivenCommitment:
    def test_follows_the_trajectory_of_epsilon_rapl(self, tmp_path, tokenizer):
        eta = dict(zip(IDS, [0.2, 0.5, 1.0], strict=True))
        trainer = make(tmp_path, tokenizer, commitment=eta, eta_update_steps=0, adam_epsilon=1e-6)
        trainer.train()
        own = {k: v for k, v in SETTINGS.items() if k != "eta_update_steps"}
        told = ReliabilityRewardTrainer(
            tiny_reward_model(tokenizer),
            ReliabilityRewardConfig(str(tmp_path), rapl_method="p", reliability_kind="raw", adam_epsilon=1e-6, **own),
            train_dataset=labelled(reliability=[eta[IDS[i % 3]] for i in range(26)]),
            processing_class=tokenizer,
        )
        told.train()
        torch.testing.assert_close(weights(trainer), weights(told), atol=1e-4, rtol=0)
        assert trainer.annotators.eta.tolist() == [0.2, 0.5, 1.0]

    @pytest.mark.parametrize(
        "commitment, message",
        [({"ann": 0.5, "bob": 0.5}, "lacks 1 of 3.*cyd"), ({"ann": 0, "bob": 2, "cyd": 0}, "bob.*value 2")],
    )
    def test_must_name_everyone(self, commitment, message, tmp_path, tokenizer):
        with pytest.raises(ValueError, match=message):
            make(tmp_path, tokenizer, commitment=commitment)


class TestEvaluation:
    def test_without_annotators_is_bradley_terry(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer)
        trainer.train()
        metrics = trainer.evaluate(pairs(5))
        assert metrics["eval_loss"] == pytest.approx(metrics["eval_log_loss"], abs=1e-6)

    def test_with_annotators_is_their_likelihood(self, tmp_path, tokenizer, caplog):
        trainer = make(tmp_path, tokenizer)
        trainer.train()
        data = pairs(3, annotator_id=["cyd", "stranger", "ann"])
        rewards = trainer.predict(data).predictions.astype(float)
        eta = np.array([trainer.annotators.eta[2], 0.6, trainer.annotators.eta[0]])
        expected = -np.log((1 + eta * np.tanh((rewards[:, 0] - rewards[:, 1]) / 2)) / 2)
        before = trainer.annotators.latest.copy()
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected.mean(), abs=1e-5)
        assert "1 of 3 pairs are of annotators without training pairs" in caplog.text
        np.testing.assert_array_equal(trainer.annotators.latest, before)


class TestFiles:
    def test_the_model_knows_no_annotators(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, save_strategy="steps", save_steps=5)
        trainer.train()
        trainer.save_model()
        plain = tiny_reward_model(tokenizer)
        assert load_file(tmp_path / "model.safetensors").keys() == plain.state_dict().keys()
        table = pd.read_csv(tmp_path / "annotators.csv")
        assert table["annotator_id"].tolist() == IDS
        assert table["method"][0].startswith("in-sample")
        np.testing.assert_allclose(table["n"], [9, 9, 8])
        assert not any("annotators" in name for name in files_to_upload(tmp_path)[0])
        assert not any("annotators" in name for name in files_to_upload(tmp_path / "checkpoint-5")[0])

    @pytest.mark.parametrize(
        "settings",
        [{}, {"gradient_accumulation_steps": 2, "per_device_train_batch_size": 2}, {"length_bias_sd": 0.5}],
        ids=["plain", "accumulation", "lengths"],
    )
    def test_every_checkpoint_leads_to_the_same_end_bit_for_bit(self, settings, tmp_path, tokenizer):
        settings = {"save_strategy": "steps", "save_steps": 2, **settings}
        trainer = make(tmp_path / "a", tokenizer, **settings)
        trainer.train()
        for step in (2, 8, trainer.state.max_steps):
            resumed = make(tmp_path / "b", tokenizer, **settings)
            resumed.train(resume_from_checkpoint=str(tmp_path / "a" / f"checkpoint-{step}"))
            assert torch.equal(weights(resumed), weights(trainer)), step
            assert eta_logs(resumed) == eta_logs(trainer)
            np.testing.assert_array_equal(resumed.annotators.eta, trainer.annotators.eta)
            np.testing.assert_array_equal(resumed.annotators.latest, trainer.annotators.latest)

    def test_a_checkpoint_of_other_annotators_is_refused(self, tmp_path, tokenizer):
        make(tmp_path / "a", tokenizer, save_strategy="steps", save_steps=5).train()
        other = make(tmp_path / "b", tokenizer, train=labelled(ids=["x", "y"]))
        with pytest.raises(ValueError, match="is of 3 annotators and 26 pairs"):
            other.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-5"))
        (tmp_path / "a" / "checkpoint-5" / ANNOTATORS_FILE).unlink()
        (tmp_path / "a" / "checkpoint-5" / "manifest.json").unlink()
        with pytest.raises(ValueError, match="not written by AnnotatorAwareRewardTrainer"):
            other.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-5"))

    def test_training_again_starts_afresh(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, num_train_epochs=1)
        trainer.train()
        trainer.args.max_steps = 1
        trainer.train()
        assert np.isfinite(trainer.annotators.latest).sum() == 4


class TestBadInput:
    def test_no_column(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="annotator_id"):
            make(tmp_path, tokenizer, train=pairs(4))

    @pytest.mark.parametrize("ids", [["a", "b", None, "a"], ["a", "b", " ", "a"], [1.0, 2.0, float("nan"), 1.0]])
    def test_missing_ids(self, ids, tmp_path, tokenizer):
        with pytest.raises(ValueError, match=r"(?s)'annotator_id'.*row 2.*pair-2"):
            make(tmp_path, tokenizer, train=pairs(4, annotator_id=ids))

    def test_numbers_that_are_no_ids(self, tmp_path, tokenizer):
        with pytest.raises(TypeError, match="all str or all int"):
            make(tmp_path, tokenizer, train=pairs(2, annotator_id=[1.5, 2.5]))

    @pytest.mark.parametrize(
        "settings",
        [{"eta_init": -1}, {"eta_update_steps": -1}, {"eta_prior_a": 0.5}, {"eta_prior_b": 0}, {"length_bias_sd": 0}],
    )
    def test_settings(self, settings):
        (name,) = settings
        with pytest.raises(ValueError, match=name):
            AnnotatorAwareRewardConfig("x", use_cpu=True, bf16=False, **settings)

    def test_a_report_before_training(self, tmp_path, tokenizer):
        with pytest.raises(ValueError, match="train first"):
            make(tmp_path, tokenizer).annotator_report()

    @pytest.mark.parametrize(
        "length_bias_sd, lengths, message",
        [
            (0.5, None, "`length_bias_sd` is 0.5, but `length_differences` were not given"),
            (None, [0.0, 1.0], "`length_bias_sd` is None, but `length_differences` were given"),
        ],
    )
    def test_a_report_with_and_without_lengths(self, length_bias_sd, lengths, message, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, length_bias_sd=length_bias_sd)
        with pytest.raises(ValueError, match=message):
            trainer.annotator_report([1.0, 2.0], ["ann", "bob"], length_differences=lengths)
