"""Checks of the configuration of `tasks/train.py`: every mistake is reported before a model is loaded."""

import difflib
import importlib.util
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from huggingface_hub import get_token
from sacred.utils import SacredError

from trl_ext.privacy import looks_like_credential


class ConfigError(SacredError):
    """A mistake in the configuration or in the data. Printed without a traceback."""

    def __init__(self, message: str):
        super().__init__(message, print_traceback=False, filter_traceback="never", print_usage=False)


CALIBRATIONS = ("temperature", "platt", "isotonic", "lapse")  # methods of probabilities, without loading them

_SECRET_KEY = re.compile(r"(^|_)(auth_token|token|api_key|password|secret)$", re.IGNORECASE)
_NOT_SECRET = {"eos_token", "pad_token"}

# Keys whose default does not show their type
_OPTIONAL_TYPES: dict[str, tuple[type, ...]] = {
    "tokenizer_name": (str,),
    "eval_data_path": (str,),
    "lie_data_dir": (str,),
    "lie_test_path": (str,),
    "rapl_col_id": (str,),
    "noise_method": (str,),
    "calibration_method": (str,),
    "bootstrap_column": (str,),
    "human_data_path": (str,),
    "calibrate": (str,),
    "eta": (int, float),
    "annotator_eta_path": (str,),
    "constant_reliability": (int, float, str),
    "min_reliability": (int, float),
    "center_rewards_coefficient": (int, float),
    "bf16": (bool,),
    "data_seed": (int,),
    "num_proc": (int,),
    "pad_to_multiple_of": (int,),
    "lora_last_layers": (int,),
    "train_last_layers": (int,),
    "frozen_cache_dir": (str,),
    "cpu_threads": (int,),
    "experiment_tag": (str,),
    "output_dir": (str,),
    "max_length": (int,),
    "save_total_limit": (int,),
    "report_to": (str, list, tuple),
    "hub_model_id": (str,),
    "hub_private": (bool,),
    "rate_audit": (str,),
    "rate_audit_every_n_steps": (int,),
}

CHOICES = {
    "rapl_method": ("beta", "p", "margin", "smoothing", "backward", "joint", "none"),
    "on_below_half": ("zero", "flip", "error"),
    "noise_method": (
        "forward",
        "backward",
        "soft_label",
        "label_smoothing",
        "hinge",
        "ties",
        "ordinal",
        "focal",
        "symmetric",
        "none",
    ),
    "calibration_method": ("hard", "soft", "matching", "source_offset"),
    "calibrate": CALIBRATIONS,
    "reward_head": ("scalar", "ensemble", "gaussian"),
    "head_bootstrap": ("poisson", "none"),
    "max_length_policy": ("drop", "truncate_prompt_left", "error"),
    "eval_strategy": ("no", "epoch", "steps"),
    "rate_audit": (
        "length",
        "sentiment",
        "helpfulness",
        "complexity",
        "vowel_start",
        "formatting",
        "typos",
        "confidence",
    ),
}
POSITIVE = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "num_train_epochs",
    "learning_rate",
    "dpo_beta",
    "weight_scale",
    "lora_rank",
    "max_length",
    "lora_last_layers",
    "train_last_layers",
    "cpu_threads",
    "save_steps",
    "save_total_limit",
    "rate_audit_every_n_steps",
)
UNIT_INTERVAL = ("lr_warmup_ratio", "ema_decay", "lora_dropout")

# Trackers, and what pip calls them: mlflow-skinny is enough
TRACKERS = {"tensorboard": "tensorboard", "trackio": "trackio", "wandb": "wandb", "mlflow": "mlflow-skinny"}

# Flat keys that set a field of the training arguments, and the name of that field
TRAINER_FIELDS = {
    "learning_rate": "learning_rate",
    "num_train_epochs": "num_train_epochs",
    "per_device_train_batch_size": "per_device_train_batch_size",
    "per_device_eval_batch_size": "per_device_eval_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "gradient_checkpointing": "gradient_checkpointing",
    "lr_scheduler_type": "lr_scheduler_type",
    "lr_warmup_ratio": "warmup_steps",
    "weight_decay": "weight_decay",
    "optim": "optim",
    "max_grad_norm": "max_grad_norm",
    "center_rewards_coefficient": "center_rewards_coefficient",
    "weight_scale": "weight_scale",
    "ema_decay": "ema_decay",
    "max_length": "max_length",
    "max_length_policy": "max_length_policy",
    "pad_to_multiple_of": "pad_to_multiple_of",
    "num_proc": "dataset_num_proc",
    "eval_strategy": "eval_strategy",
    "save_steps": "save_steps",
    "save_total_limit": "save_total_limit",
    "bf16": "bf16",
    "seed": "seed",
    "data_seed": "data_seed",
    "full_determinism": "full_determinism",
    "output_dir": "output_dir",
    "group_by_length": "train_sampling_strategy",
    "report_to": "report_to",
    "rapl_method": "rapl_method",
    "on_below_half": "on_below_half",
    "constant_reliability": "constant_reliability",
    "min_reliability": "min_reliability",
    "normalize_beta": "normalize_beta",
    "noise_method": "noise_method",
    "eta": "eta",
    "calibration_method": "calibration_method",
    "reward_head": "reward_head",
    "num_reward_heads": "num_reward_heads",
    "head_bootstrap": "head_bootstrap",
    "bootstrap_column": "bootstrap_column",
    "gaussian_anchor_coefficient": "gaussian_anchor_coefficient",
    "anchor_learning_rate": "anchor_learning_rate",
}


def _walk(config: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str, Any]]:
    for key, value in config.items():
        full = f"{path}{key}"
        yield full, str(key), value
        if isinstance(value, Mapping):
            yield from _walk(value, f"{full}.")


def refuse_secrets(config: Mapping[str, Any]) -> None:
    """Raise if a key or a value of the configuration looks like a credential. The value is not repeated."""
    for path, key, value in _walk(config):
        is_key = _SECRET_KEY.search(key) and key not in _NOT_SECRET and value is not None
        if is_key or (isinstance(value, str) and looks_like_credential(value)):
            raise ConfigError(
                f"config key {path!r} looks like a credential. Credentials are never taken from the configuration, "
                "which is recorded: set the environment variable HF_TOKEN or run `hf auth login`."
            )


def _unknown(key: str, known: Mapping[str, Any] | set[str], where: str) -> ConfigError:
    close = difflib.get_close_matches(key, list(known), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return ConfigError(f"unknown config key {key!r} in {where}.{hint} `print_config` lists the keys.")


def _check_type(key: str, value: Any, default: Any) -> None:
    if key in _OPTIONAL_TYPES:
        if value is None:
            return
        allowed = _OPTIONAL_TYPES[key]
    elif isinstance(default, bool):
        allowed = (bool,)
    elif isinstance(default, float):
        allowed = (int, float)
    else:
        allowed = (type(default),)
    wrong_bool = isinstance(value, bool) and bool not in allowed
    if not isinstance(value, allowed) or wrong_bool:
        names = " or ".join(t.__name__ for t in allowed)
        raise ConfigError(f"config key {key!r} must be {names}, got {value!r} ({type(value).__name__})")


def check_keys(config: Mapping[str, Any], defaults: Mapping[str, Any], script: str) -> None:
    """
    Check the keys of a configuration one by one.

    Args:
        config (`dict`): Configuration after every update.
        defaults (`dict`): The default configuration: its keys are the known keys, its types the expected types.
        script (`str`): Name of the script, for messages.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or a value out of range.
    """
    refuse_secrets(config)
    for key, value in config.items():
        if key not in defaults:
            raise _unknown(key, defaults, script)
        _check_type(key, value, defaults[key])
    for key, allowed in CHOICES.items():
        if config.get(key) is not None and config[key] not in allowed:
            raise ConfigError(f"config key {key!r} must be one of {', '.join(allowed)}, got {config[key]!r}")
    for key in POSITIVE:
        if config.get(key) is not None and not config[key] > 0:
            raise ConfigError(f"config key {key!r} must be positive, got {config[key]!r}")
    for key in UNIT_INTERVAL:
        if key in config and not 0 <= config[key] < 1:
            raise ConfigError(f"config key {key!r} must be in [0, 1), got {config[key]!r}")


def check_config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """
    Check the configuration of `tasks/train.py`.

    Args:
        config (`dict`): Configuration after every update.
        defaults (`dict`): The default configuration.

    Raises:
        ConfigError: As [`check_keys`], and on keys that contradict.
    """
    check_keys(config, defaults, "tasks/train.py")
    check_trackers(config["report_to"])
    _check_contradictions(config)
    _check_noise(config, defaults)
    _check_calibration(config, defaults)
    _check_rate_audit(config, defaults)


def check_trackers(report_to: str | Sequence[str] | None) -> None:
    """Raise if `report_to` names a tracker that is unknown or not installed."""
    names = [report_to] if isinstance(report_to, str) else list(report_to or [])
    if names == ["none"]:
        return
    for name in names:
        if name not in TRACKERS:
            close = difflib.get_close_matches(str(name), TRACKERS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown tracker {name!r} in 'report_to', known are {', '.join(TRACKERS)}, none.{hint}")
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"report_to={name} needs a package that is not installed: pip install {TRACKERS[name]}")


# Fields of the training arguments that would push what is not the finished model
_HUB_FIELDS = {"push_to_hub", "hub_model_id", "hub_private_repo", "hub_strategy", "hub_token"}


def _check_contradictions(config: Mapping[str, Any]) -> None:
    for field in config["trainer"]:
        if field in _HUB_FIELDS:
            raise ConfigError(f"set push_to_hub, hub_model_id and hub_private, not 'trainer.{field}'")
        for flat, target in TRAINER_FIELDS.items():
            if field == target:
                raise ConfigError(f"set {flat!r}, not 'trainer.{field}': two keys for one field would contradict")
    if config["lie_data_dir"] is not None and (config["train_data_path"] != "demo" or config["eval_data_path"]):
        raise ConfigError("lie_data_dir sets the training, evaluation and test data: leave the single paths out")
    check_reliability(config)
    if (
        config["eval_strategy"] != "no"
        and config["train_data_path"] not in ("demo",)
        and not (config["eval_data_path"] or config["lie_data_dir"])
    ):
        raise ConfigError("eval_strategy needs evaluation data: set eval_data_path, or eval_strategy=no")
    if config["lora_last_layers"] is not None and not config["lora_target_modules"]:
        raise ConfigError("lora_last_layers needs the names of the layers to adapt: set lora_target_modules")
    if config["train_last_layers"] is not None and config["use_peft"]:
        raise ConfigError("train_last_layers is without LoRA: set use_peft=False, or lora_last_layers instead")
    if config["frozen_cache_dir"] is not None and config["train_last_layers"] is None:
        raise ConfigError("frozen_cache_dir keeps what the frozen layers compute: set train_last_layers")
    if config["frozen_cache_dir"] is not None and config["keep_checkpoints"]:
        raise ConfigError(
            "with frozen_cache_dir, checkpoints hold the trained layers only: leave keep_checkpoints out"
        )
    if config["push_to_hub"] and get_token() is None:
        raise ConfigError("push_to_hub needs a token: set the environment variable HF_TOKEN or run `hf auth login`")
    if config["bf16"] and config["trainer"].get("fp16"):
        raise ConfigError("bf16 and trainer.fp16 exclude each other")


def check_reliability(config: Mapping[str, Any]) -> None:
    """Raise if the keys that say how reliability is used contradict."""
    constant = config["constant_reliability"]
    is_mean = constant == "mean"
    if isinstance(constant, str) and not is_mean:
        raise ConfigError(f"config key 'constant_reliability' must be a number or 'mean', got {constant!r}")
    if config["rapl_method"] == "joint":
        for key, unset in (("constant_reliability", None), ("min_reliability", None), ("on_below_half", "zero")):
            if config[key] != unset:
                raise ConfigError(f"rapl_method=joint learns how far to believe each annotator: leave {key} out")
    if constant is not None and config["rapl_method"] == "none":
        raise ConfigError("constant_reliability has no effect with rapl_method=none")
    if constant is not None and not is_mean:
        if config["min_reliability"] is not None:
            raise ConfigError(
                "constant_reliability ignores the column that min_reliability filters by: set one of them"
            )
        if config["is_rapl_score_correctness_prob"] and not 0 <= constant <= 1:
            raise ConfigError(
                f"constant_reliability must be in [0, 1], got {constant}. If it is a raw value, set "
                "is_rapl_score_correctness_prob=False"
            )
    if config["rapl_col_id"] is None:
        if config["min_reliability"] is not None:
            raise ConfigError("min_reliability needs a reliability column: set rapl_col_id")
        if is_mean:
            raise ConfigError("constant_reliability=mean needs a reliability column: set rapl_col_id")
        if config["on_below_half"] != "zero" and constant is None:
            raise ConfigError("on_below_half needs a reliability column: set rapl_col_id")
    if not config["is_rapl_score_correctness_prob"] and config["on_below_half"] != "zero":
        raise ConfigError("on_below_half needs P(correct): set is_rapl_score_correctness_prob=True")
    if config["normalize_beta"] and config["rapl_method"] != "beta":
        raise ConfigError(f"normalize_beta needs rapl_method=beta, got {config['rapl_method']}")


_ETA_METHODS = ("forward", "backward")


def _check_noise(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise if the keys that say how label noise is dealt with contradict each other or those of reliability."""
    method = config["noise_method"]
    if method is None:
        for key in ("eta", "annotator_eta_path", "eta_col_name", "label_col_name"):
            if config[key] != defaults[key]:
                raise ConfigError(f"{key} is for NoiseAwareRewardTrainer: set noise_method, e.g. noise_method=forward")
        return
    _refuse_reliability(config, defaults, f"noise_method={method}")
    if method not in _ETA_METHODS:
        for key in ("eta", "annotator_eta_path", "eta_col_name"):
            if config[key] != defaults[key]:
                raise ConfigError(f"{key} has no effect with noise_method={method}: it is for forward and backward")
    if config["eta"] is not None:
        if config["annotator_eta_path"] is not None:
            raise ConfigError("eta is one value for all pairs and annotator_eta_path one for each annotator: set one")
        if not 0 < config["eta"] <= 1:
            raise ConfigError(f"config key 'eta' must be in (0, 1], got {config['eta']!r}")


def _refuse_reliability(config: Mapping[str, Any], defaults: Mapping[str, Any], instead: str) -> None:
    """Raise if a key of reliability is set that has no effect beside `instead`."""
    # What is left at its default does nothing; `lie` turns the reliability column off, which agrees
    for key in ("rapl_method", "constant_reliability", "min_reliability", "on_below_half", "normalize_beta"):
        if config[key] != defaults[key]:
            raise ConfigError(f"{instead} takes the place of rapl_method: leave {key} out")
    if config["rapl_col_id"] not in (None, defaults["rapl_col_id"]):
        raise ConfigError(f"{instead} does not read a reliability column: leave rapl_col_id out")


def _check_calibration(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise if the keys of the calibration to win rates contradict others."""
    method = config["calibration_method"]
    if method is None:
        if config["human_data_path"] is not None:
            raise ConfigError("human_data_path is for CalibrationRewardTrainer: set calibration_method")
        return
    _refuse_reliability(config, defaults, f"calibration_method={method}")
    if config["noise_method"] is not None:
        raise ConfigError("calibration_method and noise_method exclude each other: set one")
    if config["train_data_path"] == "demo" or config["lie_data_dir"] is not None:
        raise ConfigError(
            f"calibration_method={method} needs pairs of responses of two models: set train_data_path to what "
            "tasks/charm/calibrate.py has written"
        )


def _check_rate_audit(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise if there is nothing to audit, or keys of an audit that is not asked for."""
    if config["rate_audit"] is None:
        for key in ("rate_audit_every_n_steps", "rate_audit_rows"):
            if config[key] != defaults[key]:
                raise ConfigError(f"{key} is of an audit: set rate_audit, e.g. rate_audit=length")
        return
    if config["rate_audit_rows"] < 4:
        raise ConfigError(f"config key 'rate_audit_rows' must be at least 4, got {config['rate_audit_rows']}")
    if config["train_data_path"] != "demo" and not (config["eval_data_path"] or config["lie_data_dir"]):
        raise ConfigError(f"rate_audit={config['rate_audit']} needs held-out texts: set eval_data_path")


def check_trainer_fields(fields: Mapping[str, Any], known: set[str]) -> None:
    """Raise if the nested `trainer` dictionary has a key that is not a field of the training arguments."""
    for key in fields:
        if key not in known:
            raise _unknown(key, known, "trainer")
