#!/usr/bin/env python
"""
Find the over-valued model, the offset that calibrates it, and write the calibrated preference pairs.

    python tasks/charm/calibrate.py with rm=my-rm                      # files of generate.py and score.py
    python tasks/charm/calibrate.py with rm=my-rm overvalued=A reference=B labels=soft
    python tasks/charm/calibrate.py with rm=my-rm pairs=all method=soft_paired
    python tasks/charm/calibrate.py with score_dataset_dir=datasets/scores/RM pm_config_path=configs/pm_config.json \\
        overvalued_model=A ref_model=B preference_output_dir=datasets/calibrate/RM/A_B          # the original's files
    python tasks/charm/calibrate.py print_config

Writes calibration/<rm>/pairs.jsonl and report.json below output_dir. See docs/offsets.md.
"""

import sys
from pathlib import Path


# The repository instead of this folder, whose evaluate.py would hide the package of that name
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE.parents[1]), *(path for path in sys.path if Path(path).resolve() != HERE)]

from tasks.charm.calibrate_config import CALIBRATE_KEYS, check_calibrate_config
from tasks.experiment import make_experiment, run_experiment


def run(config, sacred_run):
    from tasks.charm.calibrate_run import run_calibration

    report = run_calibration(config)
    return {key: report[key] for key in ("rows", "flipped", "left_out", "chosen_per_model")}


ex = make_experiment(
    "charm_calibrate",
    CALIBRATE_KEYS,
    check_calibrate_config,
    run,
    named_configs={
        # what the published code does: its pair of models and its unpaired objective
        "paper": {"choice": "paper", "method": "reference"},
    },
)

if __name__ == "__main__":
    run_experiment(ex)
