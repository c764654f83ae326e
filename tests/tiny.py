"""Tiny real objects for tests in which the model does not matter: a byte-level BPE tokenizer and two-layer models."""

from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    LlamaConfig,
    PreTrainedTokenizerFast,
    set_seed,
)


CHAT_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer(pad_token: str | None = "<pad>") -> PreTrainedTokenizerFast:
    """A ChatML tokenizer whose end-of-sequence token is <|im_end|>; `pad_token` may be the same token, or None."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>"] + (["<pad>"] if pad_token == "<pad>" else [])
    texts = ["the capital of France is Paris", "what is the answer to this question", "a good and a bad answer"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token=pad_token, bos_token="<|im_start|>"
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


def tiny_config(tokenizer: PreTrainedTokenizerFast, **kwargs) -> LlamaConfig:
    defaults = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 512,
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "num_labels": 1,
    }
    return LlamaConfig(**(defaults | kwargs))


def tiny_reward_model(tokenizer: PreTrainedTokenizerFast, seed: int = 0, **kwargs):
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_config(tiny_config(tokenizer, **kwargs))
    with torch.no_grad():  # larger rewards than those of the default initialisation
        model.score.weight.mul_(20)
    return model


def tiny_checkpoint(path: Path, tokenizer: PreTrainedTokenizerFast | None = None, seed: int = 0, **kwargs) -> str:
    """Save a causal language model with its tokenizer: what a reward model usually starts from."""
    tokenizer = tiny_tokenizer() if tokenizer is None else tokenizer
    set_seed(seed)
    AutoModelForCausalLM.from_config(tiny_config(tokenizer, **kwargs)).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return str(path)


def pairs(count: int = 13, **columns) -> Dataset:
    """Preference pairs of different lengths in plain text."""
    rows = {
        "id": [f"pair-{i}" for i in range(count)],
        "prompt": [f"Question {i}: what is {i} and {i}? " for i in range(count)],
        "chosen": [f"It is {2 * i}." + " Indeed." * (i % 4) for i in range(count)],
        "rejected": [f"It is {2 * i + 1}." + " Perhaps." * (i % 3) for i in range(count)],
    }
    return Dataset.from_dict(rows | columns)


def chat_pairs(count: int = 13) -> Dataset:
    plain = pairs(count)
    return Dataset.from_dict(
        {
            "prompt": [[{"role": "user", "content": text}] for text in plain["prompt"]],
            "chosen": [[{"role": "assistant", "content": text}] for text in plain["chosen"]],
            "rejected": [[{"role": "assistant", "content": text}] for text in plain["rejected"]],
        }
    )
