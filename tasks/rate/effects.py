#!/usr/bin/env python
"""
What reward models pay for attributes: effects with intervals from scored rewrites.

    python tasks/rate/effects.py                                            # all that is in outputs/rate
    python tasks/rate/effects.py with output_dir=outputs/rate models=before,after baseline=before
    python tasks/rate/effects.py with original_file=data/scored/imdb_length_armorm_scored.jsonl attribute=length
    python tasks/rate/effects.py --config config.yaml                       # a configuration of the original
    python tasks/rate/effects.py print_config

See docs/rate_figures.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.effects_config import EFFECTS_KEYS, check_effects_config
from tasks.rate.original_keys import original_arguments


def run(config, sacred_run):
    from tasks.rate.effects_run import run_effects

    return run_effects(config, sacred_run)


ex = make_experiment("rate_effects", EFFECTS_KEYS, check_effects_config, run)

if __name__ == "__main__":
    run_experiment(ex, original_arguments(sys.argv))
