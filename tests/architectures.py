"""Tiny random reward models of the architectures that the invariants are tested on."""

import copy

import torch
from transformers import (
    AutoModelForSequenceClassification,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    GptOssConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen3Config,
    set_seed,
)


COMMON = {
    "vocab_size": 312, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 512, "num_labels": 1, "pad_token_id": 2, "bos_token_id": 0,
    "eos_token_id": 1,
}  # fmt: skip

# Windows shorter than the sequences, so that they matter
CONFIGS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**COMMON),
    "qwen2": Qwen2Config(**COMMON),
    "qwen3": Qwen3Config(**COMMON, head_dim=8),
    "mistral-window": MistralConfig(**COMMON, sliding_window=8),
    "gemma2": Gemma2Config(**COMMON, sliding_window=8, head_dim=8, query_pre_attn_scalar=8),
    "gemma3": Gemma3TextConfig(**COMMON, sliding_window=8, head_dim=8, query_pre_attn_scalar=8),
    "gpt-oss-sinks": GptOssConfig(
        **COMMON, head_dim=8, sliding_window=8, num_local_experts=4, num_experts_per_tok=2,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    ),
    "gpt2": GPT2Config(
        vocab_size=312, n_embd=32, n_layer=2, n_head=4, num_labels=1, pad_token_id=2, bos_token_id=0, eos_token_id=1,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    ),
}  # fmt: skip
REQUIRED = ("llama", "qwen2", "qwen3", "mistral-window", "gemma2", "gemma3")


def random_model(name: str, seed: int = 0, **kwargs) -> PreTrainedModel:
    set_seed(seed)
    model = AutoModelForSequenceClassification.from_config(copy.deepcopy(CONFIGS[name]), **kwargs)
    with torch.no_grad():  # larger weights than those of the default initialisation, so that attention is not uniform
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(2)
    return model
