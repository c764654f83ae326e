"""What `--help` shows."""

import textwrap
from collections.abc import Iterable

from ..version import __version__
from .commands import ARGPARSE, COMMANDS, OPTIONS, Program


_WIDTH = 100


def overview() -> str:
    """Help of `trl-ext` itself."""
    return "\n".join(
        [
            f"trl-ext {__version__}: reward models you can trust, trained on people you can't always trust.",
            "",
            "usage: trl-ext COMMAND [key=value ...] [options]",
            "",
            *_rows((name, command.purpose) for name, command in COMMANDS.items()),
            "",
            "trl-ext COMMAND --help shows an example, what it writes, and where all keys are.",
            "trl-ext --print-command COMMAND ... prints the command that would be run. trl-ext --version.",
            "",
            "Start here: trl-ext doctor, then trl-ext train rapl_method=beta (built-in data and model, no GPU, no network).",
        ]
    )


def command_help(name: str) -> str:
    """Help of a command."""
    command = COMMANDS[name]
    if list(command.programs) == [""]:
        return program_help(name, "")
    lines = [command.purpose, ""]
    if "" in command.programs:
        lines += [_program_text(name, "", command.programs[""]), ""]
    words = [(word, program.purpose) for word, program in command.programs.items() if word]
    optional = "[WHAT]" if "" in command.programs else "WHAT"
    lines += [f"usage: trl-ext {name} {optional} [key=value ...] [options], with WHAT one of", "", *_rows(words), ""]
    if "" not in command.programs:
        lines += ["examples:", *(f"  {program.example}" for program in command.programs.values()), ""]
        for word, program in command.programs.items():
            lines += _writes(f"{word}: {program.writes}")
        lines += [f"all keys: trl-ext {name} WHAT print_config"]
    lines.append(f"more:     trl-ext {name} WHAT --help")
    return "\n".join(lines)


def program_help(name: str, word: str) -> str:
    """Help of a program of a command."""
    program = COMMANDS[name].programs[word]
    return f"{program.purpose}\n\n{_program_text(name, word, program)}"


def _program_text(name: str, word: str, program: Program) -> str:
    called = f"trl-ext {name} {word}".rstrip()
    lines = [f"example:  {program.example}", *_writes(program.writes)]
    if program.takes == ARGPARSE:
        return "\n".join([*lines, "all keys: the options below"])
    lines.append(f"all keys: {called} print_config")
    lines.append(f"program:  {program.path}" + (", also with --key value" if program.takes == OPTIONS else ""))
    if name == "train":
        lines += [
            "",
            "One process on the CPU or on the GPU, or one per GPU: said otherwise by --num_processes N, --config_file FILE or",
            "--config_file zero2 (any name in accelerate_configs), and other options of accelerate launch.",
        ]
    return "\n".join(lines)


def _writes(text: str) -> list[str]:
    return textwrap.wrap(text, 120, initial_indent="writes:   ", subsequent_indent=" " * 10, break_on_hyphens=False)


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max(len(name) for name, _ in rows) + 2
    found = []
    for name, text in rows:
        first, *more = textwrap.wrap(text, _WIDTH - width - 2)
        found += [f"  {name:<{width}}{first}", *(f"  {'':<{width}}{line}" for line in more)]
    return found
