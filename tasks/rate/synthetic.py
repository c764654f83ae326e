#!/usr/bin/env python
"""
The synthetic experiments: effects where something goes with the attribute ever more, and the slope of each estimator.

    python tasks/rate/synthetic.py                                            # three experiments, offline, a minute
    python tasks/rate/synthetic.py with experiments=typos repair_typos=0.6
    python tasks/rate/synthetic.py with data=outputs/rate/imdb_length second=sentiment
    python tasks/rate/synthetic.py with data=rewards_by_level.csv
    python tasks/rate/synthetic.py print_config

See docs/rate_effects.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.synthetic_config import SYNTHETIC_KEYS, check_synthetic_config


def run(config, sacred_run):
    from tasks.rate.synthetic_run import run_synthetic

    return run_synthetic(config, sacred_run)


ex = make_experiment("rate_synthetic", SYNTHETIC_KEYS, check_synthetic_config, run)

if __name__ == "__main__":
    run_experiment(ex)
