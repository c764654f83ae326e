"""Training the last layers on cached hidden states is training the last layers."""

import pytest
import torch
from transformers import AutoModel, AutoModelForSequenceClassification, BertConfig, GPT2Config

from tests.tiny import pairs, tiny_reward_model, tiny_tokenizer
from trl_ext import PairwiseRewardConfig, PairwiseRewardTrainer
from trl_ext.trainer import frozen_layers
from trl_ext.trainer.frozen_layers import cached_lower_layers, freeze_lower_layers


@pytest.fixture
def tokenizer():
    return tiny_tokenizer()


def train(tokenizer, tmp_path, cache=None, seed=0):
    model = tiny_reward_model(tokenizer, seed=3, num_hidden_layers=4)
    freeze_lower_layers(model, 1)
    args = PairwiseRewardConfig(
        str(tmp_path / "out"), num_train_epochs=2, per_device_train_batch_size=4, learning_rate=1e-3, shared_prefix=False,
        use_cpu=True, bf16=False, report_to="none", save_strategy="no", logging_steps=1, disable_tqdm=True, seed=seed,
    )  # fmt: skip
    trainer = PairwiseRewardTrainer(model=model, args=args, train_dataset=pairs(13), processing_class=tokenizer)
    if cache is None:
        trainer.train()
    else:
        with cached_lower_layers(model, 1, cache, torch.float32):
            trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    return losses, {name: value.detach().clone() for name, value in model.state_dict().items()}


def test_same_losses_and_weights_as_without_a_cache(tokenizer, tmp_path):
    expected_losses, expected = train(tokenizer, tmp_path)
    losses, weights = train(tokenizer, tmp_path, tmp_path / "cache")
    assert losses == pytest.approx(expected_losses, abs=1e-6)
    assert weights.keys() == expected.keys()
    start = tiny_reward_model(tokenizer, seed=3, num_hidden_layers=4).state_dict()
    for name, value in weights.items():
        torch.testing.assert_close(value, expected[name], atol=1e-6, rtol=0)
        trained = any(part in name for part in ("layers.3", "model.norm", "score"))
        assert torch.equal(value, start[name]) != trained, name


def test_the_second_run_computes_nothing(tokenizer, tmp_path, monkeypatch):
    expected = train(tokenizer, tmp_path, tmp_path / "cache")[0]
    added = []
    monkeypatch.setattr(frozen_layers._HiddenStates, "add", lambda self, key, states: added.append(key))
    assert train(tokenizer, tmp_path, tmp_path / "cache")[0] == expected
    assert added == []


def test_an_unreadable_file_is_computed_again(tokenizer, tmp_path, caplog):
    expected = train(tokenizer, tmp_path, tmp_path / "cache")[0]
    (file,) = (tmp_path / "cache").glob("*.safetensors")
    file.write_bytes(b"cut")
    assert train(tokenizer, tmp_path, tmp_path / "cache")[0] == expected
    assert "can't be read" in caplog.text


def test_other_frozen_weights_have_other_states(tokenizer, tmp_path):
    ids = torch.tensor([[5, 6, 7, 8]])
    rewards = []
    for seed in (1, 2):
        model = tiny_reward_model(tokenizer, seed=seed, num_hidden_layers=4).eval()
        freeze_lower_layers(model, 1)
        whole = model(ids).logits
        with cached_lower_layers(model, 1, tmp_path, torch.float32):
            torch.testing.assert_close(model(ids).logits, whole)
        torch.testing.assert_close(model(ids).logits, whole)
        rewards.append(whole)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_what_cannot_be_divided_is_refused(tokenizer, tmp_path):
    model = tiny_reward_model(tokenizer)
    with pytest.raises(ValueError, match="from 1 to 1, got 2"):
        freeze_lower_layers(model, 2)
    with pytest.raises(ValueError, match="not frozen"), cached_lower_layers(model, 1, tmp_path):
        pass
    with pytest.raises(ValueError, match="GPT2Model is neither a decoder"):
        freeze_lower_layers(AutoModel.from_config(GPT2Config(n_layer=2, n_head=2, n_embd=8, vocab_size=20)), 1)


def test_an_encoder_gives_the_same_rewards(tmp_path):
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, num_labels=1
    )
    model = AutoModelForSequenceClassification.from_config(config).eval()
    freeze_lower_layers(model, 1)
    ids = torch.tensor([[2, 7, 8, 9, 3], [2, 11, 3, 0, 0]])
    whole = model(ids, attention_mask=(ids != 0).long()).logits
    with cached_lower_layers(model, 1, tmp_path, torch.float32):
        torch.testing.assert_close(model(ids, attention_mask=(ids != 0).long()).logits, whole)
    frozen = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert (
        all(("embeddings" in name or "layer.0" in name or "layer.1" in name) for name in frozen) and len(frozen) > 20
    )


def test_rows_padded_on_the_left_are_refused(tokenizer, tmp_path):
    model = tiny_reward_model(tokenizer, num_hidden_layers=3)
    freeze_lower_layers(model, 1)
    ids = torch.tensor([[tokenizer.pad_token_id, 5, 6]])
    with cached_lower_layers(model, 1, tmp_path), pytest.raises(ValueError, match="padded on the right"):
        model(ids)
