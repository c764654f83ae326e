#!/usr/bin/env python
"""
Score texts and their rewrites with one or more reward models.

    python tasks/rate/score.py with model=lexical                             # all data sets of outputs/rate, in seconds
    python tasks/rate/score.py with model=Skywork/Skywork-Reward-V2-Qwen3-0.6B torch_dtype=bfloat16 prompt_format=chat
    accelerate launch tasks/rate/score.py with models='["org/rm-a","org/rm-b"]' name=imdb_length
    python tasks/rate/score.py --config config.yaml                           # of the original
    python tasks/rate/score.py print_config

See docs/rate_scoring.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose modules would hide others of their names
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.experiment import make_experiment, run_experiment
from tasks.rate.original_keys import original_arguments
from tasks.rate.score_rate_config import RATE_SCORE_KEYS, check_rate_score_config


def run(config, sacred_run):
    from tasks.rate.score_rate_run import run_rate_scoring

    return run_rate_scoring(config, sacred_run)


ex = make_experiment("rate_score", RATE_SCORE_KEYS, check_rate_score_config, run)

if __name__ == "__main__":
    run_experiment(ex, original_arguments(sys.argv))
