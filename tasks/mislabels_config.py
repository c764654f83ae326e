"""The configuration of `tasks/find_mislabels.py`: its keys, and checks before anything is loaded."""

from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_keys, check_range, defaults
from tasks.train_config import ConfigError


# Those of trl_ext.mislabels, whose import would load torch before the configuration is checked
EVIDENCE = ("p_wrong", "margin", "left_out_margin", "influence", "self_influence", "rank_average")

KEYS: Keys = {
    # Data: "demo", a file, a directory or a Hub id with chosen and rejected; LIE_*.csv as it comes
    "train_data_path": ("demo", (str,), None),
    "demo_labels": (None, (str,), ("true", "annotators")),  # None: true if errors are planted, else the annotators'
    "train_dataset_size": (0, (int,), None),  # pairs drawn at random; 0: all
    "prompt_col_name": ("prompt", (str,), None),
    "chosen_col_name": ("chosen", (str,), None),
    "rejected_col_name": ("rejected", (str,), None),
    "annotator_col_name": ("annotator_id", (str,), None),  # may be absent
    "group_col_name": (None, (str,), None),  # what belongs together in a fold; None: the prompt
    "truth_col_name": (None, (str,), None),  # 1 where the label is right, to check the search; demo: correct_chosen
    "planted_errors": (0.0, (float,), None),  # share of the pairs that is exchanged, to check the search
    "trusted_data_path": (None, (str,), None),  # pairs with trusted labels, for influence
    # Model and evidence
    "mode": ("head", (str,), ("head", "train")),  # a head on frozen features, or cross-fitted trainings of the model
    "model": ("bundled:all-minilm-l6-v2", (str,), None),  # bundled, Hub id or folder; of a reward model too
    "evidence": ("p_wrong", (str,), EVIDENCE),
    "leave_out": ("annotator", (str,), ("annotator", "prompt", "row")),
    "folds": (5, (int,), None),
    "penalty": (None, (float,), None),  # of the head; None: chosen by cross-fitted log loss
    "max_length": (None, (int,), None),  # tokens of a prompt with a response; None: the model's window
    "max_length_policy": ("error", (str,), ("error", "truncate_prompt_left")),
    "batch_size": (16, (int,), None),  # texts computed at once
    "dtype": ("float32", (str,), ("float32", "bfloat16", "float16")),
    "device": (None, (str,), None),
    "train": ({}, (dict,), None),  # mode=train: fields of PairwiseRewardConfig, train.learning_rate=…
    # Report
    "fdr": (0.1, (float,), None),  # nominal share of right labels among the flagged ones
    "share": (0.1, (float,), None),  # of the labels at which precision is measured
    "level": (0.95, (float,), None),
    "resamples": (1000, (int,), None),
    "show": (10, (int,), None),  # pairs that are printed
    "seed": (0, (int,), None),  # of the demo, the drawn pairs, the planted errors, the folds, training and bootstrap
    # Output: a folder `mislabels` in output_dir, which may be the folder of a run
    "output_dir": ("outputs/mislabel-search", (str,), None),
    "feature_cache": ("outputs/features", (str,), None),
    "skip_plots": (False, (bool,), None),
    "progress": (True, (bool,), None),
}
DEFAULTS = defaults(KEYS)
# what a training does not take, and what it takes instead
_OF_HEADS = {
    **dict.fromkeys(("trusted_data_path", "penalty", "leave_out", "feature_cache"), ""),
    "max_length": "train.max_length",
    "max_length_policy": "train.max_length_policy",
    "batch_size": "train.per_device_train_batch_size",
    "dtype": "train.bf16 or train.fp16",
    "device": "train.use_cpu",
}


def check_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or keys that contradict each other.
    """
    check_keys(config, KEYS)
    for key in ("fdr", "share", "level"):
        if not 0 < config[key] < 1:
            raise ConfigError(f"config key {key!r} must lie strictly between 0 and 1, got {config[key]!r}")
    if not 0 <= config["planted_errors"] < 1:
        raise ConfigError(f"config key 'planted_errors' must lie in [0, 1), got {config['planted_errors']!r}")
    if config["penalty"] is not None and not 0 < config["penalty"] < float("inf"):
        raise ConfigError(f"config key 'penalty' must be positive and finite, got {config['penalty']!r}")
    for key, low in (("folds", 2), ("resamples", 2), ("batch_size", 1), ("max_length", 1)):
        check_range(config, key, low)
    for key in ("train_dataset_size", "seed", "show"):
        check_range(config, key, 0)
    if config["demo_labels"] is not None and config["train_data_path"] != "demo":
        raise ConfigError("demo_labels is for train_data_path=demo only")
    if config["mode"] == "train":
        _check_training(config)
    elif config["train"]:
        raise ConfigError("train is for mode=train: a head on frozen features has no training arguments")


def _check_training(config: Mapping[str, Any]) -> None:
    if config["evidence"] not in ("p_wrong", "margin"):
        raise ConfigError(f"mode=train gives the evidence p_wrong and margin; {config['evidence']} needs mode=head")
    for key, instead in _OF_HEADS.items():
        if config[key] != DEFAULTS[key]:
            raise ConfigError(f"{key} is for mode=head" + (f"; here: {instead}" if instead else ""))
    from dataclasses import fields

    from trl_ext.trainer import PairwiseRewardConfig

    known = {field.name for field in fields(PairwiseRewardConfig)}
    own = {"output_dir", "seed", "data_seed", "save_strategy", "push_to_hub", "report_to"}
    for name in config["train"]:
        if name in own:
            raise ConfigError(f"train.{name} is set by the search")
        if name not in known:
            raise ConfigError(f"train.{name} is not a field of PairwiseRewardConfig")
