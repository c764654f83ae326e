"""Configuration keys of `tasks/rate/score.py`: those of a reward model as in `tasks/rewardbench`."""

import math
from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range, defaults
from tasks.rate.original_keys import DATASETS, ORIGINAL_KEYS, apply_original_keys
from tasks.rewardbench.configs import MODEL_KEYS, REWARD_MODEL_KEYS
from tasks.train_config import ConfigError


LEXICAL = "lexical"  # as `model`
# Reward per unit of a feature of the response, see LexicalReward
LEXICAL_WEIGHTS = {
    "words": 0.02,
    "characters": 0.0,
    "vowel_start": 0.0,
    "sentiment": 1.0,
    "politeness": 0.5,
    "confidence": 0.5,
    "complexity": 0.0,
    "headers": 0.0,
    "lists": 0.0,
    "bold": 0.0,
    "code_blocks": 0.0,
}

_POLICIES = ("error", "truncate_prompt_left", "truncate_left", "truncate_right")
RATE_SCORE_KEYS: Keys = {
    **MODEL_KEYS,
    "model": (None, (str,), None),  # path or Hub id; lexical: a linear function of words, without a model
    "models": (None, (list,), None),  # several, one after another, in place of `model`
    "label": (None, (str, int), None),  # of a classifier, such as POSITIVE: its logit is the reward, of the text alone
    "lexical_weights": (LEXICAL_WEIGHTS, (dict,), None),
    "max_length": (None, (int,), None),  # tokens; None: no limit
    "max_length_policy": ("error", (str,), _POLICIES),  # what longer ones lose
    **{key: REWARD_MODEL_KEYS[key] for key in ("override_chat_template", "reduction", "shared_prefix")},
    "require_trained_head": REWARD_MODEL_KEYS["require_trained_head"],
    "prompt_format": (None, (str,), ("chat",)),  # None: prompts as they are; chat: texts become the user's messages
    "encoding": ("training", (str,), ("rewardbench", "training")),
    "output_dir": ("outputs/rate", (str,), None),  # has <name>/rewrites.jsonl, gets <name>/scores/<score_name>/
    "name": (None, (str,), None),  # of the folder with the rewrites; default: all in output_dir
    "score_name": (None, (str,), None),  # of the folder of the scores; default: the model's
    "use_quality": (None, (bool,), None),  # only rows that pass quality.json; None: if there is one
    "on_failure": ("error", (str,), ("error", "drop")),  # rows with a rewrite that failed
    "limit": (None, (int,), None),  # rows at most, drawn with `seed`, with and without the attribute
    "original_file": (None, (str,), None),  # a file of the original, data/rewrites/*.json or data/scored/*.jsonl
    "attribute": (None, (str,), None),  # of original_file, which does not name it
    "export_original": (False, (bool,), None),  # write scores in the original's layout too, into <name>/scored/
    "overwrite": (False, (bool,), None),  # discard rewards of other texts or settings
    "seed": (0, (int,), None),  # of `limit`, and of a missing head, with require_trained_head=False
    "progress": (True, (bool,), None),
    **ORIGINAL_KEYS,
}


def resolve_rate_score(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the original's keys, and with `models` instead of `model`."""
    resolved = apply_original_keys(config, "score", defaults(RATE_SCORE_KEYS))
    if resolved["models"] is None and resolved["model"]:
        resolved["models"] = [resolved["model"]]
    if resolved["original_file"] and resolved["attribute"] is None and resolved["name"] in DATASETS:
        resolved["attribute"] = DATASETS[resolved["name"]]["attribute"]
    return resolved


def check_rate_score_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or what does not go together.
    """
    check_keys(config, RATE_SCORE_KEYS)
    if config["model"] and config["models"] is not None:
        raise ConfigError("set `model` or `models`, not both")
    config = resolve_rate_score(config)
    models = config["models"]
    if not models:
        raise ConfigError(f"set `model`: the path or Hub id of the reward model, or {LEXICAL}; or `models`, a list")
    if not all(isinstance(model, str) and model for model in models) or len(set(models)) < len(models):
        raise ConfigError(f"`models` must be a list of names, each once, got {models!r}")
    if config["score_name"] is not None and len(models) > 1:
        raise ConfigError("`score_name` is of one model's scores: leave it out with several `models`")
    for key in ("name", "score_name"):
        check_folder_name(config[key], key)
    for key in ("max_length", "max_tokens_per_batch"):
        check_range(config, key, 1)
    check_range(config, "limit", 4)
    check_range(config, "seed", 0)
    _check_lexical(config)
    _check_label(config)
    if config["original_file"] and not config["attribute"]:
        raise ConfigError(
            "original_file does not say what its attribute is: set `attribute`, such as attribute=length"
        )
    if config["attribute"] and not config["original_file"]:
        raise ConfigError("`attribute` is of original_file; rewrites of ours have it in them")


def _check_lexical(config: Mapping[str, Any]) -> None:
    for feature, weight in config["lexical_weights"].items():
        if feature not in LEXICAL_WEIGHTS:
            raise ConfigError(f"lexical_weights has no feature {feature!r}; there are {', '.join(LEXICAL_WEIGHTS)}")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not math.isfinite(weight):
            raise ConfigError(f"config key 'lexical_weights.{feature}' must be a number, got {weight!r}")
    if LEXICAL in config["models"] and not any(config["lexical_weights"].values()):
        raise ConfigError("all of lexical_weights are 0: all rewards would be the same")


def _check_label(config: Mapping[str, Any]) -> None:
    if config["label"] is None:
        return
    if LEXICAL in config["models"]:
        raise ConfigError(f"`label` is of a classifier, not of model={LEXICAL}")
    if config["max_length_policy"] == "truncate_prompt_left":
        raise ConfigError("a classifier reads no prompt: take max_length_policy=truncate_right or truncate_left")
    own = defaults(RATE_SCORE_KEYS)
    keys = ("adapter", "reduction", "prompt_format", "encoding", "chat_template", "override_chat_template")
    given = [key for key in keys if config[key] != own[key]]
    if given:
        raise ConfigError(f"{given[0]!r} has no effect with `label`: a classifier reads the text alone")
