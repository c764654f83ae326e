"""Configuration of tasks/charm/train.py: what is trained on what; `train` takes every other key of tasks/train.py."""

import copy
import os
from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_keys
from tasks.train import ex as train_experiment
from tasks.train_config import ConfigError
from tasks.train_config import check_config as check_train_config


METHODS = ("hard", "soft", "matching", "source_offset")

TRAIN_KEYS: Keys = {
    "pairs": (None, (str,), None),  # folder that calibrate.py has written, or a file of pairs
    "method": ("hard", (str,), METHODS),
    "model": (None, (str,), None),  # the reward model to calibrate, whose scores the pairs have
    "human_data": (None, (str,), None),  # pairs with human labels to mix in: a file, a Hub id, or demo
    "eval_data": (None, (str,), None),  # pairs to report accuracy on, before and after: likewise
    "output_dir": ("outputs/charm/models/calibrated", (str,), None),
    "seed": (42, (int,), None),
    "train": ({}, (dict,), None),  # any other key of tasks/train.py
}

# What the paper's scripts train with: one epoch of full fine-tuning from the reward model, 64 pairs a step on one GPU
PAPER = {
    "method": "hard",
    "train": {
        "learning_rate": 2e-6,
        "num_train_epochs": 1,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 32,
        "lr_scheduler_type": "cosine",
        "lr_warmup_ratio": 0.03,
        "weight_decay": 1e-3,
        "optim": "paged_adamw_32bit",
        "gradient_checkpointing": True,
        "bf16": True,
        "max_length": 4096,
        "max_length_policy": "truncate_prompt_left",
    },
}
NAMED_CONFIGS = {"paper": PAPER}

# Keys of tasks/train.py that follow from those above
_OWN_KEYS = {
    "train_data_path": "pairs",
    "calibration_method": "method",
    "model_name": "model",
    "human_data_path": "human_data",
    "eval_data_path": "eval_data",
    "output_dir": "output_dir",
    "seed": "seed",
}
# Rows of a batch from which a win rate has a standard error below .18
_LEAST_BATCH = 8
_TRAIN_DEFAULTS = dict(train_experiment.configurations[0]())


def training_keys(config: Mapping[str, Any], pairs: str) -> dict[str, Any]:
    """Keys of tasks/train.py for the pairs in a file."""
    return {
        "use_peft": False,
        "eval_strategy": "no",
        **copy.deepcopy(dict(config["train"])),
        "train_data_path": pairs,
        "calibration_method": config["method"],
        "model_name": config["model"],
        "human_data_path": config["human_data"],
        "eval_data_path": config["eval_data"],
        "output_dir": config["output_dir"],
        "seed": config["seed"],
    }


def check_config(config: Mapping[str, Any]) -> None:
    """Raise a `ConfigError` on a mistake in the configuration."""
    check_keys(config, TRAIN_KEYS)
    if config["pairs"] is None:
        raise ConfigError("set pairs, the folder that tasks/charm/calibrate.py has written")
    if config["model"] is None:
        raise ConfigError("set model, the reward model whose scores the pairs have: a folder or a Hub id")
    for key, ours in _OWN_KEYS.items():
        if key in config["train"]:
            raise ConfigError(f"set {ours!r}, not 'train.{key}'")
    whole = _TRAIN_DEFAULTS | training_keys(config, "pairs.jsonl")
    check_train_config(whole, _TRAIN_DEFAULTS)
    if config["method"] == "matching":
        _check_batch(whole)


def _check_batch(keys: Mapping[str, Any]) -> None:
    """Raise on batches that were made small for memory, as those of the paper's recipe, and accumulated."""
    batch, accumulated = keys["per_device_train_batch_size"], keys["gradient_accumulation_steps"]
    processes = int(os.environ.get("WORLD_SIZE", 1))
    running = (keys["trainer"] or {}).get("win_rate_ema_decay", 0)
    if batch * processes < _LEAST_BATCH and accumulated > 1 and not running:
        raise ConfigError(
            f"method=matching estimates a win rate from one batch of all processes, here {batch} x {processes} pairs; "
            f"gradient_accumulation_steps={accumulated} does not make it larger. The named config paper is for "
            "method=hard and soft. Set train.per_device_train_batch_size=64 train.gradient_accumulation_steps=1, or "
            "where memory forbids it train.trainer.win_rate_ema_decay=0.9."
        )
