#!/usr/bin/env python
"""
Best of N: rank candidates with a reward model, write the ones it selects, and say how good they are for every N.

    python tasks/rewardbench/run_bon.py --model MODEL --dataset candidates.jsonl --best_of 16
    python tasks/rewardbench/run_bon.py with model=MODEL dataset=candidates.jsonl quality_column=gold
    python tasks/rewardbench/run_bon.py print_config

A row of `dataset` has `prompt` and `responses` (or `candidates`), perhaps `id`, and in the column `quality_column` a number
per response: a gold reward, or 1 for right and 0 for wrong. See tasks/rewardbench/README.md.
"""

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.configs import BON_KEYS, check_bon_config
from tasks.rewardbench.experiment import run_command_line


def run(config, sacred_run):
    from tasks.rewardbench.best_of_n import run_best_of_n

    return run_best_of_n(config, sacred_run)


ex = make_experiment("rewardbench_run_bon", BON_KEYS, check_bon_config, run)

if __name__ == "__main__":
    run_command_line(ex, BON_KEYS)
