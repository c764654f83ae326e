"""What is saved gives the same rewards when it is loaded."""

import shutil

import pytest
import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from tests.tiny import pairs, tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.hub import RoundTripError, verify_round_trip


@pytest.fixture(scope="module")
def tokenizer():
    return tiny_tokenizer()


def train(path, tokenizer, model=None, peft_config=None, bf16=False):
    args = PairwiseRewardConfig(
        str(path), report_to="none", use_cpu=True, bf16=bf16, gradient_checkpointing=False, save_strategy="no",
        max_steps=2, learning_rate=1e-2, disable_tqdm=True,
    )  # fmt: skip
    model = tiny_reward_model(tokenizer) if model is None else model
    trainer = PairwiseRewardTrainer(
        model, args, train_dataset=pairs(), processing_class=tokenizer, peft_config=peft_config
    )
    trainer.train()
    trainer.save_model()
    return trainer, tokenizer.batch_decode(trainer.train_dataset["chosen_ids"][:8])


def test_full_model(tmp_path, tokenizer):
    trainer, texts = train(tmp_path, tokenizer)
    result = verify_round_trip(trainer.model, tokenizer, tmp_path, texts)
    assert result.rows == 8 and result.max_difference < 1e-5
    assert set(result.loaders) == {"AutoModel", "pipeline", "padded batch"}


def test_adapter(tmp_path, tokenizer):
    base = tiny_checkpoint(tmp_path / "base", tokenizer)
    trainer, texts = train(tmp_path / "out", tokenizer, base, LoraConfig(target_modules=["q_proj", "v_proj"]))
    result = verify_round_trip(trainer.model, tokenizer, tmp_path / "out", texts)
    assert result.loaders == ["PEFT", "padded batch"] and result.max_difference < 1e-5


def test_mixed_precision_in_memory_is_no_difference(tmp_path, tokenizer):
    trainer, texts = train(tmp_path, tokenizer, bf16=True)
    inputs = tokenizer(texts[0], return_tensors="pt", add_special_tokens=False)
    under_autocast = trainer.model.eval()(**inputs).logits
    assert verify_round_trip(trainer.model, tokenizer, tmp_path, texts).max_difference < 1e-5
    torch.testing.assert_close(trainer.model(**inputs).logits, under_autocast, atol=0, rtol=0)


def test_the_model_may_move_after_saving(tmp_path, tokenizer):
    trainer, texts = train(tmp_path / "here", tokenizer)
    shutil.move(tmp_path / "here", tmp_path / "there")
    verify_round_trip(trainer.model, tokenizer, tmp_path / "there", texts)


def test_a_changed_head_is_an_error(tmp_path, tokenizer):
    trainer, texts = train(tmp_path, tokenizer)
    weights = load_file(tmp_path / "model.safetensors")
    weights["score.weight"] = weights["score.weight"] + 1e-3
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RoundTripError, match="AutoModel|pipeline|padded"):
        verify_round_trip(trainer.model, tokenizer, tmp_path, texts)


def test_a_pipeline_that_squashes_the_reward_is_an_error(tmp_path, tokenizer):
    trainer, texts = train(tmp_path, tokenizer)
    trainer.model.config.problem_type = None
    trainer.save_model()
    with pytest.raises(RoundTripError, match="pipeline"):
        verify_round_trip(trainer.model, tokenizer, tmp_path, texts)


def test_without_texts_nothing_is_verified(tmp_path, tokenizer):
    with pytest.raises(ValueError, match="empty"):
        verify_round_trip(torch.nn.Linear(1, 1), tokenizer, tmp_path, [])
