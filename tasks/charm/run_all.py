#!/usr/bin/env python
"""
From prompts to calibrated reward models: generate, score, find what is over-valued, calibrate, train, evaluate.

    python tasks/charm/run_all.py                        # the demo: small, offline, on a CPU
    python tasks/charm/run_all.py with methods=matching stop_after=train
    python tasks/charm/run_all.py with paper reward_model=RM prompts=prompts.jsonl policies=policies.yaml ratings=leaderboard.csv

Every stage leaves alone what it has finished, so that the same command goes on where an interrupted one stopped.
See tasks/charm/README.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.run_all_config import NAMED_CONFIGS, RUN_ALL_KEYS, check_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.run_all_stages import run_stages

    return run_stages(config)


ex = make_experiment("charm_run_all", RUN_ALL_KEYS, check_config, run, NAMED_CONFIGS)

if __name__ == "__main__":
    run_experiment(ex)
