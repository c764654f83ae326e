#!/usr/bin/env python
"""
From texts to effects on rewards: train the demo's reward models, rewrite, score, estimate, draw.

    python tasks/rate/run_all.py                         # the demo: small, offline, on a CPU
    python tasks/rate/run_all.py with "rewriters=['rules']" stop_after=effects
    python tasks/rate/run_all.py with reward_models=RM1,RM2 rewriters=openai dataset=data.jsonl attribute=length

Every stage leaves alone what it has finished, so that the same command goes on where an interrupted one stopped.
See tasks/rate/README.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.run_all_config import RUN_ALL_KEYS, check_config


def run(config, sacred_run):
    from tasks.rate.run_all_stages import run_stages

    return run_stages(config)


ex = make_experiment("rate_run_all", RUN_ALL_KEYS, check_config, run)

if __name__ == "__main__":
    run_experiment(ex)
