"""A Sacred experiment with a table of keys: checked before anything is recorded, without private content."""

import copy
import os
from collections.abc import Callable, Mapping
from typing import Any

from sacred import SETTINGS, Experiment

from tasks.config_keys import Keys, defaults
from tasks.interrupt import exit_interrupted, raise_on_sigterm
from tasks.train_observers import PrivateExperiment, PrivateFileStorageObserver, filter_output


SETTINGS.CAPTURE_MODE = "sys"


def set_up(ex: Experiment) -> Experiment:
    """
    Let an experiment record its runs in `runs/`, without private content.

    Args:
        ex (`Experiment`): A [`PrivateExperiment`](train_observers.py), made in its script: Sacred records where that is.

    Returns:
        `Experiment`: The same.
    """
    ex.captured_out_filter = filter_output
    if int(os.environ.get("RANK", 0)) == 0:  # every process would record a run of its own
        ex.observers.append(PrivateFileStorageObserver("runs"))
    return ex


def make_experiment(
    name: str,
    keys: Keys,
    check: Callable[[Mapping[str, Any]], None],
    run: Callable[[dict[str, Any], Any], Any],
    named_configs: Mapping[str, Mapping[str, Any]] | None = None,
) -> Experiment:
    """
    An experiment with a configuration of known keys.

    Args:
        name (`str`): Name in the records.
        keys (`Keys`): Configuration keys, see [`tasks.config_keys`].
        check (`Callable`): Raises a `ConfigError` on a mistake in the configuration.
        run (`Callable`): Called with the configuration and Sacred's run.
        named_configs (`Mapping`, *optional*): Updates by name, for `with NAME`.

    Returns:
        `Experiment`: For [`run_experiment`].
    """
    ex = set_up(PrivateExperiment(name, save_git_info=False))
    ex.add_config(defaults(keys))
    for config_name, updates in (named_configs or {}).items():
        ex.add_named_config(config_name, dict(updates))

    @ex.config_hook
    def check_first(config, command_name, logger):
        # A hook runs before any observer has recorded anything: a refused credential leaves no trace
        if command_name == "main":
            check(config)
        return {}

    @ex.main
    # Dictionaries that take new keys, where there are any: Sacred asks who uses them
    def main(
        _config,
        _run,
        train=None,
        generate=None,
        score=None,
        calibrate=None,
        evaluate=None,
        rewrites=None,
        scoring=None,
        effects=None,
        create=None,
        extra=None,
        lexical_weights=None,
    ):
        raise_on_sigterm()
        return run(copy.deepcopy(dict(_config)), _run)

    return ex


def run_experiment(ex: Experiment, arguments: list[str] | None = None) -> None:
    """Run an experiment with the arguments of the command line, or with others; an interrupt ends without a traceback."""
    try:
        ex.run_commandline(arguments)
    except KeyboardInterrupt as interrupt:
        exit_interrupted(interrupt)
