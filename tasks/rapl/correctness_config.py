"""Checks of the configurations of `train_true_model.py` and `score_reliability.py`, before anything is loaded."""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.train_config import ConfigError, refuse_secrets


# Keys whose default does not show their type; None is allowed for them
OPTIONAL_TYPES: dict[str, tuple[type, ...]] = {
    "true_data_dir": (str,),
    "train_data_path": (str,),
    "val_data_path": (str,),
    "cal_data_path": (str,),
    "patience": (int,),
    "bf16": (bool,),
    "lora_last_layers": (int,),
    "output_dir": (str,),
    "experiment_tag": (str,),
    "template": (str,),
    "model_path": (str, list, tuple),
    "output_path": (str,),
    "split": (str,),
    "cpu_threads": (int,),
}
CHOICES = {"method": ("value_head", "next_token"), "calibrator": ("platt", "isotonic", "temperature")}
POSITIVE = (
    "max_length",
    "num_train_epochs",
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "learning_rate",
    "weight_scale",
    "patience",
    "lora_rank",
    "lora_last_layers",
    "resamples",
    "rows_per_part",
    "save_steps",
    "cpu_threads",
)
AT_LEAST_ZERO = ("few_shot", "selection_share", "weight_decay", "lr_warmup_ratio", "seed")
SHARES = ("selection_share", "val_share", "cal_share", "lr_warmup_ratio")


def check_keys(config: Mapping[str, Any], defaults: Mapping[str, Any], script: str) -> None:
    """
    Raise [`~tasks.train_config.ConfigError`] on a credential, an unknown key, a wrong type or a value out of range.

    Args:
        config (`dict`): Configuration after every update.
        defaults (`dict`): The default configuration: its keys are the known keys, its types the expected types.
        script (`str`): Name of the script in messages.
    """
    refuse_secrets(config)
    for key, value in config.items():
        if key not in defaults:
            close = difflib.get_close_matches(key, defaults, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown config key {key!r} in {script}.{hint} `print_config` lists the keys.")
        _check_type(key, value, defaults[key])
    present = lambda keys: [key for key in keys if config.get(key) is not None]  # noqa: E731
    for key in present(CHOICES):
        if config[key] not in CHOICES[key]:
            raise ConfigError(f"config key {key!r} must be one of {', '.join(CHOICES[key])}, got {config[key]!r}")
    for key in present(POSITIVE):
        if not config[key] > 0:
            raise ConfigError(f"config key {key!r} must be positive, got {config[key]!r}")
    for key in present(AT_LEAST_ZERO):
        if config[key] < 0:
            raise ConfigError(f"config key {key!r} must be at least 0, got {config[key]!r}")
    for key in present(SHARES):
        if not config[key] < 1:
            raise ConfigError(f"config key {key!r} must be below 1, got {config[key]!r}")


def _check_type(key: str, value: Any, default: Any) -> None:
    if key in OPTIONAL_TYPES:
        if value is None:
            return
        allowed = OPTIONAL_TYPES[key]
    elif isinstance(default, float):
        allowed = (int, float)
    elif isinstance(default, Mapping):
        allowed = (Mapping,)
    elif isinstance(default, Sequence) and not isinstance(default, str):
        allowed = (list, tuple)
    else:
        allowed = (type(default),)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        names = " or ".join(t.__name__ for t in allowed)
        raise ConfigError(f"config key {key!r} must be {names}, got {value!r} ({type(value).__name__})")


def check_training(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check the configuration of `train_true_model.py`, including keys that contradict each other."""
    check_keys(config, defaults, "train_true_model.py")
    own = [key for key in ("train_data_path", "val_data_path", "cal_data_path") if config[key] is not None]
    if config["true_data_dir"] is not None and own:
        raise ConfigError(f"true_data_dir sets all splits: leave {', '.join(own)} out")
    if own and config["train_data_path"] is None:
        raise ConfigError(f"{own[0]} needs train_data_path")
    if len(own) == 2:
        raise ConfigError(
            "give val_data_path and cal_data_path both, or neither: then both are split off the training data"
        )
    for key in ("val_share", "cal_share"):
        if not config[key] > 0:
            raise ConfigError(f"config key {key!r} must be positive, got {config[key]!r}")
    if config["val_share"] + config["cal_share"] >= 1:
        raise ConfigError("val_share and cal_share leave nothing to train on: their sum must be below 1")
    if config["method"] == "value_head" and (config["few_shot"] or not config["fine_tune"]):
        raise ConfigError("few_shot and fine_tune=False are for method=next_token: a value head has to be trained")
    if config["few_shot"] and config["fine_tune"]:
        raise ConfigError("few_shot is for a model that is not trained: set fine_tune=False")
    if config["patience"] is not None and not config["selection_share"]:
        raise ConfigError("patience needs comparisons to watch: set selection_share, or patience=None")
    if config["lora_last_layers"] is not None and not config["lora_target_modules"]:
        raise ConfigError("lora_last_layers needs the names of the layers to adapt: set lora_target_modules")


def check_scoring(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Check the configuration of `score_reliability.py`."""
    check_keys(config, defaults, "score_reliability.py")
    suffixes = (".parquet", ".jsonl", ".csv")
    output = config["output_path"]
    if output is not None and not output.endswith(suffixes):
        raise ConfigError(f"output_path must end with one of {', '.join(suffixes)}, got {output!r}")
    if not config["column"]:
        raise ConfigError("column must be the name of the new column, got an empty text")
