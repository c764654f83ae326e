"""Checks of the configuration of `tasks/rapl/llm_arms.py`: every mistake is reported before anything is loaded or sent."""

import difflib
from collections.abc import Mapping
from typing import Any

from tasks.train_config import ConfigError, refuse_secrets
from trl_ext.reliability.llm_arms import CRITERIA
from trl_ext.reliability.llm_arms.asking import ORDERS


# Keys whose default does not show their type
_OPTIONAL_TYPES: dict[str, tuple[type, ...]] = {
    "lie_data_dir": (str,),
    "max_rows": (int,),
    "published_scores": (str, list, tuple),
    "base_url": (str,),
    "api_key_env": (str,),
    "answer_style": (str,),
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
    "sampling_seed": (int,),
    "max_failures": (int,),
    "max_consecutive_errors": (int,),
    "prompt_price": (int, float),
    "completion_price": (int, float),
    "correctness_col_name": (str,),
    "criteria": (list, tuple),
    "group_col_name": (str,),
    "calibration_split_col_name": (str,),
    "calibration_split": (str, int, bool),
    "output_dir": (str,),
}
_CHOICES = {
    "backend": ("local", "openai"),
    "answer_style": (None, "form", "scores", "reasoning"),
    "order": ORDERS,
    "on_missing": ("error", "drop"),
    "max_tokens_field": ("max_tokens", "max_completion_tokens"),
    "demo_split": ("train", "validation", "test"),
}
_AT_LEAST = {
    **dict.fromkeys(("max_rows", "concurrency", "batch_size", "repetitions", "parse_attempts", "max_tokens"), 1),
    **dict.fromkeys(("max_consecutive_errors",), 1),
    **dict.fromkeys(("max_retries", "max_failures", "prompt_price", "completion_price", "temperature"), 0),
}


def check_config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Args:
        config (`dict`): Configuration after every update.
        defaults (`dict`): The default configuration: its keys are the known keys, its types the expected types.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type, a value that is not allowed, or keys that contradict.
    """
    refuse_secrets(config)
    for key, value in config.items():
        if key not in defaults:
            close = difflib.get_close_matches(key, list(defaults), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown config key {key!r}.{hint} `print_config` lists the keys.")
        _check_type(key, value, defaults[key])
    for key, allowed in _CHOICES.items():
        if config[key] not in allowed:
            raise ConfigError(f"config key {key!r} must be one of {', '.join(map(str, allowed))}, got {config[key]!r}")
    for key, least in _AT_LEAST.items():
        if config[key] is not None and not config[key] >= least:
            raise ConfigError(f"config key {key!r} must be at least {least}, got {config[key]!r}")
    if not config["timeout"] > 0:
        raise ConfigError(f"config key 'timeout' must be positive, got {config['timeout']!r}")
    if not 0 < config["calibration_fraction"] < 1:
        raise ConfigError(
            f"config key 'calibration_fraction' must be in (0, 1), got {config['calibration_fraction']!r}"
        )
    unknown = [name for name in config["criteria"] if name not in CRITERIA]
    if unknown or not config["criteria"]:
        raise ConfigError(f"criteria must be one or more of {', '.join(CRITERIA)}, got {list(config['criteria'])}")
    _check_contradictions(config)
    if config["published_scores"] is None:
        _check_model(config)


def _check_type(key: str, value: Any, default: Any) -> None:
    if key in _OPTIONAL_TYPES:
        if value is None and key != "criteria":
            return
        allowed = _OPTIONAL_TYPES[key]
    else:
        allowed = (int, float) if isinstance(default, float) else (type(default),)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        names = " or ".join(kind.__name__ for kind in allowed)
        raise ConfigError(f"config key {key!r} must be {names}, got {value!r} ({type(value).__name__})")


def _check_contradictions(config: Mapping[str, Any]) -> None:
    if config["lie_data_dir"] is not None and config["data_path"] != "demo":
        raise ConfigError("lie_data_dir and data_path both name the data: set one of them")
    if config["published_scores"] is not None and config["lie_data_dir"] is None:
        raise ConfigError("published_scores belong to the LIE pairs: set lie_data_dir to the clone they are from")
    if config["published_scores"] is not None and config["max_rows"] is not None:
        raise ConfigError("published_scores are joined to all pairs: leave max_rows out")
    if isinstance(config["published_scores"], str) and config["published_scores"] != "all":
        raise ConfigError('published_scores must be "all" or a list of files, e.g. "published_scores=[\'a.json\']"')
    if (config["prompt_price"] is None) != (config["completion_price"] is None):
        raise ConfigError("give both prompt_price and completion_price, or neither")
    if (config["calibration_split_col_name"] is None) != (config["calibration_split"] is None):
        raise ConfigError("give both calibration_split_col_name and calibration_split, or neither")
    if config["calibration_split_col_name"] is not None and config["correctness_col_name"] is None:
        raise ConfigError("calibration needs to know who was right: set correctness_col_name")


def _check_model(config: Mapping[str, Any]) -> None:
    local = config["backend"] == "local"
    if config["answer_style"] == "form" and not local:
        raise ConfigError("answer_style=form is for local models; use scores or reasoning with a server")
    if config["repetitions"] > 1 and config["temperature"] == 0:
        raise ConfigError("repetitions at temperature=0 ask for the same answer again: raise the temperature")
    if local:
        for key in ("base_url", "request_fields"):
            if config[key]:
                raise ConfigError(f"{key} is for a server: set backend=openai")
        return
    if config["model"].startswith("bundled:"):
        raise ConfigError("backend=openai needs the name of a model at the server: set model")
    try:
        from trl_ext.completions.openai_backend import check_base_url, read_api_key

        check_base_url(config["base_url"])
        if not config["dry_run"]:
            read_api_key(config["api_key_env"])
    except (ModuleNotFoundError, ValueError) as error:
        raise ConfigError(str(error)) from error
