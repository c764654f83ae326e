"""Arguments as users give them, as Sacred takes them."""

from collections.abc import Mapping, Sequence


# Options of Sacred that are followed by a value
SACRED_WITH_VALUE = {
    *("-b", "--beat-interval", "-C", "--capture", "-c", "--comment", "-F", "--file_storage", "-i", "--id"),
    *("-l", "--loglevel", "-m", "--mongo_db", "-n", "--name", "-P", "--priority", "-S", "--s3", "-s", "--sql"),
    *("-t", "--tiny_db"),
}
SACRED_SWITCHES = {
    *("-d", "--debug", "-D", "--pdb", "-e", "--enforce_clean", "-f", "--force", "-h", "--help"),
    *("-p", "--print-config", "-q", "--queue", "-u", "--unobserved"),
}
# What Sacred can do with a configuration instead of running with it
SACRED_COMMANDS = {"print_config", "print_dependencies", "print_named_configs", "save_config", "help"}


def option_name(argument: str) -> str:
    """`--name` of `--name=value`, and of `--name`."""
    return argument.partition("=")[0]


def with_updates(
    arguments: Sequence[str], defaults: Sequence[str] = (), names: Mapping[str, str] | None = None
) -> list[str]:
    """
    Put the word `with` before `key=value` and names of configurations, unless it is there already.

    Args:
        arguments (sequence of `str`):
            What stands behind the command.
        defaults (sequence of `str`, *optional*):
            Updates that come before those of the user, which win.
        names (mapping of `str` to `str`, *optional*):
            Keys that have another name in the program.

    Returns:
        `list[str]`: What Sacred takes.

    Example:
        ```python
        >>> from trl_ext.cli.arguments import with_updates
        >>> with_updates(["rapl_method=p", "--unobserved", "lie"])
        ['--unobserved', 'with', 'rapl_method=p', 'lie']
        >>> with_updates(["print_config", "with", "seed=1"], defaults=["seed=0"])
        ['print_config', 'with', 'seed=0', 'seed=1']

        ```
    """
    kept: list[str] = []
    updates: list[str] = []
    remaining = list(arguments)
    behind_with = False
    while remaining:
        argument = remaining.pop(0)
        if argument == "with":
            behind_with = True
        elif argument in SACRED_WITH_VALUE:
            kept += [argument, *remaining[:1]]
            del remaining[:1]
        elif argument.startswith("-") or (argument in SACRED_COMMANDS and not behind_with):
            kept.append(argument)
        else:
            updates.append(argument)
    updates = [*defaults, *(_renamed(update, names or {}) for update in updates)]
    return [*kept, "with", *updates] if updates else kept


def _renamed(update: str, names: Mapping[str, str]) -> str:
    key, equals, value = update.partition("=")
    return f"{names.get(key.strip(), key)}={value}" if equals else update
