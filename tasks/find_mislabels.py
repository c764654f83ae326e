#!/usr/bin/env python
"""
Which labels are wrong? Preference pairs by evidence, and annotators by their number of wrong labels.

    python tasks/find_mislabels.py                                                # demo data, offline
    python tasks/find_mislabels.py with train_data_path=demo planted_errors=0.1 seed=0
    python tasks/find_mislabels.py with train_data_path=pairs.jsonl model=outputs/my-reward-model
    python tasks/find_mislabels.py with mode=train model=Qwen/Qwen3-0.6B train.learning_rate=1e-5

Writes the folder mislabels/ in output_dir: mislabels.csv (the most suspicious first), annotators.csv, mislabels.json,
reliability.jsonl (the data with P(label is right), for training), and, where the truth is known, comparison.csv and
precision.png with its numbers. See docs/mislabels.md.
"""

import sys
from pathlib import Path


sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.experiment import make_experiment, run_experiment
from tasks.mislabels_config import KEYS, check_config


def run(config, sacred_run):
    from tasks.mislabels_run import run_search

    return run_search(config, sacred_run)


ex = make_experiment("find_mislabels", KEYS, check_config, run)

if __name__ == "__main__":
    run_experiment(ex)
