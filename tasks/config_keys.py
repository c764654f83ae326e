"""Checks of flat configurations against a table of their keys, before anything is loaded or recorded."""

import difflib
import re
from collections.abc import Collection, Mapping
from typing import Any

from tasks.train_config import ConfigError, refuse_secrets


# key -> (default, types, choices); None is allowed where it is the default
Keys = Mapping[str, tuple[Any, tuple[type, ...], tuple | None]]


def defaults(keys: Keys) -> dict[str, Any]:
    """The default configuration."""
    return {key: default for key, (default, _, _) in keys.items()}


def check_keys(config: Mapping[str, Any], keys: Keys) -> None:
    """
    Check keys, types and choices. An entry of a list must be of the type of the default's first entry.

    Raises:
        ConfigError: On a credential, an unknown key, or a wrong type or value.
    """
    try:
        refuse_secrets(config)
    except ConfigError as error:
        if "api_key_env" not in keys:
            raise
        raise ConfigError(
            f"{error} The key of a server that answers is read from the variable that `api_key_env` names "
            f"({keys['api_key_env'][0]})."
        ) from None
    for key, value in config.items():
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown config key {key!r}.{hint} `print_config` lists the keys.")
        default, types, choices = keys[key]
        if value is None and default is None:
            continue
        if not _is(value, types):
            names = " or ".join(t.__name__ for t in types)
            raise ConfigError(f"config key {key!r} must be {names}, got {value!r} ({type(value).__name__})")
        if choices is not None and value not in choices:
            raise ConfigError(f"config key {key!r} must be one of {', '.join(map(str, choices))}, got {value!r}")
        if isinstance(default, list):
            kinds = (int, float) if isinstance(default[0], float) else (type(default[0]),)
            bad = [item for item in value if not _is(item, kinds)]
            if bad or not value:
                names = " or ".join(t.__name__ for t in kinds)
                what = f"got {bad[0]!r}" if bad else "it is empty"
                raise ConfigError(f"config key {key!r} must be a list of {names}; {what}")


def _is(value: Any, types: tuple[type, ...]) -> bool:
    if isinstance(value, bool):
        return bool in types
    return isinstance(value, types) or (float in types and isinstance(value, int))


def check_range(config: Mapping[str, Any], key: str, low: float, high: float = float("inf")) -> None:
    """Raise a [`ConfigError`] unless a number, or all of a list, lie in [low, high]."""
    values = config[key] if isinstance(config[key], list | tuple) else [config[key]]
    bad = [value for value in values if value is not None and not low <= value <= high]
    if bad:
        rule = f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise ConfigError(f"config key {key!r} must be {rule}, got {bad[0]!r}")


def check_folder_name(name: str | None, key: str, reserved: Collection[str] = ()) -> None:
    """Raise a [`ConfigError`] unless a name is a single safe word, so that a folder of this name lies where it should."""
    if name is None:
        return
    if not re.fullmatch(r"[\w+-][\w.+-]*", name):
        raise ConfigError(
            f"config key {key!r} must be a name for a folder, of letters, digits and . _ + - and not beginning with a dot; "
            f"got {name!r}"
        )
    if name.casefold() in reserved:
        raise ConfigError(
            f"config key {key!r} can't be {name!r}: the folder of this name has other files. Take another name"
        )
