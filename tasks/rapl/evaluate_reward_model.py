#!/usr/bin/env python
"""
Evaluate a reward model on the LIE test set, TRUE, RM-Bench and attribute biases, those of them that are given.

    python tasks/rapl/evaluate_reward_model.py with model=outputs/demo-beta lie_data_dir=CLONE true_data_dir=CLONE
    accelerate launch tasks/rapl/evaluate_reward_model.py with model=PATH_OR_ID rm_bench_path=RM-Bench/data prompt_format=chat
    python tasks/rapl/evaluate_reward_model.py print_config

See docs/evaluation.md.
"""

import copy
import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import run_experiment, set_up
from tasks.interrupt import raise_on_sigterm
from tasks.rapl.evaluate_config import DEFAULTS, check_config
from tasks.train_observers import PrivateExperiment


ex = set_up(PrivateExperiment("evaluate_reward_model", save_git_info=False))
ex.add_config(DEFAULTS)


@ex.config_hook
def check(config, command_name, logger):
    # A hook runs before any observer has recorded anything: a refused credential leaves no trace
    if command_name == "main":
        check_config(config)
    return {}


@ex.main
def main(_config, _run):
    raise_on_sigterm()
    from tasks.rapl.evaluate_run import run

    return run(copy.deepcopy(dict(_config)), _run)


if __name__ == "__main__":
    run_experiment(ex)
