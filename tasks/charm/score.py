#!/usr/bin/env python
"""
Score the responses of all policy models with a reward model.

    python tasks/charm/score.py with model=Skywork/Skywork-Reward-V2-Qwen3-0.6B torch_dtype=bfloat16 prompt_format=chat
    accelerate launch tasks/charm/score.py with model=MODEL output_dir=outputs/charm
    python tasks/charm/score.py print_config

See docs/responses.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.score_config import SCORE_KEYS, check_score_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.score_run import run_scoring

    return run_scoring(config, sacred_run)


ex = make_experiment("charm_score", SCORE_KEYS, check_score_config, run)

if __name__ == "__main__":
    run_experiment(ex)
