"""Hidden states of pairs: of decoders and encoders, kept and read again."""

from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from tiny import tiny_checkpoint, tiny_tokenizer
from transformers import AutoModelForSequenceClassification, BertConfig, BertModel

from trl_ext.mislabels import pair_features


ROWS = {"prompt": ["what is", "the capital"], "chosen": [" a good answer", " of France"], "rejected": [" bad", " is"]}


@pytest.fixture
def folder(tmp_path):
    return Path(tiny_checkpoint(tmp_path / "model"))


def test_a_decoder_is_read_where_its_reward_head_reads(folder):
    found = pair_features(Dataset.from_dict(ROWS), str(folder), progress=False)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    tokenizer = tiny_tokenizer()
    for row in range(2):
        rewards = []
        for name in ("chosen", "rejected"):
            ids = tokenizer(ROWS["prompt"][row] + ROWS[name][row] + tokenizer.eos_token, return_tensors="pt")
            with torch.no_grad():
                rewards.append(model(input_ids=ids["input_ids"]).logits.item())
        with torch.no_grad():
            margin = model.score(torch.tensor(found[row]).float()).item()
        assert margin == pytest.approx(rewards[0] - rewards[1], abs=1e-5)


def test_an_encoder_gives_the_mean_over_tokens(tmp_path):
    tokenizer = tiny_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    model = BertModel(config).eval()
    for part in (tokenizer, model):
        part.save_pretrained(tmp_path)
    found = pair_features(Dataset.from_dict(ROWS), str(tmp_path), progress=False)
    means = []
    for name in ("chosen", "rejected"):
        ids = tokenizer(ROWS["prompt"][0] + ROWS[name][0] + tokenizer.eos_token, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            means.append(model(input_ids=ids).last_hidden_state[0].mean(0))
    np.testing.assert_allclose(found[0], (means[0] - means[1]).double(), atol=1e-5)


def test_states_are_kept_and_a_broken_file_is_computed_again(folder, tmp_path, caplog):
    data, cache = Dataset.from_dict(ROWS), tmp_path / "cache"
    first = pair_features(data, str(folder), cache_dir=cache, progress=False)
    (file,) = cache.iterdir()
    np.testing.assert_array_equal(pair_features(data, str(folder), cache_dir=cache, progress=False), first)
    file.write_bytes(b"cut")
    np.testing.assert_array_equal(pair_features(data, str(folder), cache_dir=cache, progress=False), first)
    assert "can't be read" in caplog.text


def test_refusals_name_the_row(folder):
    data = Dataset.from_dict({**ROWS, "chosen": [" a", " b" * 40]})
    with pytest.raises(ValueError, match="first: row 1"):
        pair_features(data, str(folder), max_length=20, progress=False)
    with pytest.raises(ValueError, match="Every pair needs features"):
        pair_features(data, str(folder), max_length=20, max_length_policy="truncate_prompt_left", progress=False)
    with pytest.raises(ValueError, match="max_length_policy"):
        pair_features(data, str(folder), max_length_policy="drop")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="adapter"):
        pair_features(data, str(folder))
