"""Checks of the configurations of the contract scripts; lists may be written as lists or as text."""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.train_config import ConfigError, check_keys


MONITORS = ("self", "expert")
CONTRACTS = ("linear", "binary")
SOLVERS = ("exact", "paper_grid")

# Choices of the lists; `None`: anything of the type
_LISTS: dict[str, tuple[type, tuple[str, ...] | None]] = {
    "datasets": (str, None),
    "monitors": (str, MONITORS),
    "contracts": (str, CONTRACTS),
    "profiles": (str, None),
    "delta": (float, None),
    "n_list": (int, None),
}


def parse_list(key: str, value: Any, kind: type, choices: Sequence[str] | None = None) -> list:
    """
    A list of the configuration: a list, one value, or text such as `"0.0,0.01"` or `"[pku, sky]"`.

    Args:
        key (`str`):
            For messages.
        value (`Any`):
            As configured.
        kind (`type`):
            `str`, `int` or `float`.
        choices (`Sequence[str]`, *optional*):
            Allowed values.

    Returns:
        `list`: at least one value, all different.

    Raises:
        ConfigError: Another type, a value twice, none, or one that is not allowed.
    """
    if isinstance(value, str):
        value = [part.strip().strip("'\"") for part in value.strip().strip("[]()").split(",") if part.strip()]
    elif not isinstance(value, Sequence):
        value = [value]
    parsed = []
    for item in value:
        try:
            if isinstance(item, str) and kind is not str:
                item = ast.literal_eval(item)
        except (ValueError, SyntaxError):
            pass
        is_number = isinstance(item, int | float) and not isinstance(item, bool)
        if not (isinstance(item, str) if kind is str else is_number and kind(item) == item):
            raise ConfigError(f"{key} must be a list of {kind.__name__} values, got {item!r}")
        parsed.append(kind(item))
    if not parsed or len(set(parsed)) < len(parsed):
        raise ConfigError(f"{key} must have at least one value, and each once, got {parsed}")
    if choices is not None and (unknown := [item for item in parsed if item not in choices]):
        raise ConfigError(f"{key}: unknown value {unknown[0]!r}; there are {', '.join(choices)}")
    return parsed


def checked(config: Mapping[str, Any], defaults: Mapping[str, Any], script: str) -> dict[str, Any]:
    """
    Check a configuration.

    Args:
        config (`dict`):
            Configuration after every update.
        defaults (`dict`):
            The default configuration: its keys are the known keys.
        script (`str`):
            Name of the script, for messages.

    Returns:
        `dict[str, Any]`: the lists, parsed.

    Raises:
        ConfigError: An unknown key, a wrong type or value.
    """
    from trl_ext.annotators.contracts import PROFILES

    # Lists may come as text, which is no mistake of type
    single = {key: value for key, value in config.items() if key not in _LISTS and key != "seed"}
    check_keys(single, defaults, script)
    lists = {
        key: parse_list(key, config[key], kind, tuple(PROFILES) if key == "profiles" else choices)
        for key, (kind, choices) in _LISTS.items()
        if key in config and config[key] is not None
    }
    for delta in lists.get("delta", []):
        largest = 1 if config["delta_convention"] == "paper" else 0.5
        if not 0 <= delta <= largest:
            raise ConfigError(f"delta must lie in [0, {largest}], got {delta}")
    for n in lists.get("n_list", []):
        if n < 1:
            raise ConfigError(f"n_list must have whole numbers of at least 1, got {n}")
    for key, allowed in (("solver", SOLVERS), ("delta_convention", ("paper", "model"))):
        if config[key] not in allowed:
            raise ConfigError(f"{key} must be one of {', '.join(allowed)}, got {config[key]!r}")
    if config["processes"] < 1:
        raise ConfigError(f"processes must be at least 1, got {config['processes']}")
    names = [Path(source).name for source in lists["datasets"]]
    if len(set(names)) < len(names):
        raise ConfigError(f"datasets must differ in their names, got {names}")
    return lists
