"""RewardBench's way of giving options, `--model M --batch_size 8 --debug`, beside Sacred's `with model=M batch_size=8`."""

import difflib
from collections.abc import Collection, Sequence

from tasks.rewardbench.configs import OTHERWISE


# Long options of Sacred that don't stand for a configuration key
_SACRED = {
    *("help", "unobserved", "force", "name", "comment", "priority", "pdb", "loglevel", "queue", "print-config"),
    *("capture", "beat-interval", "enforce-clean", "file_storage"),
}
_COMMANDS = {"print_config", "print_dependencies", "print_named_configs", "save_config"}


def sacred_arguments(arguments: Sequence[str], keys: Collection[str], switches: Collection[str]) -> list[str]:
    """
    Translate options named as configuration keys; all else is left to Sacred.

    Args:
        arguments (sequence of `str`):
            The command line without the name of the script.
        keys (collection of `str`):
            Configuration keys.
        switches (collection of `str`):
            Those that are true or false: `--debug` alone sets one.

    Returns:
        `list[str]`: What Sacred takes.

    Raises:
        ValueError: An option has no value, or there is none of this name.

    Example:
        ```python
        >>> from tasks.rewardbench.command_line import sacred_arguments
        >>> sacred_arguments(["--model", "M", "--batch_size=8", "--debug"], ["model", "batch_size", "debug"], ["debug"])
        ['with', 'model=M', 'batch_size=8', 'debug=True']

        ```
    """
    kept: list[str] = []
    updates: list[str] = []
    remaining = list(arguments)
    while remaining:
        argument = remaining.pop(0)
        if _is_update(argument, keys):
            updates.append(argument)
            continue
        name, equals, value = argument.removeprefix("--").partition("=")
        if not argument.startswith("--") or name in _SACRED:
            kept.append(argument)
        elif name not in keys:
            raise ValueError(_unknown(name, keys))
        elif equals:
            updates.append(_update(name, value))
        elif name in switches:
            given = remaining and remaining[0].lower() in ("true", "false")
            updates.append(f"{name}={remaining.pop(0).capitalize() if given else True}")
        else:
            values = []
            while remaining and not remaining[0].startswith("--") and not _ends_values(remaining[0], keys):
                values.append(remaining.pop(0))
            if not values:
                raise ValueError(f"--{name} needs a value")
            updates.append(_update(name, *values))
    if not updates:
        return kept
    return [*kept, *([] if "with" in kept else ["with"]), *updates]


def _is_update(word: str, keys: Collection[str]) -> bool:
    """Whether a word is Sacred's way of setting a key, which may stand among options, too."""
    name, equals, _ = word.partition("=")
    return bool(equals) and name in keys


def _ends_values(word: str, keys: Collection[str]) -> bool:
    return word == "with" or word in _COMMANDS or _is_update(word, keys)


def _unknown(name: str, keys: Collection[str]) -> str:
    if name in OTHERWISE:
        return f"there is no option --{name}: {OTHERWISE[name]}"
    close = difflib.get_close_matches(name, keys, n=1)
    return f"there is no option --{name}." + (
        f" Did you mean --{close[0]}?" if close else " `print_config` lists them."
    )


def _update(name: str, *values: str) -> str:
    return f"{name}={values[0]}" if len(values) == 1 else f"{name}={list(values)!r}"
