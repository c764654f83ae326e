#!/usr/bin/env python
"""
Train a reward model on what calibrate.py has written, with the trainer and the options of tasks/train.py.

    accelerate launch tasks/charm/train.py with paper model=RM pairs=outputs/charm/calibration/rm
    python tasks/charm/train.py with model=RM pairs=PAIRS method=soft human_data=human.jsonl train.learning_rate=1e-5
    python tasks/charm/train.py with model=RM pairs=PAIRS method=matching train.trainer.anchor_coefficient=0.03

The same command goes on where an interrupted one stopped. See tasks/charm/README.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.train_config import NAMED_CONFIGS, TRAIN_KEYS, check_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.train_run import run_training

    return run_training(config)


ex = make_experiment("charm_train", TRAIN_KEYS, check_config, run, NAMED_CONFIGS)

if __name__ == "__main__":
    run_experiment(ex)
