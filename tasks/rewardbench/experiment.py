"""The Sacred experiment of a script of this folder: checked before anything is recorded, without private content."""

import copy
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from sacred import SETTINGS, Experiment

from tasks.config_keys import Keys, defaults
from tasks.interrupt import exit_interrupted, raise_on_sigterm
from tasks.rewardbench.command_line import sacred_arguments
from tasks.train_observers import PrivateExperiment, PrivateFileStorageObserver, filter_output


SETTINGS.CAPTURE_MODE = "sys"


def make_experiment(
    name: str,
    keys: Keys,
    check: Callable[[Mapping[str, Any]], None],
    run: Callable[[dict[str, Any], Any], Any],
) -> Experiment:
    """
    An experiment with a configuration of known keys.

    Args:
        name (`str`): Name in the records.
        keys (`Keys`): Configuration keys, see [`tasks.config_keys`].
        check (`Callable`): Raises a `ConfigError` on a mistake in the configuration.
        run (`Callable`): Called with the configuration and Sacred's run.

    Returns:
        `Experiment`: For [`run_command_line`].
    """
    ex = PrivateExperiment(name, save_git_info=False)
    ex.captured_out_filter = filter_output
    if int(os.environ.get("RANK", 0)) == 0:  # every process would record a run of its own
        ex.observers.append(PrivateFileStorageObserver("runs"))
    ex.add_config(defaults(keys))

    @ex.config_hook
    def check_first(config, command_name, logger):
        # A hook runs before any observer has recorded anything: a refused credential leaves no trace
        if command_name == "main":
            check(config)
        return {}

    @ex.main
    def main(_config, _run):
        raise_on_sigterm()
        return run(copy.deepcopy(dict(_config)), _run)

    return ex


def run_command_line(ex: Experiment, keys: Keys) -> None:
    """Run an experiment with the arguments of the command line, Sacred's or RewardBench's."""
    switches = [key for key, (_, types, _) in keys.items() if types == (bool,)]
    try:
        arguments = sacred_arguments(sys.argv[1:], keys, switches)
    except ValueError as error:
        sys.exit(f"error: {error}")
    try:
        ex.run_commandline([sys.argv[0], *arguments])
    except KeyboardInterrupt as interrupt:
        exit_interrupted(interrupt)
