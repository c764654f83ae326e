#!/usr/bin/env python
"""
Compare reward models by their results on benchmarks: leaderboard with intervals, paired tests, plots.

    python tasks/rewardbench/compare.py with results=outputs/rm-a,outputs/rm-b output_dir=outputs/compare
    python tasks/rewardbench/compare.py with results=results benchmark=rewardbench baseline=org/model correction=fdr_bh
    python tasks/rewardbench/compare.py print_config

Results are folders that an evaluation wrote, or RewardBench's own files. See docs/leaderboard.md.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sacred import SETTINGS

from tasks.interrupt import exit_interrupted, raise_on_sigterm
from tasks.rewardbench.compare_config import DEFAULTS, check_config
from tasks.train_config import ConfigError
from tasks.train_observers import PrivateExperiment, PrivateFileStorageObserver, filter_output


SETTINGS.CAPTURE_MODE = "sys"

ex = PrivateExperiment("compare", save_git_info=False)
ex.captured_out_filter = filter_output
ex.observers.append(PrivateFileStorageObserver("runs"))
ex.add_config(DEFAULTS)


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    if command_name == "main":
        check_config(config)
    return {}


@ex.main
def main(_config):
    raise_on_sigterm()
    from tasks.rewardbench.compare_run import run

    try:
        return run(check_config(copy.deepcopy(dict(_config))))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


if __name__ == "__main__":
    try:
        ex.run_commandline()
    except KeyboardInterrupt as interrupt:
        exit_interrupted(interrupt)
