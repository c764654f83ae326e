"""DPO whose logit is weighted by reliability, compared with TRL's own and with numbers by hand."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer

from tests.tiny import pairs, tiny_checkpoint
from trl_ext.data.demo import load_demo_preferences
from trl_ext.trainer import ReliabilityDPOConfig, ReliabilityDPOTrainer


ARGS = {
    "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    "disable_tqdm": True, "per_device_train_batch_size": 4, "beta": 0.5,
}  # fmt: skip
RELIABILITY = [0.5, 0.6, 0.9, 1.0, 0.75, 0.3]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny", max_position_embeddings=2048)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, checkpoint):
    """A policy that differs from its reference, so that the logit is not 0."""
    return tiny_checkpoint(
        tmp_path_factory.mktemp("policy") / "tiny", seed=1, max_position_embeddings=2048
    ), checkpoint


def build(trainer_class, config_class, folder, checkpoints, train, eval_dataset=None, **kwargs):
    policy, reference = checkpoints
    return trainer_class(
        model=AutoModelForCausalLM.from_pretrained(policy),
        ref_model=AutoModelForCausalLM.from_pretrained(reference),
        args=config_class(str(folder), **(ARGS | kwargs)),
        train_dataset=train,
        eval_dataset=eval_dataset,
        processing_class=AutoTokenizer.from_pretrained(policy),
    )


def weighted(folder, checkpoints, train=None, **kwargs):
    train = pairs(6, reliability=RELIABILITY) if train is None else train
    return build(ReliabilityDPOTrainer, ReliabilityDPOConfig, folder, checkpoints, train, **kwargs)


def stock(folder, checkpoints, train, **kwargs):
    return build(DPOTrainer, DPOConfig, folder, checkpoints, train, **kwargs)


def batch_of(trainer, rows=None):
    """The first rows of the training set as the dataloader would give them."""
    trainer._set_signature_columns_if_needed()
    names = [name for name in trainer._signature_columns if name in trainer.train_dataset.column_names]
    rows = range(len(trainer.train_dataset)) if rows is None else rows
    return trainer.data_collator(list(trainer.train_dataset.select(rows).select_columns(names)))


def loss_and_gradient(trainer, rows=None):
    trainer.model.zero_grad()
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, batch_of(trainer, rows))
    loss.backward()
    gradient = torch.cat([p.grad.flatten() for p in trainer.model.parameters() if p.grad is not None])
    return loss.item(), gradient


def implicit_rewards(policy, reference, tokenizer, row, beta):
    """beta (log pi - log pi_ref) of both responses, token by token from plain forward passes."""
    rewards = []
    for side in ("chosen", "rejected"):
        prompt = tokenizer(row["prompt"])["input_ids"]
        ids = torch.tensor([tokenizer(row["prompt"] + row[side] + tokenizer.eos_token)["input_ids"]])
        totals = []
        for model in (policy, reference):
            with torch.no_grad():
                log_probs = model(ids).logits[0, :-1].double().log_softmax(-1)
            totals.append(log_probs.gather(1, ids[0, 1:, None])[len(prompt) - 1 :].sum().item())
        rewards.append(beta * (totals[0] - totals[1]))
    return rewards


@pytest.fixture
def differences(checkpoints):
    """DPO logits of the pairs (6,), by hand."""
    policy, reference = (AutoModelForCausalLM.from_pretrained(path).eval() for path in checkpoints)
    tokenizer = AutoTokenizer.from_pretrained(checkpoints[0])
    rewards = [implicit_rewards(policy, reference, tokenizer, row, ARGS["beta"]) for row in pairs(6)]
    found = np.array([chosen - rejected for chosen, rejected in rewards])
    assert np.abs(found).max() > 0.01
    return found


class TestAgainstStock:
    @pytest.mark.parametrize("method", ["beta", "p"])
    def test_weight_one_is_dpo(self, method, tmp_path, checkpoints):
        data = pairs(6, reliability=[1.0] * 6)
        ours = weighted(tmp_path, checkpoints, data, rapl_method=method, reliability_kind="raw")
        theirs = stock(tmp_path, checkpoints, data)
        loss, gradient = loss_and_gradient(ours)
        expected, expected_gradient = loss_and_gradient(theirs)
        assert loss == pytest.approx(expected, rel=1e-6)
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-7)
        assert expected_gradient.abs().max() > 1e-4

    def test_no_method_is_dpo(self, tmp_path, checkpoints):
        ours = weighted(tmp_path, checkpoints, pairs(6), rapl_method="none")
        assert loss_and_gradient(ours)[0] == pytest.approx(
            loss_and_gradient(stock(tmp_path, checkpoints, pairs(6)))[0], rel=1e-6
        )

    @pytest.mark.parametrize("method", ["beta", "p"])
    def test_weight_zero_has_no_gradient(self, method, tmp_path, checkpoints):
        data = pairs(6, reliability=[0.5] * 6)
        loss, gradient = loss_and_gradient(weighted(tmp_path, checkpoints, data, rapl_method=method))
        assert loss == pytest.approx(np.log(2), abs=1e-6)
        assert (gradient == 0).all()

    def test_a_run_with_weight_one_follows_the_same_trajectory(self, tmp_path, checkpoints):
        data = pairs(6, reliability=[1.0] * 6)
        settings = {"max_steps": 3, "learning_rate": 1e-3, "logging_steps": 1, "gradient_accumulation_steps": 2}
        ours = weighted(tmp_path, checkpoints, data, rapl_method="p", **settings)
        theirs = stock(tmp_path, checkpoints, data, **settings)
        for trainer in (ours, theirs):
            trainer.train()
        found, expected = ([row for row in t.state.log_history if "loss" in row] for t in (ours, theirs))
        for key in ("loss", "grad_norm", "rewards/margins", "rewards/accuracies", "logps/chosen"):
            assert [row[key] for row in found] == pytest.approx([row[key] for row in expected], rel=1e-4, abs=1e-6)

    @pytest.mark.parametrize("accumulation", [1, 2])
    def test_an_adapter_is_its_own_reference(self, accumulation, tmp_path, checkpoint):
        data = pairs(6, reliability=[1.0] * 6)
        found = []
        for trainer_class, config_class in ((ReliabilityDPOTrainer, ReliabilityDPOConfig), (DPOTrainer, DPOConfig)):
            extra = {"rapl_method": "p"} if config_class is ReliabilityDPOConfig else {}
            trainer = trainer_class(
                model=checkpoint,
                args=config_class(
                    str(tmp_path),
                    max_steps=3,
                    learning_rate=1e-2,
                    logging_steps=1,
                    gradient_accumulation_steps=accumulation,
                    **(ARGS | extra),
                ),  # fmt: skip
                train_dataset=data,
                peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj"]),
            )
            trainer.train()
            found.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
        assert found[0][0] == pytest.approx(np.log(2), abs=1e-4)
        assert found[0][-1] < found[0][0]
        assert found[0] == pytest.approx(found[1], rel=1e-4)


class TestByHand:
    @pytest.mark.parametrize(
        "method, loss",
        [
            # beta = logit(P) = log 1.5 at P = 0.6; p = 2 P - 1
            ("beta", lambda d, r: np.logaddexp(0, -max(0, np.log(r / (1 - r))) * d)),
            ("p", lambda d, r: -np.log((2 * r - 1) / (1 + np.exp(-d)) + 1 - r)),
            ("smoothing", lambda d, r: r * np.logaddexp(0, -d) + (1 - r) * np.logaddexp(0, d)),
            (
                "backward",
                lambda d, r: (r * np.logaddexp(0, -d) - (1 - r) * np.logaddexp(0, d)) / (2 * r - 1),
            ),
        ],
    )
    def test_mean_loss(self, method, loss, tmp_path, checkpoints, differences):
        reliability = [0.55, 0.6, 0.9, 0.95, 0.75, 0.8]
        trainer = weighted(tmp_path, checkpoints, pairs(6, reliability=reliability), rapl_method=method)
        expected = np.mean([loss(d, r) for d, r in zip(differences, reliability, strict=True)])
        assert loss_and_gradient(trainer)[0] == pytest.approx(expected, rel=1e-5)

    def test_one_pair_of_two_with_numbers(self, tmp_path, checkpoints, differences):
        # P = 0.9: p = 0.8; P = 0.5: p = 0, whose loss is ln 2 = 0.693147
        trainer = weighted(tmp_path, checkpoints, pairs(2, reliability=[0.9, 0.5]), rapl_method="p")
        first = -np.log(0.8 / (1 + np.exp(-differences[0])) + 0.1)
        assert loss_and_gradient(trainer)[0] == pytest.approx((first + 0.693147) / 2, rel=1e-5)

    def test_flipped_pairs_are_believed_the_other_way_round(self, tmp_path, checkpoints, differences):
        data = pairs(2, reliability=[0.1, 0.9])
        trainer = weighted(tmp_path, checkpoints, data, rapl_method="p", on_below_half="flip")
        expected = np.mean([-np.log(0.8 / (1 + np.exp(-d)) + 0.1) for d in (-differences[0], differences[1])])
        assert loss_and_gradient(trainer)[0] == pytest.approx(expected, rel=1e-5)
        assert trainer.weight_statistics.flipped == 1

    def test_sample_weights_multiply_the_losses(self, tmp_path, checkpoints, differences):
        data = pairs(2, weight=[3.0, 0.0])
        trainer = weighted(tmp_path, checkpoints, data, rapl_method="none")
        assert loss_and_gradient(trainer)[0] == pytest.approx(1.5 * np.logaddexp(0, -differences[0]), rel=1e-5)


class TestData:
    def test_the_column_survives_the_collator(self, tmp_path, checkpoints):
        trainer = weighted(tmp_path, checkpoints, rapl_method="p", per_device_train_batch_size=6)
        (batch,) = list(trainer.get_train_dataloader())
        assert sorted(batch["p"].tolist()) == pytest.approx([0, 0, 0.2, 0.5, 0.8, 1.0])
        assert batch["p"].dtype == torch.float32
        assert batch["input_ids"].shape[0] == 12

    def test_columns_can_be_renamed(self, tmp_path, checkpoints):
        data = pairs(6, certainty=RELIABILITY)
        trainer = weighted(tmp_path, checkpoints, data, rapl_method="p", columns={"reliability": "certainty"})
        assert trainer.train_dataset["p"] == pytest.approx([0, 0.2, 0.8, 1.0, 0.5, 0])

    def test_statistics_describe_the_training_pairs(self, tmp_path, checkpoints):
        found = weighted(tmp_path, checkpoints, rapl_method="p").weight_statistics
        assert (found.n, found.share_below_half) == (6, pytest.approx(1 / 6))
        assert found.mean == pytest.approx(2.5 / 6) and found.share_zero == pytest.approx(2 / 6)

    def test_bad_reliability_is_refused_before_a_model_is_loaded(self, tmp_path):
        with pytest.raises(ValueError, match=r"(?s)'reliability'.*row 1.*pair-1"):
            ReliabilityDPOTrainer(
                model="no/such-model",
                args=ReliabilityDPOConfig(str(tmp_path), **ARGS),
                train_dataset=pairs(3, reliability=[0.5, 1.5, 0.6]),
            )

    def test_missing_reliability_is_refused(self, tmp_path, checkpoints):
        with pytest.raises(ValueError, match="'reliability'"):
            weighted(tmp_path, checkpoints, pairs(3))

    def test_streams_are_refused(self, tmp_path, checkpoints):
        with pytest.raises(TypeError, match="stream"):
            weighted(tmp_path, checkpoints, pairs(3, reliability=[0.6] * 3).to_iterable_dataset())


class TestEvaluation:
    def test_without_reliability_it_is_the_loss_of_dpo(self, tmp_path, checkpoints, differences):
        trainer = weighted(tmp_path, checkpoints, eval_dataset=pairs(6), per_device_eval_batch_size=6)
        assert trainer.evaluate()["eval_loss"] == pytest.approx(np.logaddexp(0, -differences).mean(), rel=1e-5)

    def test_with_reliability_it_is_the_loss_of_training(self, tmp_path, checkpoints, differences):
        data = pairs(6, reliability=RELIABILITY)
        trainer = weighted(
            tmp_path, checkpoints, rapl_method="p", eval_dataset={"a": data}, per_device_eval_batch_size=6
        )
        p = np.clip(2 * np.array(RELIABILITY) - 1, 0, 1)
        expected = -np.log(p / (1 + np.exp(-differences)) + (1 - p) / 2).mean()
        assert trainer.evaluate()["eval_a_loss"] == pytest.approx(expected, rel=1e-5)
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(expected, rel=1e-5)

    def test_precomputed_references_give_the_same_loss(self, tmp_path, checkpoints):
        data = pairs(6, reliability=RELIABILITY)
        found = []
        for precompute in (False, True):
            trainer = weighted(tmp_path, checkpoints, rapl_method="p", precompute_ref_log_probs=precompute)
            found.append([loss_and_gradient(trainer)[0], trainer.evaluate(data)["eval_loss"]])
        assert found[0] == pytest.approx(found[1], rel=1e-5)


class TestPredictPairs:
    def test_rewards_by_hand(self, tmp_path, checkpoints, differences):
        trainer = weighted(tmp_path, checkpoints, per_device_eval_batch_size=4)
        found = trainer.predict_pairs(pairs(6))
        assert found["id"] == pairs(6)["id"]
        assert np.subtract(found["reward_chosen"], found["reward_rejected"]) == pytest.approx(differences, rel=1e-4)

    def test_an_untrained_adapter_has_rewards_zero(self, tmp_path, checkpoint):
        trainer = ReliabilityDPOTrainer(
            model=checkpoint,
            args=ReliabilityDPOConfig(str(tmp_path), **ARGS),
            train_dataset=pairs(6, reliability=RELIABILITY),
            peft_config=LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]),
        )
        assert trainer.predict_pairs(pairs(6))["reward_chosen"] == pytest.approx([0.0] * 6, abs=1e-5)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"loss_type": "hinge"}, "loss_type"),
        ({"label_smoothing": 0.1}, "label_smoothing"),
        ({"ld_alpha": 0.5}, "ld_alpha"),
        ({"f_divergence_type": "forward_kl"}, "f_divergence_type"),
        ({"use_weighting": True}, "use_weighting"),
        ({"rapl_method": "gamma"}, "rapl_method"),
        ({"rapl_method": "p", "normalize_beta": True}, "normalize_beta"),
    ],
)
def test_contradictory_arguments_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ReliabilityDPOConfig("x", **(ARGS | kwargs))


def test_a_plain_dpo_config_is_taken_over(tmp_path, checkpoints):
    data = pairs(4, reliability=[0.6] * 4)
    trainer = build(ReliabilityDPOTrainer, DPOConfig, tmp_path, checkpoints, data, learning_rate=3e-4)
    assert isinstance(trainer.args, ReliabilityDPOConfig)
    assert (trainer.args.learning_rate, trainer.args.rapl_method, trainer.beta) == (3e-4, "beta", 0.5)


def test_training_on_the_demo_data_lowers_the_loss(tmp_path, checkpoint):
    train = load_demo_preferences(train_pairs=64)["train"]
    trainer = weighted(
        tmp_path, (checkpoint, checkpoint), train, rapl_method="beta", normalize_beta=True, learning_rate=2e-3,
        max_steps=12, logging_steps=1, per_device_train_batch_size=16,
    )  # fmt: skip
    assert trainer.weight_statistics.mean == pytest.approx(1)
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses[0] == pytest.approx(np.log(2), abs=1e-3)
    assert np.mean(losses[-3:]) < losses[0] - 0.05


def test_reliable_pairs_decide_where_labels_conflict(tmp_path, checkpoint):
    data = Dataset.from_dict(
        {
            "prompt": ["2 + 2? "] * 2,
            "chosen": ["It is four.", "It is seven."],
            "rejected": ["It is seven.", "It is four."],
            "reliability": [0.55, 0.95],
        }
    )
    trainer = weighted(
        tmp_path, (checkpoint, checkpoint), data, rapl_method="p", learning_rate=1e-2, max_steps=15, logging_steps=15
    )
    trainer.train()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    reference = AutoModelForCausalLM.from_pretrained(checkpoint)
    chosen, rejected = implicit_rewards(trainer.model.eval(), reference, tokenizer, data[1], 0.5)
    assert chosen > rejected
