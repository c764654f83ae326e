"""What `load_reward_model` promises of the model, and what it refuses."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from tests.tiny import tiny_checkpoint, tiny_reward_model, tiny_tokenizer
from trl_ext import load_reward_model


def save(path, dtype=torch.float32, pad_token="<pad>", **kwargs):
    tokenizer = tiny_tokenizer(pad_token)
    tiny_reward_model(tokenizer, **kwargs).to(dtype).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def adapter(path, base):
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=1)
    get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules=["q_proj"])).save_pretrained(path)
    return path


def test_ready_to_score(tmp_path):
    model, tokenizer = load_reward_model(save(tmp_path, torch.bfloat16))
    assert not model.training and model.dtype == torch.bfloat16
    assert model(**tokenizer("4", return_tensors="pt")).logits.dtype == torch.float32
    assert load_reward_model(str(tmp_path), dtype="float32")[0].dtype == torch.float32


def test_end_of_sequence_does_not_pad(tmp_path):
    model, tokenizer = load_reward_model(save(tmp_path, pad_token="<|im_end|>"))
    assert tokenizer.pad_token != tokenizer.eos_token
    assert model.config.pad_token_id == tokenizer.pad_token_id


def test_adapter_without_tokenizer_takes_that_of_its_base(tmp_path):
    folder = adapter(tmp_path / "adapter", tiny_checkpoint(tmp_path / "base"))
    model, tokenizer = load_reward_model(str(folder))
    assert len(tokenizer) == len(tiny_tokenizer()) and type(model).__name__.startswith("PeftModel")


def test_several_outputs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="num_labels=2"):
        load_reward_model(save(tmp_path, num_labels=2))


def test_pickled_weights_are_refused(tmp_path):
    path = save(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(OSError, match="safetensors"):
        load_reward_model(path)


def test_pickled_adapters_are_refused(tmp_path):
    folder = adapter(tmp_path / "adapter", tiny_checkpoint(tmp_path / "base"))
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(OSError, match="no adapter_model.safetensors"):
        load_reward_model(str(folder))
