#!/usr/bin/env python
"""
Fit probabilities to the rewards of a trained model, measure them by cross-fitting, and store them with the model.

    python tasks/calibrate.py with model=outputs/demo-beta
    python tasks/calibrate.py with model=outputs/demo-beta data=pairs.jsonl method=isotonic
    python tasks/calibrate.py with model=owner/model data=pairs.jsonl store=False
    python tasks/calibrate.py print_config

The pairs must not have trained the model. See docs/reward_calibration.md.
"""

import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.config_keys import check_keys
from tasks.experiment import make_experiment, run_experiment
from tasks.train_config import CALIBRATIONS, ConfigError


# key -> (default, types, choices); None is allowed where it is the default
KEYS = {
    "model": (None, (str,), None),  # folder or Hub id of a reward model or an adapter
    "data": ("demo", (str,), None),  # held-out pairs: "demo", or as train_data_path of tasks/train.py
    "method": ("temperature", (str,), CALIBRATIONS),
    "eta": (None, (float,), None),  # method=lapse: known share of labels that are no guesses; None: estimated
    "offsets": (False, (bool,), None),  # an offset per source too: columns source_chosen and source_rejected
    "length": (None, (str,), ("characters", "words", "tokens")),  # a curve of length first, in this unit
    "fit_share": (
        None,
        (float,),
        None,
    ),  # None: all pairs fit, and measure by cross-fitting; else of the questions, the
    # rest measures
    "seed": (0, (int,), None),  # of folds or split, and of the bootstrap
    "demo_seed": (0, (int,), None),  # as of the training
    "prompt_col_name": ("prompt", (str,), None),
    "chosen_col_name": ("chosen", (str,), None),
    "rejected_col_name": ("rejected", (str,), None),
    "correctness_label_col_name": ("correct_chosen", (str,), None),  # the truth, where it is known: in figures only
    "max_rows": (0, (int,), None),  # the first pairs, for a try; 0: all
    "max_length": (None, (int,), None),  # tokens; longer pairs lose the left of their prompt
    "dtype": ("float32", (str,), ("float32", "bfloat16", "float16")),
    "store": (True, (bool,), None),  # in the model's folder; False: write files only
    "output_dir": (
        None,
        (str,),
        None,
    ),  # default: the model's folder, else outputs/calibrate-<model>; files in calibration/
}


def check(config) -> None:
    """Raise a `ConfigError` on a mistake in the configuration."""
    check_keys(config, KEYS)
    if config["model"] is None:
        raise ConfigError("set model=FOLDER or a Hub id; `python tasks/train.py` trains one")
    if config["fit_share"] is not None and not 0 < config["fit_share"] < 1:
        raise ConfigError(f"config key 'fit_share' must be above 0 and below 1, got {config['fit_share']!r}")
    if config["store"] and not Path(config["model"]).expanduser().is_dir():
        raise ConfigError(
            f"there is no folder {config['model']!r}, so that a calibration can't be stored with the model. For a model of the "
            "Hub: set store=False and apply it as docs/reward_calibration.md shows, or download the model to a folder."
        )


def run(config, sacred_run):
    """Calibrate as configured."""
    from tasks.calibrate_run import run

    return run(config, sacred_run)


ex = make_experiment("calibrate_reward_model", KEYS, check, run)

if __name__ == "__main__":
    run_experiment(ex)
