#!/usr/bin/env python
"""
Compare reward models by their results on benchmarks: leaderboard with intervals, paired tests, plots.

    python tasks/rewardbench/compare.py with results=outputs/rm-a,outputs/rm-b output_dir=outputs/compare
    python tasks/rewardbench/compare.py with results=results benchmark=rewardbench baseline=org/model correction=fdr_bh
    python tasks/rewardbench/compare.py --results outputs/rm-a outputs/rm-b --baseline outputs/rm-a
    python tasks/rewardbench/compare.py print_config

Results are folders that an evaluation wrote, or RewardBench's own files. See docs/leaderboard.md.
"""

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tasks.experiment import make_experiment
from tasks.rewardbench.compare_config import KEYS, check_config
from tasks.rewardbench.experiment import run_command_line
from tasks.train_config import ConfigError


def run(config, sacred_run):
    from tasks.rewardbench.compare_run import run

    try:
        return run(check_config(config))
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(str(error)) from error


ex = make_experiment("rewardbench_compare", KEYS, check_config, run)

if __name__ == "__main__":
    run_command_line(ex, KEYS)
