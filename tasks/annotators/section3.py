#!/usr/bin/env python
"""
Section 3 of the paper: how clear pairs are, how many samples monitoring needs, and what it makes of effort.

    python tasks/annotators/section3.py                                            # four synthetic sets, seconds
    python tasks/annotators/section3.py with skip_plots=True
    python tasks/annotators/section3.py with datasets=outputs/oracle-demo,pku
    python tasks/annotators/section3.py print_config

Writes each figure as PNG with its numbers as CSV beside it, samples_needed.csv and results.json. See
tasks/annotators/README.md.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.annotators.section3_config import DEFAULTS, check_config
from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train_config import ConfigError
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("section3", save_git_info=False))
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
    from tasks.annotators.section3_run import run

    try:
        return run(check_config(copy.deepcopy(dict(_config))))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


if __name__ == "__main__":
    run_experiment(ex)
