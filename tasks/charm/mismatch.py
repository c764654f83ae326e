#!/usr/bin/env python
"""
Score stored responses of several models, and say which of them the reward model over-values against ratings by people.

    python tasks/charm/mismatch.py with model=RM                  # what generate.py left in outputs/charm
    python tasks/charm/mismatch.py with model=RM responses=answers ratings=leaderboard-text.json style_control=True
    python tasks/charm/mismatch.py print_config

Writes mismatch/<model>/: mismatch.csv, agreement.csv, report.json, and figures with their numbers. See docs/mismatch.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.mismatch_config import MISMATCH_KEYS, check_mismatch_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.mismatch_run import run_mismatch

    return run_mismatch(config, sacred_run)


ex = make_experiment("charm_mismatch", MISMATCH_KEYS, check_mismatch_config, run)

if __name__ == "__main__":
    run_experiment(ex)
