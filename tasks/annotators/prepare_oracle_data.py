#!/usr/bin/env python
"""
Score preference data with an oracle, calibrate the scores, and save true preference probabilities.

    python tasks/annotators/prepare_oracle_data.py                                     # demo data, offline
    python tasks/annotators/prepare_oracle_data.py with source=pairs.jsonl oracle=MODEL output_dir=outputs/oracle-pairs
    python tasks/annotators/prepare_oracle_data.py with paper source=pku oracle=MODEL output_dir=outputs/oracle-pku
    python tasks/annotators/prepare_oracle_data.py print_config

The same command continues what was interrupted. See tasks/annotators/README.md.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.annotators.oracle_config import DEFAULTS, check_config
from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.train_config import ConfigError
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("prepare_oracle_data", save_git_info=False))
ex.add_config(DEFAULTS)


@ex.named_config
def paper():
    # As the paper calibrates: 30 bins of equal mass, plain shares, pairs in random order
    calibration = "histogram"
    n_bins = 30
    smoothing = 0.0
    both_orders = False
    max_length = 4096
    max_length_policy = "truncate_prompt_left"
    dtype = "bfloat16"


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    if command_name == "main":
        check_config(config)
    return {}


@ex.main
def main(_config, columns):  # `columns` declares that new keys below it are used
    raise_on_sigterm()
    from tasks.annotators.oracle_run import run

    try:
        return run(copy.deepcopy(dict(_config)))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


if __name__ == "__main__":
    run_experiment(ex)
