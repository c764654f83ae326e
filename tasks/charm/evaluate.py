#!/usr/bin/env python
"""
Evaluate a calibration: mismatch with the ratings, human pairs, RewardBench and RM-Bench before and after.

    python tasks/charm/evaluate.py with before=MODEL after=outputs/charm/models/NAME human_pairs=demo
    python tasks/charm/evaluate.py with before=MODEL after=NAME calibrated=outputs/charm/calibration/NAME/report.json
    accelerate launch tasks/charm/evaluate.py with before=MODEL after=NAME rewardbench=allenai/reward-bench prompt_format=chat
    python tasks/charm/evaluate.py print_config

See docs/calibration_evaluation.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.evaluate_config import KEYS, check_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.evaluate_run import run_evaluation

    return run_evaluation(config, sacred_run)


ex = make_experiment("charm_evaluate", KEYS, check_config, run)

if __name__ == "__main__":
    run_experiment(ex)
