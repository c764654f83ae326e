#!/usr/bin/env python
"""
Texts with and without an attribute, and their rewrites into the opposite and back.

    python tasks/rate/create_dataset.py                                       # small, offline, in seconds
    python tasks/rate/create_dataset.py with dataset=reviews.csv attribute=sentiment rewriter=openai model=MODEL dry_run=True
    python tasks/rate/create_dataset.py --config config.yaml                  # of the original
    python tasks/rate/create_dataset.py print_config

See docs/rate_attributes.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.create_config import CREATE_KEYS, check_create_config
from tasks.rate.original_keys import original_arguments


def run(config, sacred_run):
    from tasks.rate.create_run import run_creation

    return run_creation(config, sacred_run)


ex = make_experiment("rate_create", CREATE_KEYS, check_create_config, run)

if __name__ == "__main__":
    run_experiment(ex, original_arguments(sys.argv))
