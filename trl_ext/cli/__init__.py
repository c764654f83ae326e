"""
The command line `trl-ext`: one command per step of the work, each a thin way to a script of `tasks/` or to a module.

Nothing heavy is imported here: `trl-ext --help` answers at once, and a command becomes the process of its program.
"""

from .dispatch import command_line, main


__all__ = ["command_line", "main"]
