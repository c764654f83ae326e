"""Configuration keys of the scripts of this folder, named as RewardBench's options where it has them."""

from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_keys, check_range
from tasks.train_config import ConfigError


DEMO = "demo"  # as `dataset`

_DTYPES = ("float32", "bfloat16", "float16")

MODEL_KEYS: Keys = {
    "model": (None, (str,), None),  # path or Hub id
    "revision": (None, (str,), None),
    "adapter": (None, (str,), None),  # PEFT adapter on the model
    "tokenizer": (None, (str,), None),  # default: the model's
    "chat_template": (None, (str,), None),  # FastChat name, Jinja text or file; if the tokenizer has none
    "trust_remote_code": (False, (bool,), None),
    "torch_dtype": ("float32", (str,), _DTYPES),
    "attn_implementation": (None, (str,), None),
    "device": (None, (str,), None),
    "max_length": (2048, (int,), None),  # tokens
    "max_tokens_per_batch": (None, (int,), None),
}
# For the commands of RewardBench to be taken as they are; what they stand for is not done here
COMPATIBILITY_KEYS: Keys = {
    # Batches hold max_tokens_per_batch tokens, and change no reward; only a local judge's hold so many questions
    "batch_size": (None, (int,), None),
    "not_quantized": (True, (bool,), None),  # nothing is quantised
    "quantized": (False, (bool,), None),
    "disable_beaker_save": (True, (bool,), None),  # nothing is saved for Beaker
}
TEXT_KEYS: Keys = {
    # None: messages, but text for dataset=demo, as models are trained on it
    "prompt_format": (None, (str,), ("chat", "text")),
    "encoding": (None, (str,), ("rewardbench", "training")),  # None: rewardbench for messages, training for text
    "override_chat_template": (False, (bool,), None),  # use `chat_template` though the tokenizer has one
}
REWARD_MODEL_KEYS: Keys = {
    **TEXT_KEYS,
    "force_truncation": (True, (bool,), None),  # False: no limit of length
    "truncation_side": ("left", (str,), ("left", "right")),  # what longer ones lose
    "reduction": (None, (int, list), None),  # of a model with several labels: one of them, or a weight for each
    "shared_prefix": (True, (bool,), None),
    "require_trained_head": (True, (bool,), None),  # False: a missing head is drawn at random from `seed`, for a try
}
DATA_KEYS: Keys = {
    "dataset": (None, (str,), None),  # Hub id, file, folder, or demo
    "split": (None, (str,), None),
    "debug": (False, (bool,), None),  # the first rows only; no files in RewardBench's layout
}
OUTPUT_KEYS: Keys = {
    "output_dir": ("results", (str,), None),
    "do_not_save": (False, (bool,), None),  # no files in RewardBench's layout
    "overwrite": (False, (bool,), None),  # discard rewards that were made with other settings
    "ties": ("loss", (str,), ("loss", "half")),  # what an equal reward is worth
    "seed": (0, (int,), None),  # of the bootstrap, and of what a judge sees in which order
    "push_results_to_hub": (False, (bool,), None),
    "hf_entity": (None, (str,), None),
    "hf_name": (None, (str,), None),  # default: rewardbench-<model>
    "upload_model_metadata_to_hf": (False, (bool,), None),
    "progress": (True, (bool,), None),
}

ROW_KEYS: Keys = {
    "empty": ("error", (str,), ("error", "drop", "keep")),  # responses without text; RewardBench scores them: keep
}
COMMON_KEYS: Keys = {**MODEL_KEYS, **DATA_KEYS, **ROW_KEYS, **OUTPUT_KEYS, **COMPATIBILITY_KEYS}
_PAIRS = ("rewardbench", "preference_test_sets", "preferences")
RM_KEYS: Keys = {
    **COMMON_KEYS,
    **REWARD_MODEL_KEYS,
    # What `dataset` is. None: the core set without `dataset`, else pairs of your own
    "benchmark": (None, (str,), _PAIRS),
    "pref_sets": (False, (bool,), None),  # the preference test sets instead of the core set
    "load_json": (False, (bool,), None),  # `dataset` is a file: known from its name
    "prioritize_scoring": (False, (bool,), None),  # `messages` are scored though there are pairs
}
V2_KEYS: Keys = {
    **COMMON_KEYS,
    **REWARD_MODEL_KEYS,
    "truncation_side": ("right", (str,), ("left", "right")),  # as RewardBench's run_v2
    "ties_variant": ("0.1.5", (str,), ("0.1.5", "0.1.4")),  # version of rewardbench whose Ties score it is
}
RM_BENCH_KEYS: Keys = {**COMMON_KEYS, **REWARD_MODEL_KEYS}
DPO_KEYS: Keys = {
    **COMMON_KEYS,
    **TEXT_KEYS,
    "ref_model": (None, (str,), None),  # None: reference free; base: the policy without its adapter
    "ref_revision": (None, (str,), None),
    "ref_free_type": ("avg", (str,), ("avg", "norm", "sum")),
    "beta": (None, (float,), None),  # None: rewards are not multiplied, as in RewardBench
    "max_prompt_length": (128, (int,), None),  # of what is longer than max_length
    "benchmark": (None, (str,), _PAIRS),
    "pref_sets": (False, (bool,), None),
    "load_json": (False, (bool,), None),
}
BON_KEYS: Keys = {
    **MODEL_KEYS,
    **REWARD_MODEL_KEYS,
    **DATA_KEYS,
    **{key: OUTPUT_KEYS[key] for key in ("output_dir", "do_not_save", "overwrite", "seed", "progress")},
    **COMPATIBILITY_KEYS,
    "best_of": (16, (int,), None),  # candidates per prompt that are used, the first ones
    "quality_column": (None, (str,), None),  # a number per candidate: what best-of-k curves are made of
}
GENERATIVE_KEYS: Keys = {
    **{key: MODEL_KEYS[key] for key in ("trust_remote_code", "torch_dtype", "device")},
    "model": (None, (str, list), None),  # several: a majority decides
    **DATA_KEYS,
    **ROW_KEYS,
    **OUTPUT_KEYS,
    **COMPATIBILITY_KEYS,
    "ties": ("half", (str,), ("loss", "half")),  # a tied or unusable judgement is worth half, as in RewardBench
    "benchmark": (None, (str,), (*_PAIRS, "rewardbench2")),
    "score_w_ratings": (False, (bool,), None),
    "orders": ("both", (str,), ("both", "seeded")),  # of the responses that a judge compares
    "backend": ("local", (str,), ("local", "openai")),  # a Hugging Face model, or an OpenAI-compatible server
    "base_url": (None, (str,), None),  # of the server, such as vLLM's; None: that of the openai package
    "api_key_env": ("OPENAI_API_KEY", (str,), None),  # environment variable with the key; "": a server without keys
    "no_system_prompt": (False, (bool,), None),  # the judge's instructions go into the user's message
    "template": (None, (str,), None),  # file with a prompt of your own
    "parser": ("strict", (str,), ("strict", "legacy")),  # legacy: answers are read as RewardBench does
    "on_failure": ("error", (str,), ("error", "ignore")),  # a question that gets no answer at all
    "num_threads": (10, (int,), None),  # requests at a time
    "temperature": (0.0, (float,), None),
    "max_tokens": (2048, (int,), None),  # of an answer
    "repetitions": (1, (int,), None),
    "pref_sets": (False, (bool,), None),
}

# Options of RewardBench that are not needed here, and what is
OTHERWISE = {
    "save_all": "every reward is in rewards.jsonl",
    "wandb_run": "use push_results_to_hub, or RewardBenchmarkCallback while training",
    "num_gpus": "start with `accelerate launch`, or serve the judge with vLLM and set backend=openai",
    "vllm_gpu_util": "serve the judge with vLLM and set backend=openai",
    "force_local": "set backend=local",
}


def text_prompts(config: Mapping[str, Any]) -> bool:
    """Whether prompts are text, not messages."""
    format = config.get("prompt_format")
    return format == "text" or (format is None and config["dataset"] == DEMO and "prompt_format" in config)


def check_config(config: Mapping[str, Any], keys: Keys) -> None:
    """
    Check the configuration of a script.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or what can't be had.
    """
    check_keys(config, keys)
    if not config["model"]:
        raise ConfigError("set `model`: the path or Hub id of what is evaluated")
    if config["quantized"] or not config["not_quantized"]:
        raise ConfigError("models are not quantised here, which would change their rewards: leave `quantized` out")
    for key in ("max_length", "max_tokens_per_batch", "max_prompt_length", "best_of", "num_threads", "max_tokens"):
        if key in config:
            check_range(config, key, 1)
    if config.get("benchmark") == "preferences" and config["dataset"] is None:
        raise ConfigError("set `dataset`: a file, folder or Hub id with the pairs")
    if config.get("load_json") and config["dataset"] is None:
        raise ConfigError("load_json needs `dataset`, the file")
    if text_prompts(config) and config.get("encoding") == "rewardbench":
        raise ConfigError("encoding=rewardbench takes messages: leave it out, or set prompt_format=chat")
    if config.get("upload_model_metadata_to_hf") and not config["push_results_to_hub"]:
        raise ConfigError("upload_model_metadata_to_hf needs push_results_to_hub: the model card links to the results")


def check_generative_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration of `run_generative.py`.

    Raises:
        ConfigError: See [`check_config`].
    """
    check_config(config, GENERATIVE_KEYS)
    models = [config["model"]] if isinstance(config["model"], str) else config["model"]
    if not all(isinstance(model, str) for model in models) or len(models) % 2 == 0:
        raise ConfigError(f"`model` must be a name, or an odd number of names that judge together, got {models!r}")
    if len(models) > 1 and config["benchmark"] == "rewardbench2":
        raise ConfigError("several judges together are for pairs; give one `model` for rewardbench2")
    if config["base_url"] is not None:
        from trl_ext.completions.openai_backend import check_base_url

        if config["backend"] != "openai":
            raise ConfigError("base_url needs backend=openai")
        try:
            check_base_url(config["base_url"])
        except ValueError as error:
            raise ConfigError(str(error)) from error
    check_range(config, "repetitions", 1)
    check_range(config, "temperature", 0, 2)


def check_bon_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration of `run_bon.py`.

    Raises:
        ConfigError: See [`check_config`].
    """
    check_config(config, BON_KEYS)
    if config["dataset"] is None:
        raise ConfigError("set `dataset`: a file, folder or Hub id with the candidates")
