"""Checks of the configuration of `tasks/rapl/aggregate_labels.py`, before a run is recorded."""

import difflib
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Any

from tasks.train_config import ConfigError, refuse_secrets


METHODS = ("majority_vote", "dawid_skene", "glad", "noisy_bradley_terry")

_OPTIONAL_TEXTS = ("pairs_path",)
_CHOICES = {"method": METHODS, "duplicates": ("error", "first", "last"), "ties": ("drop", "keep", "error")}


def check_config(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Args:
        config (`dict`): Configuration after every update.
        defaults (`dict`): The default configuration: its keys are the known keys, its types the expected types.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or a setting that the method does not have.
    """
    refuse_secrets(config)
    for key, value in config.items():
        if key not in defaults:
            close = difflib.get_close_matches(key, defaults, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown config key {key!r}.{hint} `print_config` lists the keys.")
        if key in _OPTIONAL_TEXTS:
            _check_type(key, value, str | None)
        elif key == "settings":
            if not isinstance(value, Mapping):
                raise ConfigError(f"config key 'settings' must have keys of its own, settings.model=…, got {value!r}")
        else:
            _check_type(key, value, type(defaults[key]))
    for key, allowed in _CHOICES.items():
        if config[key] not in allowed:
            raise ConfigError(f"{key} must be one of {', '.join(allowed)}, got {config[key]!r}")
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']!r}")
    if config["seed"] < 0:
        raise ConfigError(f"config key 'seed' must be at least 0, got {config['seed']!r}")
    if config["settings"]:
        _check_settings(config["method"], config["settings"])


def method_settings(method: str) -> dict[str, Any]:
    """Settings of a method and their types; the votes and what has a key of its own are none."""
    from trl_ext.reliability import aggregation

    function = getattr(aggregation, method)
    hints = typing.get_type_hints(function)
    return {
        name: hints[name]
        for name in inspect.signature(function).parameters
        if name not in ("votes", "level", "duplicates")
    }


def _check_settings(method: str, settings: Mapping[str, Any]) -> None:
    known = method_settings(method)
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(f"{method} has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}")
    for name, value in settings.items():
        _check_type(f"settings.{name}", value, known[name])


def _check_type(key: str, value: Any, expected: Any) -> None:
    if not _fits(value, expected):
        name = expected.__name__ if isinstance(expected, type) else str(expected)
        raise ConfigError(f"config key {key!r} must be {name}, got {value!r} ({type(value).__name__})")


def _fits(value: Any, expected: Any) -> bool:
    if isinstance(expected, types.UnionType):
        return any(_fits(value, each) for each in typing.get_args(expected))
    if typing.get_origin(expected) is tuple:
        kinds = typing.get_args(expected)
        return isinstance(value, (list, tuple)) and len(value) == len(kinds) and all(map(_fits, value, kinds))
    if expected is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return isinstance(value, expected) and (expected is bool or not isinstance(value, bool))
