"""Each test shows one defect of TRL's RewardTrainer, and that PairwiseRewardTrainer does not have it."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from peft import AutoPeftModelForSequenceClassification, LoraConfig
from transformers import AutoTokenizer, pipeline
from trl import RewardConfig, RewardTrainer

from tests.tiny import chat_pairs, pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer


BOTH = [(RewardTrainer, RewardConfig), (PairwiseRewardTrainer, PairwiseRewardConfig)]


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def make(trainer_class, config_class, path, model=None, tokenizer=None, train=None, trainer_args=None, **kwargs):
    defaults = {
        "report_to": "none", "use_cpu": True, "bf16": False, "gradient_checkpointing": False, "save_strategy": "no",
        "per_device_eval_batch_size": 4, "disable_tqdm": True,
    }  # fmt: skip
    return trainer_class(
        model=tiny_reward_model(tokenizer) if model is None else model,
        args=config_class(str(path), **(defaults | kwargs)),
        train_dataset=pairs() if train is None else train,
        processing_class=tokenizer,
        **(trainer_args or {}),
    )


def rewards_one_by_one(model, tokenizer, dataset) -> np.ndarray:
    """True rewards (N, 2): every sequence alone, without padding, read at its last token."""
    rows = []
    for row in dataset:
        texts = [row["prompt"] + row[side] + tokenizer.eos_token for side in ("chosen", "rejected")]
        with torch.no_grad():
            inputs = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
            hidden = [model.eval().model(ids).last_hidden_state[:, -1] for ids in inputs]
            rows.append([F.linear(h, model.score.weight).item() for h in hidden])
    return np.array(rows)


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d1_rewards_and_loss_are_float32_under_bfloat16(trainer_class, config_class, tmp_path, tokenizer):
    trainer = make(trainer_class, config_class, tmp_path, tokenizer=tokenizer, bf16=True)
    rewards = torch.tensor(trainer.predict(trainer.train_dataset).predictions).float()
    rounded_to_bfloat16 = torch.equal(rewards, rewards.bfloat16().float())
    assert rounded_to_bfloat16 == (trainer_class is RewardTrainer)


def test_d1_a_model_in_bfloat16_gives_float32_rewards(tmp_path, tokenizer):
    model = tiny_reward_model(tokenizer).to(torch.bfloat16)
    trainer = make(*BOTH[1], tmp_path, model=model, tokenizer=tokenizer)
    assert trainer.predict(pairs()).predictions.dtype == np.float32
    assert len(np.unique(trainer.predict(pairs(40)).predictions)) == 80


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d2_predictions_have_one_row_per_pair(trainer_class, config_class, tmp_path, tokenizer):
    dataset = pairs(13)
    seen = {}

    def keep(prediction):
        seen["predictions"], seen["labels"] = prediction.predictions, prediction.label_ids
        return {}

    trainer = make(trainer_class, config_class, tmp_path, tokenizer=tokenizer, trainer_args={"compute_metrics": keep})
    trainer.evaluate(dataset)
    if trainer_class is RewardTrainer:
        assert len(seen["predictions"]) == 25  # 26 rewards, the last one cut off, pairs no longer to be told
    else:
        assert seen["predictions"].shape == (13, 2)
        assert seen["labels"].shape == (13,)
        expected = rewards_one_by_one(trainer.model, tokenizer, dataset)
        np.testing.assert_allclose(seen["predictions"], expected, atol=2e-6)


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d3_accuracy_and_margin_weigh_every_pair_equally(trainer_class, config_class, tmp_path, tokenizer):
    dataset = pairs(13)
    trainer = make(trainer_class, config_class, tmp_path, tokenizer=tokenizer)
    metrics = trainer.evaluate(dataset)
    rewards = rewards_one_by_one(trainer.model, tokenizer, dataset)
    difference = rewards[:, 0] - rewards[:, 1]
    assert 0 < (difference > 0).sum() < 13
    exact = (
        metrics["eval_accuracy"] == pytest.approx((difference > 0).mean(), abs=1e-9)
        and metrics["eval_margin"] == pytest.approx(difference.mean(), abs=1e-5)
        and metrics["eval_loss"] == pytest.approx(np.logaddexp(0, -difference).mean(), abs=1e-5)
    )
    assert exact == (trainer_class is PairwiseRewardTrainer)


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d4_reward_is_read_at_end_of_sequence_when_that_token_also_pads(trainer_class, config_class, tmp_path):
    tokenizer = tiny_tokenizer(pad_token="<|im_end|>")
    dataset = pairs(5)
    trainer = make(trainer_class, config_class, tmp_path, tokenizer=tokenizer, max_length=None)
    expected = rewards_one_by_one(trainer.model, tokenizer, dataset)
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(5)])
    with torch.no_grad():
        logits = trainer.model(**batch).logits
    found = logits.squeeze(-1).reshape(2, 5).T.numpy()
    at_end = np.allclose(found, expected, atol=2e-6)
    assert at_end == (trainer_class is PairwiseRewardTrainer)


def test_d4_a_tokenizer_without_any_spare_token_gets_one(tmp_path):
    tokenizer = tiny_tokenizer(pad_token=None)
    tokenizer.bos_token = tokenizer.eos_token  # as in GPT-2: one special token for everything
    tokenizer.add_special_tokens({"additional_special_tokens": []})
    model = tiny_reward_model(tokenizer)
    trainer = make(*BOTH[1], tmp_path, model=model, tokenizer=tokenizer)
    assert trainer.processing_class.pad_token != trainer.processing_class.eos_token
    assert trainer.processing_class.pad_token_id < trainer.model.get_input_embeddings().num_embeddings
    expected = rewards_one_by_one(trainer.model, tokenizer, pairs(5))
    np.testing.assert_allclose(trainer.predict(pairs(5)).predictions, expected, atol=2e-6)


@pytest.mark.parametrize("strategy", ["group_by_length", "batch_rebalance"])
@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d5_length_grouping_works(trainer_class, config_class, strategy, tmp_path, tokenizer):
    dataset = pairs(32)
    trainer = make(
        trainer_class, config_class, tmp_path, tokenizer=tokenizer, train=dataset, train_sampling_strategy=strategy,
        per_device_train_batch_size=4, max_steps=2,
    )  # fmt: skip
    if trainer_class is RewardTrainer:
        with pytest.raises(ValueError, match="input_ids"):
            trainer.train()
        return
    trainer.train()
    assert len(list(trainer.get_train_dataloader())) == 8
    # predictions stay in dataset order although training does not
    expected = rewards_one_by_one(trainer.model, tokenizer, dataset)
    np.testing.assert_allclose(trainer.predict(dataset).predictions, expected, atol=1e-5)


def test_d5_grouped_batches_waste_less_padding(tmp_path, tokenizer):
    dataset = pairs(64)

    def padding(**kwargs):
        trainer = make(
            *BOTH[1], tmp_path, tokenizer=tokenizer, train=dataset, per_device_train_batch_size=8, shared_prefix=False,
            **kwargs,
        )  # fmt: skip
        masks = [batch["attention_mask"] for batch in trainer.get_train_dataloader()]
        return sum((1 - mask).sum().item() for mask in masks)

    assert padding(train_sampling_strategy="group_by_length") < padding()


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d6_lora_saves_the_reward_head(trainer_class, config_class, tmp_path, tokenizer):
    base = tiny_checkpoint(tmp_path / "base", tokenizer)
    trainer = make(
        trainer_class, config_class, tmp_path / "out", model=base, tokenizer=tokenizer, max_steps=3, learning_rate=1e-2,
        trainer_args={"peft_config": LoraConfig(target_modules=["q_proj", "v_proj"])},
    )  # fmt: skip
    trainer.train()
    trainer.save_model()
    ids = tokenizer("2 and 2 is 4<|im_end|>", return_tensors="pt")
    with torch.no_grad():
        before = trainer.model.eval()(**ids).logits.item()
    try:
        reloaded = AutoPeftModelForSequenceClassification.from_pretrained(tmp_path / "out", num_labels=1)
        with torch.no_grad():
            after = reloaded.eval()(**ids).logits.item()
    except KeyError:  # the stock trainer: the adapter has no head
        after = math.nan
    assert (abs(before - after) < 1e-6) == (trainer_class is PairwiseRewardTrainer)


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d6_lora_with_the_task_type_of_the_trl_command_line(trainer_class, config_class, tmp_path, tokenizer):
    def build():
        return make(
            trainer_class, config_class, tmp_path, tokenizer=tokenizer, max_steps=1,
            trainer_args={"peft_config": LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"])},
        )  # fmt: skip

    if trainer_class is RewardTrainer:
        with pytest.raises(AttributeError, match="prepare_inputs_for_generation"):
            build()
    else:
        build().train()


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d7_disable_dropout_covers_attention(trainer_class, config_class, tmp_path, tokenizer):
    model = tiny_reward_model(tokenizer, attention_dropout=0.5)
    trainer = make(trainer_class, config_class, tmp_path, model=model, tokenizer=tokenizer, disable_dropout=True)
    ids = tokenizer("a rather long question, and its answer", return_tensors="pt")
    trainer.model.train()
    first, second = (trainer.model(**ids).logits for _ in range(2))
    assert torch.equal(first, second) == (trainer_class is PairwiseRewardTrainer)


def test_d7_dropout_stays_when_asked_for(tmp_path, tokenizer):
    model = tiny_reward_model(tokenizer, attention_dropout=0.5)
    trainer = make(*BOTH[1], tmp_path, model=model, tokenizer=tokenizer, disable_dropout=False)
    assert trainer.model.model.layers[0].self_attn.attention_dropout == 0.5


def parameters_after_training(trainer) -> torch.Tensor:
    trainer.train()
    return torch.cat([p.detach().flatten() for p in trainer.model.parameters()])


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d8_gradient_accumulation_does_not_change_the_result(trainer_class, config_class, tmp_path, tokenizer):
    runs = []
    for batch, accumulation in ((8, 1), (4, 2)):
        trainer = make(
            trainer_class, config_class, tmp_path, tokenizer=tokenizer, per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation, num_train_epochs=2, learning_rate=0.05, optim="sgd",
        )  # fmt: skip
        runs.append(parameters_after_training(trainer))
    same = torch.allclose(*runs, atol=1e-6, rtol=0)
    assert same == (trainer_class is PairwiseRewardTrainer)


@pytest.mark.parametrize("trainer_class, config_class", BOTH)
def test_d9_the_pipeline_returns_the_raw_reward(trainer_class, config_class, tmp_path, tokenizer):
    trainer = make(trainer_class, config_class, tmp_path, tokenizer=tokenizer)
    trainer.save_model()
    reloaded = AutoTokenizer.from_pretrained(tmp_path)
    score = pipeline("text-classification", model=str(tmp_path), tokenizer=reloaded)("2 and 2 is 4")[0]["score"]
    with torch.no_grad():
        reward = trainer.model.eval()(**tokenizer("2 and 2 is 4", return_tensors="pt")).logits.item()
    assert (abs(score - reward) < 1e-5) == (trainer_class is PairwiseRewardTrainer)


def test_d9_the_card_of_a_local_model_names_no_none(tmp_path, tokenizer):
    base = tiny_checkpoint(tmp_path / "my-base", tokenizer)
    trainer = make(*BOTH[1], tmp_path / "my-reward-model", model=base, tokenizer=tokenizer)
    trainer.create_model_card()
    card = (tmp_path / "my-reward-model" / "README.md").read_text()
    assert "None" not in card
    assert "my-base" in card and 'model="my-reward-model"' in card
    assert str(tmp_path) not in card


def test_conversational_data_gives_the_same_rewards_as_trl(tmp_path, tokenizer):
    ours, theirs = (
        make(*classes, tmp_path, tokenizer=tiny_tokenizer(), train=chat_pairs()).train_dataset for classes in BOTH
    )
    assert ours["chosen_ids"] == theirs["chosen_ids"] and ours["rejected_ids"] == theirs["rejected_ids"]
