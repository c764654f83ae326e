"""The pairwise reward trainer: reductions, columns, schedules, averages, and the swap for TRL's trainer."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import RewardConfig, RewardTrainer

from tests.tiny import chat_pairs, pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.losses import BetaRAPLLoss, BradleyTerryLoss, EpsilonRAPLLoss
from trl_ext.trainer.ema import ExponentialMovingAverage
from trl_ext.trainer.lr_schedules import LR_SCHEDULES


COMMON = {
    "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    "disable_tqdm": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(path, tokenizer, train=None, loss=None, model=None, **kwargs):
    trainer_args = {k: kwargs.pop(k) for k in ("peft_config", "eval_dataset", "callbacks") if k in kwargs}
    return PairwiseRewardTrainer(
        model=tiny_reward_model(tokenizer) if model is None else model,
        args=PairwiseRewardConfig(str(path), **(COMMON | kwargs)),
        train_dataset=pairs() if train is None else train,
        processing_class=tokenizer,
        loss=loss,
        **trainer_args,
    )


def parameters(model) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in model.parameters()])


class TestAccumulation:
    WEIGHTS = [0.3, 1.0, 2.0, 0.0, 0.7, 1.5, 0.1, 1.0, 0.9, 0.4, 3.0, 0.2, 1.1]

    def train(self, path, tokenizer, batch, accumulation, optim="sgd"):
        trainer = make(
            path, tokenizer, train=pairs(13, weight=self.WEIGHTS), per_device_train_batch_size=batch, optim=optim,
            gradient_accumulation_steps=accumulation, num_train_epochs=2, learning_rate=0.05,
        )  # fmt: skip
        trainer.train()
        return parameters(trainer.model), [row["loss"] for row in trainer.state.log_history if "loss" in row]

    @pytest.mark.parametrize("batch, accumulation", [(4, 2), (2, 4), (1, 8)])
    def test_same_parameters_for_every_split_of_eight_pairs(self, batch, accumulation, tmp_path, tokenizer):
        expected, _ = self.train(tmp_path, tokenizer, 8, 1)
        found, _ = self.train(tmp_path, tokenizer, batch, accumulation)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)

    def test_one_step_is_the_gradient_of_the_weighted_mean(self, tmp_path, tokenizer):
        data = pairs(5, weight=[1.0, 0.0, 2.0, 0.5, 1.5])
        trainer = make(
            tmp_path, tokenizer, train=data, per_device_train_batch_size=2, gradient_accumulation_steps=3, max_steps=1,
            learning_rate=0.1, optim="sgd", lr_scheduler_type="constant", max_grad_norm=0,
        )  # fmt: skip
        model = tiny_reward_model(tokenizer)
        total = 0.0
        for row in data:
            ids = [
                tokenizer(row["prompt"] + row[s] + "<|im_end|>", return_tensors="pt") for s in ("chosen", "rejected")
            ]
            rc, rr = (model(**i).logits.squeeze() for i in ids)
            total = total - row["weight"] * torch.nn.functional.logsigmoid(rc - rr)
        (total / 5.0).backward()
        with torch.no_grad():
            for p in model.parameters():
                if p.grad is not None:
                    p -= 0.1 * p.grad
        trainer.train()
        torch.testing.assert_close(parameters(trainer.model), parameters(model), atol=2e-6, rtol=0)

    def test_a_window_of_zero_weights_changes_nothing(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, train=pairs(4, weight=[0.0] * 4), max_steps=2, optim="sgd")
        before = parameters(trainer.model)
        trainer.train()
        assert torch.equal(parameters(trainer.model), before)


class TestSwap:
    """A script that uses RewardTrainer runs unchanged with PairwiseRewardTrainer."""

    def losses(self, trainer_class, args, data, tokenizer, peft_config=None):
        trainer = trainer_class(
            model=tiny_reward_model(tokenizer),
            args=args,
            train_dataset=data,
            eval_dataset=data,
            processing_class=tokenizer,
            peft_config=peft_config,
        )
        trainer.train()
        return [
            (row["loss"], row["accuracy"], row["margin"], row["mean_reward"], row["num_tokens"])
            for row in trainer.state.log_history
            if "loss" in row
        ]

    @pytest.mark.parametrize("data", [pairs(16), chat_pairs(16), pairs(16, margin=[0.1 * i for i in range(16)])])
    @pytest.mark.parametrize("extra", [{}, {"center_rewards_coefficient": 0.05}, {"gradient_checkpointing": True}])
    def test_same_losses_with_the_arguments_of_trl(self, data, extra, tmp_path):
        common = COMMON | {"logging_steps": 1, "num_train_epochs": 2, "learning_rate": 1e-3} | extra
        runs = [
            self.losses(trainer_class, RewardConfig(str(tmp_path / str(i)), **common), data, tiny_tokenizer())
            for i, trainer_class in enumerate((RewardTrainer, PairwiseRewardTrainer))
        ]
        assert len(runs[0]) == 4
        np.testing.assert_allclose(runs[1], runs[0], atol=1e-5)

    def test_model_by_name_and_default_arguments(self, tmp_path, monkeypatch):
        path = tiny_checkpoint(tmp_path / "base")
        monkeypatch.chdir(tmp_path)
        histories = []
        for trainer_class in (RewardTrainer, PairwiseRewardTrainer):
            args = RewardConfig("out", use_cpu=True, bf16=False, max_steps=3, logging_steps=1, report_to="none")
            trainer = trainer_class(model=path, args=args, train_dataset=pairs())
            trainer.train()
            histories.append([row["loss"] for row in trainer.state.log_history if "loss" in row])
        np.testing.assert_allclose(histories[1], histories[0], atol=1e-5)


class TestColumns:
    def test_loss_columns_reach_the_loss_in_the_right_order(self, tmp_path, tokenizer):
        seen = {}

        class Recorder(BetaRAPLLoss):
            def forward(self, rewards_chosen, rewards_rejected, *, beta):
                for d, b in zip((rewards_chosen - rewards_rejected).tolist(), beta.tolist(), strict=True):
                    seen[round(b, 4)] = d
                return super().forward(rewards_chosen, rewards_rejected, beta=beta)

        beta = [round(0.1 * i, 4) for i in range(13)]
        trainer = make(
            tmp_path, tokenizer, train=pairs(13, beta=beta), loss=Recorder(), num_train_epochs=1, learning_rate=0.0
        )
        rewards = trainer.predict(pairs(13, beta=beta)).predictions
        seen.clear()
        trainer.train()
        np.testing.assert_allclose([seen[b] for b in beta], rewards[:, 0] - rewards[:, 1], atol=2e-6)

    def test_a_missing_column_is_named_before_the_model_loads(self, tmp_path):
        path = tiny_checkpoint(tmp_path / "base")
        (tmp_path / "base" / "model.safetensors").unlink()  # loading would fail
        args = PairwiseRewardConfig(str(tmp_path), **COMMON)
        with pytest.raises(ValueError, match="'p'"):
            PairwiseRewardTrainer(path, args, train_dataset=pairs(), loss=EpsilonRAPLLoss())

    def test_columns_are_renamed(self, tmp_path, tokenizer):
        data = pairs(6, trust=[0.5] * 6)
        trainer = make(tmp_path, tokenizer, train=data, loss=EpsilonRAPLLoss(), columns={"p": "trust"}, max_steps=1)
        trainer.train()
        assert trainer.train_dataset["p"] == [0.5] * 6

    def test_centering_is_kept_for_every_loss(self, tmp_path, tokenizer):
        data = pairs(6, beta=[0.7] * 6)
        plain, centered = (
            make(tmp_path, tokenizer, train=data, loss=BetaRAPLLoss(), center_rewards_coefficient=c)
            for c in (None, 0.3)
        )
        rewards = plain.predict(data).predictions
        difference = centered.evaluate(data)["eval_loss"] - plain.evaluate(data)["eval_loss"]
        assert difference == pytest.approx(0.3 * (rewards.sum(1) ** 2).mean(), abs=1e-5)

    def test_eval_loss_is_the_weighted_mean_over_all_pairs(self, tmp_path, tokenizer):
        weight = [0.0, 1.0, 2.0, 0.5, 4.0, 1.0, 0.3]
        data = pairs(7, weight=weight)
        trainer = make(tmp_path, tokenizer, train=data, per_device_eval_batch_size=4)
        rewards = trainer.predict(data).predictions
        losses = np.logaddexp(0, rewards[:, 1] - rewards[:, 0])
        assert trainer.evaluate(data)["eval_loss"] == pytest.approx(np.average(losses, weights=weight), abs=1e-6)

    def test_ids_and_other_columns_come_back_with_the_rewards(self, tmp_path, tokenizer):
        table = make(tmp_path, tokenizer).predict_pairs(pairs(7))
        assert table["id"] == [f"pair-{i}" for i in range(7)]
        assert {"prompt", "reward_chosen", "reward_rejected"} <= set(table.column_names)

    def test_over_length_pairs_are_counted(self, tmp_path, tokenizer, caplog):
        data = pairs(6)
        lengths = [len(tokenizer(r["prompt"] + r["chosen"])["input_ids"]) for r in data]
        trainer = make(tmp_path, tokenizer, train=data, max_length=sorted(lengths)[3])
        report = trainer.length_reports["train"]
        assert report.dropped == 6 - len(trainer.train_dataset) > 0
        assert "max_length" in caplog.text

    def test_truncation_keeps_every_pair(self, tmp_path, tokenizer):
        trainer = make(tmp_path, tokenizer, max_length=20, max_length_policy="truncate_prompt_left", train=pairs(4))
        assert max(map(len, trainer.train_dataset["chosen_ids"])) <= 20


class TestHead:
    def test_weight_scale_applies_to_a_fresh_head_only(self, tmp_path, tokenizer):
        fresh = tiny_reward_model(tokenizer)
        before = fresh.score.weight.detach().clone()
        trainer = make(tmp_path / "a", tokenizer, model=fresh, weight_scale=0.1)
        torch.testing.assert_close(trainer.model.score.weight, 0.1 * before)
        trainer.save_model()
        again = make(tmp_path / "b", tokenizer, model=str(tmp_path / "a"), weight_scale=0.1)
        torch.testing.assert_close(again.model.score.weight, 0.1 * before)

    def test_weight_scale_under_lora_scales_what_is_trained(self, tmp_path, tokenizer):
        heads = []
        for scale in (1.0, 0.1):
            base = tiny_checkpoint(tmp_path / "base", tokenizer)
            trainer = make(
                tmp_path, tokenizer, model=base, weight_scale=scale, peft_config=LoraConfig(target_modules=["q_proj"])
            )
            heads.append(next(p for n, p in trainer.model.named_parameters() if "score" in n and p.requires_grad))
        torch.testing.assert_close(heads[1], 0.1 * heads[0])

    def test_the_peft_configuration_passed_is_not_changed(self, tmp_path, tokenizer):
        config = LoraConfig(target_modules=["q_proj"])
        make(tmp_path, tokenizer, peft_config=config)
        assert config.task_type is None


def test_a_subclass_that_changes_the_rewards_is_heard(tmp_path, tokenizer):
    class Doubled(PairwiseRewardTrainer):
        def compute_rewards(self, model, inputs):
            chosen, rejected, outputs = super().compute_rewards(model, inputs)
            return 2 * chosen, 2 * rejected, outputs

    args = PairwiseRewardConfig(str(tmp_path), **COMMON)
    model, data = tiny_reward_model(tokenizer), pairs(4)
    plain, doubled = (
        kind(model=model, args=args, train_dataset=data, processing_class=tokenizer).predict(data).predictions
        for kind in (PairwiseRewardTrainer, Doubled)
    )
    np.testing.assert_allclose(doubled, 2 * plain, rtol=1e-6)


class TestMovingAverage:
    def test_matches_the_reference(self, shared_dir):
        golden = json.loads((shared_dir / "golden" / "rapl_losses.json").read_text())["ema"]
        model = torch.nn.Linear(3, 1, bias=False).double()
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
        average = ExponentialMovingAverage(model, 0.9)
        for expected in golden["ema_after_each_step"]:
            with torch.no_grad():
                model.weight += torch.tensor([[0.5, -1.0, 0.25]])
            average.update()
            np.testing.assert_allclose(average.average["weight"][0], expected, atol=1e-12)
        with average.applied():
            np.testing.assert_allclose(model.weight.detach()[0], golden["after_apply"], atol=1e-12)
        np.testing.assert_allclose(model.weight.detach()[0], golden["after_restore"], atol=1e-12)

    def test_the_average_is_evaluated_and_kept(self, tmp_path, tokenizer):
        weights = []

        class Watch(TrainerCallback):
            def on_step_end(self, args, state, control, model=None, **kwargs):
                weights.append(parameters(model))

        trainer = make(
            tmp_path, tokenizer, ema_decay=0.5, max_steps=4, learning_rate=1e-2, callbacks=[Watch()],
            eval_dataset=pairs(), eval_strategy="steps", eval_steps=4,
        )  # fmt: skip
        expected = parameters(trainer.model)
        trainer.train()
        for step in weights:
            expected = 0.5 * expected + 0.5 * step
        torch.testing.assert_close(parameters(trainer.model), expected, atol=1e-6, rtol=1e-5)
        during = [row["eval_loss"] for row in trainer.state.log_history if "eval_loss" in row][0]
        assert trainer.evaluate()["eval_loss"] == pytest.approx(during, abs=1e-6)

    def test_resuming_continues_the_average(self, tmp_path, tokenizer):
        settings = {"ema_decay": 0.8, "max_steps": 4, "learning_rate": 1e-2, "save_strategy": "steps", "save_steps": 2}
        straight = make(tmp_path, tokenizer, **settings)
        straight.train()
        resumed = make(tmp_path, tokenizer, **settings)
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
        torch.testing.assert_close(parameters(resumed.model), parameters(straight.model), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("decay", [-0.1, 1.0])
    def test_refuses_a_decay_outside_the_unit_interval(self, decay):
        with pytest.raises(ValueError, match="ema_decay"):
            PairwiseRewardConfig("x", ema_decay=decay, **COMMON)


class TestSchedules:
    @pytest.mark.parametrize("name", ["step_decay", "cosine_w_floor"])
    def test_matches_the_reference(self, name, shared_dir):
        golden = json.loads((shared_dir / "golden" / "rapl_losses.json").read_text())["lr_lambdas"]
        found = [LR_SCHEDULES[name](step, golden["num_training_steps"]) for step in golden["steps"]]
        np.testing.assert_allclose(found, golden[name], atol=1e-12)

    @pytest.mark.parametrize("name", ["step_decay", "cosine_w_floor"])
    def test_is_used_by_the_trainer_after_a_warm_up(self, name, tmp_path, tokenizer):
        rates = []

        class Watch(TrainerCallback):
            def on_pre_optimizer_step(self, args, state, control, lr_scheduler=None, **kwargs):
                rates.append(lr_scheduler.get_last_lr()[0])

        trainer = make(
            tmp_path,
            tokenizer,
            lr_scheduler_type=name,
            max_steps=8,
            warmup_steps=2,
            learning_rate=1.0,
            callbacks=[Watch()],
        )
        trainer.train()
        assert rates == pytest.approx([0.0, 0.5] + [LR_SCHEDULES[name](step, 6) for step in range(6)])


def test_default_loss_is_bradley_terry(tmp_path, tokenizer):
    assert isinstance(make(tmp_path, tokenizer).loss, BradleyTerryLoss)


def test_training_metrics_weigh_every_pair_equally(tmp_path, tokenizer):
    trainer = make(
        tmp_path, tokenizer, train=pairs(13), per_device_train_batch_size=4, gradient_accumulation_steps=4,
        num_train_epochs=1, learning_rate=0.0, logging_steps=1,
    )  # fmt: skip
    rewards = trainer.predict(pairs(13)).predictions
    trainer.train()
    logged = trainer.state.log_history[0]
    assert logged["accuracy"] == pytest.approx((rewards[:, 0] > rewards[:, 1]).mean())
    assert logged["margin"] == pytest.approx((rewards[:, 0] - rewards[:, 1]).mean(), abs=1e-6)
    assert logged["mean_reward"] == pytest.approx(rewards.mean(), abs=1e-6)
    assert logged["min_reward"] == pytest.approx(rewards.min(), abs=1e-6)


def test_a_list_instead_of_a_dataset_is_refused(tmp_path, tokenizer):
    with pytest.raises(TypeError, match="Dataset"):
        make(tmp_path, tokenizer, train=[{"chosen": "a", "rejected": "b"}])


def test_pretokenised_data_is_accepted(tmp_path, tokenizer):
    data = Dataset.from_dict({"chosen_ids": [[5, 6, 7], [8, 9]], "rejected_ids": [[5, 6], [8, 10, 11]]})
    make(tmp_path, tokenizer, train=data, max_steps=1).train()
