"""Padding, packing and sharing prefixes are three ways to compute the same rewards, losses and gradients."""

import numpy as np
import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BitsAndBytesConfig
from transformers.trainer_pt_utils import LengthGroupedSampler
from trl import RewardConfig, RewardTrainer

from tests.architectures import CONFIGS, REQUIRED, random_model
from tests.tiny import pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer, ReliabilityRewardConfig, ReliabilityRewardTrainer
from trl_ext.data import resolve_model
from trl_ext.losses import EpsilonRAPLLoss
from trl_ext.shared_prefix import SharedPrefixReport
from trl_ext.trainer import packing
from trl_ext.trainer.collator import SharedPrefixCollator
from trl_ext.trainer.token_batches import TokenBudgetBatchSampler


COMMON = {
    "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
    "disable_tqdm": True, "logging_steps": 1,
}  # fmt: skip


def token_pairs(vocabulary: int = 312, count: int = 6, seed: int = 0, **columns) -> Dataset:
    """Pairs of random tokens: long and short prompts, a common opening, one response that continues the other."""
    generator = np.random.default_rng(seed)

    def draw(length):
        return generator.integers(3, vocabulary, length).tolist()

    rows = []
    for index in range(count):
        prompt = draw(int(generator.integers(1, 30)))
        chosen, rejected = prompt + draw(int(generator.integers(1, 12))), prompt + draw(int(generator.integers(1, 12)))
        if index == 1:
            rejected = chosen + draw(4)
        rows.append({"chosen_ids": chosen, "rejected_ids": rejected})
    return Dataset.from_list(rows) if not columns else Dataset.from_dict(
        {key: [row[key] for row in rows] for key in rows[0]} | columns
    )  # fmt: skip


def make(model, tokenizer, path, data=None, loss=None, **kwargs):
    trainer_args = {key: kwargs.pop(key) for key in ("peft_config", "callbacks") if key in kwargs}
    return PairwiseRewardTrainer(
        model,
        PairwiseRewardConfig(str(path), **(COMMON | kwargs)),
        train_dataset=token_pairs() if data is None else data,
        processing_class=tokenizer,
        loss=loss,
        **trainer_args,
    )


def measure(trainer, mode, data):
    """Rewards, loss and gradients of one batch."""
    collator = {
        "padded": trainer._padding_collator,
        "packed": SharedPrefixCollator(trainer._loss_columns, share=False),
        "shared": SharedPrefixCollator(trainer._loss_columns),
    }[mode]
    assert trainer.shared_prefix_report.enabled, trainer.shared_prefix_report.reason
    columns = set(trainer._loss_columns)
    batch = collator(data.to_list())
    trainer.model.train()
    trainer.model.zero_grad(set_to_none=True)
    rewards = torch.cat(
        trainer.compute_rewards(trainer.model, {k: v for k, v in batch.items() if k not in columns})[:2]
    )
    loss = trainer.compute_loss(trainer.model, batch)
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in trainer.model.named_parameters() if p.grad is not None}
    return rewards.detach(), loss.detach(), gradients


def assert_equal_runs(trainer, data, tolerance=1e-5):
    """
    Rewards, loss and gradients agree to a relative 1e-5: in float32 every gradient measured by the norm of the whole
    one, in float64, where rounding leaves room, by its own.
    """
    rewards, loss, gradients = measure(trainer, "padded", data)
    total = torch.cat([gradient.flatten() for gradient in gradients.values()]).norm()
    for mode in ("packed", "shared"):
        found = measure(trainer, mode, data)
        assert (found[0] - rewards).abs().max() <= tolerance * rewards.abs().max()
        assert (found[1] - loss).abs() <= tolerance * loss.abs()
        assert found[2].keys() == gradients.keys()
        for name, gradient in gradients.items():
            # Some true gradients are 0, such as that of a bias on keys: what is left of them is rounding
            exact = gradient.dtype == torch.float64 and gradient.norm() > 1e-6 * total
            scale = gradient.norm() if exact else total
            assert (found[2][name] - gradient).norm() <= tolerance * scale, (mode, name)


DTYPES = [torch.float32, torch.float64]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


class TestOneBatch:
    @pytest.mark.parametrize(
        "name, dtype",
        # the experts of GPT-OSS have no kernel in float64
        [(name, dtype) for name in CONFIGS for dtype in DTYPES if (name, dtype) != ("gpt-oss-sinks", torch.float64)],
    )
    def test_architectures(self, name, dtype, tmp_path, tokenizer):
        assert_equal_runs(make(random_model(name).to(dtype), tokenizer, tmp_path), token_pairs())

    @pytest.mark.parametrize("reentrant", [True, False])
    @pytest.mark.parametrize("name", REQUIRED)
    def test_gradient_checkpointing(self, name, reentrant, tmp_path, tokenizer):
        trainer = make(random_model(name), tokenizer, tmp_path)
        trainer.model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        if reentrant:
            trainer.model.enable_input_require_grads()
        assert_equal_runs(trainer, token_pairs())

    @pytest.mark.parametrize("dtype", DTYPES)
    @pytest.mark.parametrize("name", REQUIRED)
    def test_lora(self, name, dtype, tmp_path, tokenizer):
        config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear", init_lora_weights=False)
        trainer = make(random_model(name), tokenizer, tmp_path, peft_config=config)
        trainer.model.to(dtype)
        gradients = measure(trainer, "shared", token_pairs())[2]
        assert any("lora_A" in name for name in gradients)
        assert any("score" in name for name in gradients)
        assert_equal_runs(trainer, token_pairs())

    @pytest.mark.parametrize("name", ["llama", "gemma2"])
    def test_columns_and_centering(self, name, tmp_path, tokenizer):
        data = token_pairs(p=[0.2, 0.9, 1.0, 0.5, 0.7, 0.1], weight=[1.0, 2.0, 0.0, 0.5, 1.0, 3.0])
        trainer = make(
            random_model(name), tokenizer, tmp_path, data, loss=EpsilonRAPLLoss(), center_rewards_coefficient=0.1
        )
        assert_equal_runs(trainer, data)

    @pytest.mark.parametrize("name", REQUIRED)
    def test_bfloat16_autocast(self, name, tmp_path, tokenizer):
        trainer = make(random_model(name), tokenizer, tmp_path, bf16=True)
        rewards = {}
        for mode, collator in (("padded", trainer._padding_collator), ("shared", SharedPrefixCollator())):
            with torch.no_grad(), trainer.accelerator.autocast():
                found = torch.cat(trainer.compute_rewards(trainer.model, collator(token_pairs().to_list()))[:2])
            assert found.dtype == torch.float32
            rewards[mode] = found
        assert (rewards["shared"] - rewards["padded"]).norm() <= 2e-2 * rewards["padded"].norm()

    @pytest.mark.slow
    def test_four_bit_weights_with_lora(self, tmp_path, tokenizer):
        pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
        base = tiny_checkpoint(tmp_path / "base", tokenizer, hidden_size=64, intermediate_size=128)
        quantization = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32, llm_int8_skip_modules=["score"]
        )
        model = AutoModelForSequenceClassification.from_pretrained(
            base, num_labels=1, quantization_config=quantization
        )
        config = LoraConfig(task_type="SEQ_CLS", r=4, target_modules="all-linear", init_lora_weights=False)
        trainer = make(model, tokenizer, tmp_path, peft_config=config)
        # TRL keeps the adapters of quantised models in bfloat16
        assert_equal_runs(trainer, token_pairs(), tolerance=2e-2)

    def test_eager_attention(self, tmp_path, tokenizer):
        trainer = make(random_model("qwen3", attn_implementation="eager"), tokenizer, tmp_path)
        assert_equal_runs(trainer, token_pairs())

    @pytest.mark.parametrize("dtype", DTYPES)
    def test_the_bundled_model(self, dtype, tmp_path):
        path = resolve_model("bundled:smollm2-135m-instruct")
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1, dtype=dtype)
        data = token_pairs(vocabulary=len(tokenizer), count=2)
        assert_equal_runs(make(model, tokenizer, tmp_path, data), data)


class TestCompiled:
    def test_torch_compile(self, tmp_path, tokenizer):
        torch.compiler.reset()
        trainer = make(tiny_reward_model(tokenizer), tokenizer, tmp_path)
        batch = trainer.data_collator(token_pairs().to_list())
        expected = trainer.compute_rewards(trainer.model, batch)[:2]
        compiled = torch.compile(trainer.model, backend="aot_eager")
        for rewards, reference in zip(trainer.compute_rewards(compiled, batch)[:2], expected, strict=True):
            torch.testing.assert_close(rewards, reference, rtol=1e-5, atol=1e-6)
        other = trainer.data_collator(token_pairs(seed=1).to_list())  # another layout, without compiling for it anew
        expected = trainer.compute_rewards(trainer.model, other)[:2]
        for rewards, reference in zip(trainer.compute_rewards(compiled, other)[:2], expected, strict=True):
            torch.testing.assert_close(rewards, reference, rtol=1e-5, atol=1e-6)


def curve(trainer):
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


class TestTraining:
    @pytest.mark.parametrize("extra", [{}, {"gradient_checkpointing": True}, {"gradient_accumulation_steps": 2}])
    def test_sixty_steps_with_and_without(self, extra, tmp_path, tokenizer):
        settings = {"max_steps": 60, "learning_rate": 1e-3, "per_device_train_batch_size": 4} | extra
        # Adam divides a gradient by its own size: with the default, rounding of 1e-8 alone moves parameters
        settings["adam_epsilon"] = 1e-6
        data = token_pairs(count=64)
        curves = [
            curve(make(tiny_reward_model(tokenizer), tokenizer, tmp_path, data, shared_prefix=shared, **settings))
            for shared in (True, False)
        ]
        trl = RewardTrainer(
            tiny_reward_model(tokenizer),
            RewardConfig(str(tmp_path), **(COMMON | settings)),
            train_dataset=data,
            processing_class=tokenizer,
        )
        assert len(curves[0]) == 60
        np.testing.assert_allclose(curves[0], curves[1], rtol=0, atol=1e-4)
        np.testing.assert_allclose(curves[0], curve(trl), rtol=0, atol=1e-4)
        assert curves[0][-1] < 0.5 * curves[0][0]

    def test_reliability_trainer_uses_the_engine(self, tmp_path, tokenizer):
        settings = {"max_steps": 10, "learning_rate": 1e-3, "rapl_method": "p", "reliability_kind": "probability"}
        data = pairs(16, reliability=[0.5 + 0.03 * i for i in range(16)])
        curves = []
        for shared in (True, False):
            trainer = ReliabilityRewardTrainer(
                tiny_reward_model(tokenizer),
                ReliabilityRewardConfig(str(tmp_path), **(COMMON | settings), shared_prefix=shared),
                train_dataset=data,
                processing_class=tokenizer,
            )
            assert trainer.shared_prefix_report.enabled == shared
            curves.append(curve(trainer))
        np.testing.assert_allclose(curves[0], curves[1], rtol=0, atol=1e-5)

    def test_tokens_are_counted_as_trl_does_and_as_computed(self, tmp_path, tokenizer):
        data = token_pairs(count=8)
        logs = []
        for shared in (True, False):
            trainer = make(
                tiny_reward_model(tokenizer), tokenizer, tmp_path, data, shared_prefix=shared, max_steps=1,
                per_device_train_batch_size=8,
            )  # fmt: skip
            trainer.train()
            logs.append(next(row for row in trainer.state.log_history if "num_tokens" in row))
        tokens = sum(len(row["chosen_ids"]) + len(row["rejected_ids"]) for row in data)
        assert logs[0]["num_tokens"] == logs[1]["num_tokens"] == tokens
        assert logs[0]["num_computed_tokens"] < tokens < logs[1]["num_computed_tokens"]

    def test_predictions_stay_in_order(self, tmp_path, tokenizer):
        data = pairs(13)
        predictions = [
            make(tiny_reward_model(tokenizer), tokenizer, tmp_path, data, shared_prefix=shared,
                 per_device_eval_batch_size=4).predict(data).predictions
            for shared in (True, False)
        ]  # fmt: skip
        assert predictions[0].shape == (13, 2)
        np.testing.assert_allclose(*predictions, atol=1e-6)


class TestTokenBudget:
    def batches(self, trainer):
        return list(trainer.get_train_dataloader())

    def test_batches_keep_to_the_budget_and_hold_every_pair_once(self, tmp_path, tokenizer):
        data = token_pairs(count=40, weight=[float(i) for i in range(40)])
        trainer = make(tiny_reward_model(tokenizer), tokenizer, tmp_path, data, max_tokens_per_batch=120)
        batches = self.batches(trainer)
        assert all(batch["layout"].num_tokens <= 120 for batch in batches)
        assert len({len(batch["weight"]) for batch in batches}) > 1
        assert sorted(torch.cat([batch["weight"] for batch in batches]).tolist()) == [float(i) for i in range(40)]

    def test_padded_batches_keep_to_it_too(self, tmp_path, tokenizer):
        trainer = make(
            tiny_reward_model(tokenizer), tokenizer, tmp_path, token_pairs(count=40), max_tokens_per_batch=200,
            shared_prefix=False,
        )  # fmt: skip
        batches = self.batches(trainer)
        assert all(batch["input_ids"].numel() <= 200 for batch in batches)
        assert sum(batch["input_ids"].shape[0] for batch in batches) == 80

    def test_one_large_step_is_the_gradient_of_the_mean_over_all_pairs(self, tmp_path, tokenizer):
        data = token_pairs(count=12)
        settings = {"max_steps": 1, "optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0, "warmup_steps": 0}
        by_pairs = make(
            tiny_reward_model(tokenizer), tokenizer, tmp_path, data, per_device_train_batch_size=12, **settings
        )
        by_pairs.train()
        probe = make(tiny_reward_model(tokenizer), tokenizer, tmp_path, data, max_tokens_per_batch=100, **settings)
        steps = len(probe.get_train_dataloader())
        assert steps > 2
        by_tokens = make(
            tiny_reward_model(tokenizer), tokenizer, tmp_path, data, max_tokens_per_batch=100,
            gradient_accumulation_steps=steps, **settings,
        )  # fmt: skip
        by_tokens.train()
        for found, expected in zip(by_tokens.model.parameters(), by_pairs.model.parameters(), strict=True):
            torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)

    def test_every_epoch_has_every_pair_in_another_order(self, tmp_path, tokenizer):
        data = token_pairs(count=30, weight=[float(i) for i in range(30)])
        seen = []

        class Recorder(PairwiseRewardTrainer):
            def compute_loss(self, model, inputs, *args, **kwargs):
                seen.append(inputs["weight"].tolist())
                return super().compute_loss(model, inputs, *args, **kwargs)

        Recorder(
            tiny_reward_model(tokenizer),
            PairwiseRewardConfig(str(tmp_path), **COMMON, max_tokens_per_batch=150, num_train_epochs=2),
            train_dataset=data,
            processing_class=tokenizer,
        ).train()
        half = len(seen) // 2
        assert sorted(sum(seen[:half], [])) == sorted(sum(seen[half:], [])) == [float(i) for i in range(30)]
        assert seen[:half] != seen[half:]

    def test_training_resumes_within_an_epoch(self, tmp_path, tokenizer):
        data = token_pairs(count=40)
        settings = {"num_train_epochs": 2, "learning_rate": 1e-3, "max_tokens_per_batch": 150}
        whole = make(
            tiny_reward_model(tokenizer), tokenizer, tmp_path, data, save_strategy="steps", save_steps=3, **settings
        )
        expected = curve(whole)
        resumed = make(tiny_reward_model(tokenizer, seed=1), tokenizer, tmp_path / "resumed", data, **settings)
        resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-3"))
        found = [row["loss"] for row in resumed.state.log_history if "loss" in row]
        assert len(expected) > 6
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_refuses_a_sampling_strategy_beside_it(self, tmp_path):
        with pytest.raises(ValueError, match="max_tokens_per_batch"):
            PairwiseRewardConfig(str(tmp_path), **COMMON, max_tokens_per_batch=9, train_sampling_strategy="sequential")
        with pytest.raises(ValueError, match="at least 1"):
            PairwiseRewardConfig(str(tmp_path), **COMMON, max_tokens_per_batch=0)
        with pytest.raises(ValueError, match="auto_find_batch_size"):
            PairwiseRewardConfig(str(tmp_path), **COMMON, max_tokens_per_batch=9, auto_find_batch_size=True)

    def test_refuses_a_stream(self, tmp_path, tokenizer):
        args = PairwiseRewardConfig(str(tmp_path), **COMMON, max_tokens_per_batch=9, max_steps=1)
        with pytest.raises(ValueError, match="not a stream"):
            PairwiseRewardTrainer(
                tiny_reward_model(tokenizer), args, train_dataset=pairs().to_iterable_dataset(),
                processing_class=tokenizer,
            )  # fmt: skip

    @pytest.mark.parametrize("costs", [[500, 400, 300], [500, 10, 400, 300, 600], [5, 6, 7, 8, 9, 10, 11]])
    @pytest.mark.parametrize("processes", [1, 2, 3])
    def test_every_process_gets_as_many_batches(self, costs, processes):
        batches = [
            list(TokenBudgetBatchSampler(costs, 20, num_processes=processes, process_index=process))
            for process in range(processes)
        ]
        assert len({len(own) for own in batches}) == 1
        assert sorted(index for own in batches for batch in own for index in batch) == list(range(len(costs)))


class TestFallBack:
    def bert(self, tokenizer):
        from transformers import BertConfig

        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
            num_labels=1, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return AutoModelForSequenceClassification.from_config(config)

    def test_an_encoder_trains_on_padded_batches_grouped_by_length(self, tmp_path, tokenizer, caplog):
        trainer = make(self.bert(tokenizer), tokenizer, tmp_path, token_pairs(count=32), max_steps=3)
        assert caplog.text.count("Batches are padded") == 1
        assert trainer.shared_prefix_report == SharedPrefixReport(
            False, "its head is not a `score` layer on the last token"
        )
        assert isinstance(trainer._get_train_sampler(), LengthGroupedSampler)
        assert trainer.args.train_sampling_strategy == "random"  # the arguments may serve another trainer
        assert len(curve(trainer)) == 3
        assert caplog.text.count("Batches are padded") == 1

    @pytest.mark.parametrize("kwargs", [{"shared_prefix": False}, {"train_sampling_strategy": "sequential"}])
    def test_a_chosen_order_is_kept(self, kwargs, tmp_path, tokenizer):
        trainer = make(self.bert(tokenizer), tokenizer, tmp_path, token_pairs(count=32), **kwargs)
        assert not isinstance(trainer._get_train_sampler(), LengthGroupedSampler)

    def test_dropout_is_a_reason(self, tmp_path, tokenizer, caplog):
        model = tiny_reward_model(tokenizer, attention_dropout=0.1)
        trainer = make(model, tokenizer, tmp_path, disable_dropout=False)
        assert "dropout is on" in trainer.shared_prefix_report.reason
        assert "dropout is on" in caplog.text
        assert make(
            tiny_reward_model(tokenizer, attention_dropout=0.1), tokenizer, tmp_path
        ).shared_prefix_report.enabled

    def test_inputs_for_metrics_are_a_reason(self, tmp_path, tokenizer):
        trainer = make(tiny_reward_model(tokenizer), tokenizer, tmp_path, include_for_metrics=["inputs"])
        assert "include_for_metrics" in trainer.shared_prefix_report.reason

    def test_a_streamed_evaluation_set(self, tmp_path, tokenizer):
        rows = token_pairs(count=9)
        metrics = []
        for shared in (True, False):
            trainer = PairwiseRewardTrainer(
                tiny_reward_model(tokenizer),
                PairwiseRewardConfig(str(tmp_path), **COMMON, shared_prefix=shared, per_device_eval_batch_size=4),
                train_dataset=rows,
                eval_dataset=rows.to_iterable_dataset(),
                processing_class=tokenizer,
            )
            metrics.append(trainer.evaluate())
        assert metrics[0]["eval_loss"] == pytest.approx(metrics[1]["eval_loss"], abs=1e-6)

    def test_a_collator_of_your_own_is_used(self, tmp_path, tokenizer):
        collator = lambda examples: {}  # noqa: E731
        trainer = PairwiseRewardTrainer(
            tiny_reward_model(tokenizer), PairwiseRewardConfig(str(tmp_path), **COMMON), data_collator=collator,
            train_dataset=token_pairs(), processing_class=tokenizer,
        )  # fmt: skip
        assert trainer.data_collator is collator
        assert "data_collator" in trainer.shared_prefix_report.reason

    def test_a_check_that_fails_at_the_first_batch_pads_it(self, tmp_path, tokenizer, monkeypatch, caplog):
        """Sharded models can be checked only then: batches that are packed already are taken apart again."""
        monkeypatch.setattr(packing, "is_deepspeed_zero3_enabled", lambda: True)
        failed = SharedPrefixReport(False, "rewards differ")
        data = token_pairs(count=16)
        settings = {"max_steps": 6, "learning_rate": 1e-3, "per_device_train_batch_size": 4}
        trainer = make(tiny_reward_model(tokenizer), tokenizer, tmp_path, data, **settings)
        assert trainer.shared_prefix_report.enabled
        monkeypatch.setattr(packing, "self_check", lambda *args, **kwargs: failed)
        found = curve(trainer)
        assert trainer.shared_prefix_report is failed
        assert caplog.text.count("rewards differ") == 1
        assert trainer.model.config._attn_implementation == "sdpa"
        expected = curve(
            make(tiny_reward_model(tokenizer), tokenizer, tmp_path, data, shared_prefix=False, **settings)
        )
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_saved_model_is_a_plain_one(tmp_path, tokenizer):
    trainer = make(str(tiny_checkpoint(tmp_path / "base", tokenizer)), tokenizer, tmp_path / "out", max_steps=1)
    trainer.train()
    trainer.save_model()
    plain = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    ids = torch.tensor([token_pairs()[0]["chosen_ids"]])
    with torch.no_grad():
        torch.testing.assert_close(plain(input_ids=ids).logits, trainer.model.eval()(input_ids=ids).logits)
