"""Checks of the configuration of `tasks/annotators/monitor.py`, before a run is recorded."""

import difflib
from collections.abc import Mapping
from typing import Any

from tasks.train_config import ConfigError, refuse_secrets


_CHOICES = {
    "monitor": ("self", "expert"),
    "delta_convention": ("paper", "model"),
    "method": ("mid-p", "clopper-pearson"),
    "without_checks": ("pooled", "error"),
}
_OPTIONAL = {"expert_path": str, "c": float, "delta": float, "n_categories": int}
_BETWEEN_0_AND_1 = ("alpha", "beta", "half_width", "level")


def check_config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Args:
        config (`dict`): Configuration after every update.
        defaults (`dict`): The default configuration: its keys are the known keys, its types the expected types.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or keys that do not go together.
    """
    refuse_secrets(config)
    for key, value in config.items():
        if key not in defaults:
            close = difflib.get_close_matches(key, defaults, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown config key {key!r}.{hint} `print_config` lists the keys.")
        if key in _OPTIONAL and value is None:
            continue
        expected = _OPTIONAL.get(key, type(defaults[key]))
        allowed = (int, float) if expected is float else expected
        if not isinstance(value, allowed) or (isinstance(value, bool) and expected is not bool):
            raise ConfigError(
                f"config key {key!r} must be {expected.__name__}, got {value!r} ({type(value).__name__})"
            )
    for key, choices in _CHOICES.items():
        if config[key] not in choices:
            raise ConfigError(f"{key} must be one of {', '.join(choices)}, got {config[key]!r}")
    for key in _BETWEEN_0_AND_1:
        if not 0 < config[key] < 1:
            raise ConfigError(f"config key {key!r} must lie strictly between 0 and 1, got {config[key]!r}")
    if config["expert_path"] is not None and config["monitor"] == "self":
        raise ConfigError("expert_path is only read with monitor=expert")
    if config["delta"] is not None and config["monitor"] == "expert":
        raise ConfigError("delta is only used with monitor=self")
    given = [key for key in ("c", "trusted", "delta") if config[key] not in (None, [])]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} all say what c is: give one of them")
