"""From the words of the command line to the process of a program."""

import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ..version import __version__
from .arguments import SACRED_COMMANDS, SACRED_SWITCHES, SACRED_WITH_VALUE, option_name, with_updates
from .commands import ARGPARSE, COMMANDS, OPTIONS, Program
from .help import command_help, overview, program_help
from .launch import count_gpus, launch_command, split_launch_options
from .programs import module_command, script_command
from .usage import UsageError, did_you_mean


_HELP = ("-h", "--help")
_PACKAGES = (
    "sacred",
    "torch",
    "transformers",
    "trl",
    "datasets",
)  # of the required ones, those no program does without


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run `trl-ext`.

    Where the system allows it, this process becomes that of the program: signals and the exit status are its own.

    Args:
        arguments (sequence of `str`, *optional*):
            The words behind `trl-ext`. By default those of the command line.

    Returns:
        `int`: Exit status: 2 for a mistake on the command line.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(arguments)
    except UsageError as error:
        print(f"trl-ext: error: {error}", file=sys.stderr)
        return 2


def command_line(arguments: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """
    The command that a command of `trl-ext` stands for, and the environment variables it gets.

    Args:
        arguments (sequence of `str`):
            The words behind `trl-ext`.

    Returns:
        `tuple[list[str], dict[str, str]]`: The command with its arguments, and variables.

    Raises:
        UsageError: The words make no command, or the program of the command is missing.

    Example:
        ```python
        >>> from trl_ext.cli import command_line
        >>> command, _ = command_line(["monitor", "eta0=0.6"])
        >>> command[2:]
        ['with', 'eta0=0.6']

        ```
    """
    name, word, program, rest = _find_program(list(arguments))
    if program.takes == ARGPARSE:
        return [*module_command(program.path), *rest], {}
    script = script_command(program.path)
    if name == "train":
        return _training(script, rest)
    option = next((argument for argument in rest if _is_own_option(argument)), None)
    if option is not None and program.takes == OPTIONS:
        return [*script, *rest], {}  # --key value ...: the script reads them
    if option is not None:
        key = option_name(option).removeprefix("--")
        raise UsageError(
            f"trl-ext {name} {word}".rstrip() + f" has no option --{key}: say {key}=..., as in: {program.example}"
        )
    called = [*script, *with_updates(rest, program.defaults, program.names)]
    if program.needs is not None and not _has_key(called, program.needs) and not _only_shows(called):
        raise UsageError(f"trl-ext {name} {word} needs {program.key_of(program.needs)}=..., as in: {program.example}")
    return called, {}


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in (*_HELP, "help"):
        print(overview())
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"trl-ext {__version__}")
        return 0
    only_print = arguments[0] == "--print-command"
    if only_print:
        arguments = arguments[1:]
        if not arguments:
            raise UsageError("--print-command is followed by a command and its arguments")
    command = _known_command(arguments[0])
    if any(argument in _HELP for argument in arguments[1:]):
        return _show_help(command, arguments)
    words, variables = command_line(arguments)
    if arguments[0] != "doctor" and not only_print:
        _check_installation()
    if only_print:
        print(
            shlex.join(
                [*(["env", *(f"{name}={value}" for name, value in variables.items())] if variables else []), *words]
            )
        )
        return 0
    return become(words, variables)


def _check_installation() -> None:
    """A program whose packages are not there would end with a traceback."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"{', '.join(missing)} not installed; `trl-ext doctor` tells all that is missing, and what fixes it"
        )


def become(command: Sequence[str], variables: Mapping[str, str]) -> int:
    """Let a command take the place of this process; where that can't be, run it and return its exit status."""
    sys.stdout.flush()
    sys.stderr.flush()
    environment = os.environ | variables
    if os.name == "posix":
        os.execve(command[0], list(command), environment)
    return subprocess.run(command, env=environment).returncode


def _known_command(name: str) -> str:
    if name not in COMMANDS:
        raise UsageError(
            f"there is no command {name!r}.{did_you_mean(name, COMMANDS)} The commands are {', '.join(COMMANDS)}"
        )
    return name


def _find_program(arguments: list[str]) -> tuple[str, str, Program, list[str]]:
    """Command, the word behind it, their program, and the remaining words."""
    name = _known_command(arguments[0])
    programs, rest = COMMANDS[name].programs, arguments[1:]
    if rest and rest[0] in programs:
        return name, rest[0], programs[rest[0]], rest[1:]
    words = [word for word in programs if word]
    if not words:
        return name, "", programs[""], rest
    is_word = bool(rest) and not rest[0].startswith("-") and "=" not in rest[0]
    if is_word and rest[0] not in ("with", *SACRED_COMMANDS):
        raise UsageError(
            f"trl-ext {name} has no {rest[0]!r}.{did_you_mean(rest[0], words)} There are {', '.join(words)}"
        )
    if "" not in programs:
        raise UsageError(f"trl-ext {name} needs to know what: {', '.join(words)}. See trl-ext {name} --help")
    return name, "", programs[""], rest


def _show_help(name: str, arguments: list[str]) -> int:
    programs = COMMANDS[name].programs
    word = arguments[1] if arguments[1] in programs else ""
    if not word and arguments[1] not in _HELP and len(programs) > 1:
        _find_program(arguments)  # tells of a word that is unknown
    print(program_help(name, word) if word else command_help(name))
    program = programs.get(word)
    if program is not None and program.takes == ARGPARSE:
        print()
        return become([*module_command(program.path), "--help"], {})
    return 0


def _training(script: list[str], arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    launch, own = split_launch_options(arguments)
    own = with_updates(own)
    if "LOCAL_RANK" in os.environ and launch:
        print(f"trl-ext: {', '.join(launch)} left out: this process has been launched already", file=sys.stderr)
    if _only_shows([*script, *own]) or "LOCAL_RANK" in os.environ:  # nothing to launch, or launched already
        return [*script, *own], {}
    given = "--config_file" in launch
    return launch_command(script, launch, 0 if given else count_gpus(), own)


def _is_own_option(argument: str) -> bool:
    return argument.startswith("--") and option_name(argument) not in SACRED_SWITCHES | SACRED_WITH_VALUE


def _has_key(command: list[str], key: str) -> bool:
    return any(argument.partition("=")[0].strip() == key for argument in command)


def _only_shows(command: list[str]) -> bool:
    """Whether Sacred is to show or save a configuration, not to run."""
    before = command[: command.index("with")] if "with" in command else command
    return any(argument in SACRED_COMMANDS for argument in before)
