"""Command lines of the scripts of this folder."""

import sys

from sacred import Experiment

from tasks.config_keys import Keys
from tasks.experiment import run_experiment
from tasks.rewardbench.command_line import sacred_arguments


def run_command_line(ex: Experiment, keys: Keys) -> None:
    """Run an experiment with the arguments of the command line, Sacred's or RewardBench's."""
    switches = [key for key, (_, types, _) in keys.items() if types == (bool,)]
    try:
        arguments = sacred_arguments(sys.argv[1:], keys, switches)
    except ValueError as error:
        sys.exit(f"error: {error}")
    run_experiment(ex, [sys.argv[0], *arguments])
