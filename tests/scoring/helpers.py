"""What the tests of scoring share: rewards one by one, and tiny models of several families."""

import json
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BloomConfig,
    Gemma2Config,
    LlamaConfig,
    MistralConfig,
    set_seed,
)

from tests.tiny import pairs
from trl_ext.data import tokenize_preferences


_SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
_CAUSAL = _SIZES | {"num_key_value_heads": 2, "max_position_embeddings": 512}
CONFIGS = {
    "llama": lambda **kwargs: LlamaConfig(**_CAUSAL, **kwargs),
    "mistral": lambda **kwargs: MistralConfig(**_CAUSAL, sliding_window=24, **kwargs),
    "gemma2": lambda **kwargs: Gemma2Config(**_CAUSAL, head_dim=8, sliding_window=24, **kwargs),
    "bert": lambda **kwargs: BertConfig(**_SIZES, max_position_embeddings=512, **kwargs),
    "bloom": lambda **kwargs: BloomConfig(hidden_size=32, n_layer=2, n_head=4, **kwargs),
}


def reward_model(family: str, tokenizer, seed: int = 0):
    set_seed(seed)
    config = CONFIGS[family](
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        num_labels=1,
    )
    model = AutoModelForSequenceClassification.from_config(config)
    with torch.no_grad():  # rewards of about one
        (model.classifier if family == "bert" else model.score).weight.mul_(20)
    return model.eval()


@torch.inference_mode()
def rewards_of_ids(model, sequences: list[list[int]]) -> np.ndarray:
    """One sequence at a time: without padding, without sharing."""
    rewards = []
    for ids in sequences:
        ids = torch.tensor([ids])
        rewards.append(model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.item())
    return np.array(rewards, dtype=np.float32)


def one_by_one(model, tokenizer, prompts: list[str], responses: list[list[str]]) -> list[np.ndarray]:
    return [
        rewards_of_ids(model, [tokenizer(prompt + answer + tokenizer.eos_token)["input_ids"] for answer in answers])
        for prompt, answers in zip(prompts, responses, strict=True)
    ]


def rewards_of_pairs(model, tokenizer, dataset, **kwargs) -> np.ndarray:
    """Rewards `(N, 2)` one by one of what training sees of a dataset."""
    tokenized, _ = tokenize_preferences(dataset, tokenizer, **kwargs)
    return np.stack([rewards_of_ids(model, tokenized[column]) for column in ("chosen_ids", "rejected_ids")], axis=1)


def assert_same(actual, expected) -> None:
    assert len(actual) == len(expected)
    for ours, theirs in zip(actual, expected, strict=True):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-6)


def write_rows(path: Path, count: int) -> Path:
    """K-way rows with 0 to 3 responses, every third prompt the same."""
    questions = pairs(count)["prompt"]
    rows = [
        {
            "id": f"q{i}",
            "prompt": questions[i // 3],
            "responses": [f"It is {i + k}." for k in range(i % 4)],
            "sources": [f"model-{k}" for k in range(i % 4)],
        }
        for i in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]
