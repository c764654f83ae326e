#!/usr/bin/env python
"""
Fit when a trained model's preference is sure enough to be stated, and intervals of reward differences; measure both on
other questions, and store them with the model.

    python tasks/fit_intervals.py with model=outputs/demo-beta alpha=0.3
    python tasks/fit_intervals.py with model=outputs/demo-beta data=pairs.jsonl guarantee=selective
    python tasks/fit_intervals.py with model=outputs/demo-beta data=rated.jsonl target_col_name=rating_difference
    python tasks/fit_intervals.py print_config

The pairs must not have trained the model. See docs/uncertainty.md.
"""

import sys
import warnings
from pathlib import Path


warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tasks.config_keys import check_keys
from tasks.experiment import make_experiment, run_experiment
from tasks.train_config import ConfigError


# key -> (default, types, choices); None is allowed where it is the default
KEYS = {
    "model": (None, (str,), None),  # folder of a reward model or an adapter; a Hub id with store=False
    "data": ("demo", (str,), None),  # held-out pairs: "demo", or as train_data_path of tasks/train.py
    "alpha": (0.1, (float,), None),  # largest share of wrong statements, and of targets outside of their intervals
    "guarantee": ("marginal", (str,), ("marginal", "selective")),  # α of all pairs, or of those with a statement
    "target_col_name": (None, (str,), None),  # real-valued target for intervals; None: preference sets only
    "scale": (1.0, (float,), None),  # units of the target per unit of reward, from other data
    "use_sd": (None, (bool,), None),  # follow the standard deviation of the difference; None: where the model has one
    "fit_share": (0.5, (float,), None),  # of the questions; the rest measures
    "seed": (0, (int,), None),  # of the split, and of the pair that is drawn of each question
    "demo_seed": (0, (int,), None),  # as of the training
    "prompt_col_name": ("prompt", (str,), None),
    "chosen_col_name": ("chosen", (str,), None),
    "rejected_col_name": ("rejected", (str,), None),
    "max_rows": (0, (int,), None),  # the first pairs, for a try; 0: all
    "max_length": (None, (int,), None),  # tokens; longer pairs lose the left of their prompt
    "dtype": ("float32", (str,), ("float32", "bfloat16", "float16")),
    "store": (True, (bool,), None),  # in the model's folder; False: write files only
    "output_dir": (None, (str,), None),  # default: the model's folder, else outputs/intervals-<model>
}


def check(config) -> None:
    """Raise a `ConfigError` on a mistake in the configuration."""
    check_keys(config, KEYS)
    if config["model"] is None:
        raise ConfigError("set model=FOLDER or a Hub id; `python tasks/train.py` trains one")
    for name in ("alpha", "fit_share"):
        if not 0 < config[name] < 1:
            raise ConfigError(f"config key {name!r} must be above 0 and below 1, got {config[name]!r}")
    if config["store"] and not Path(config["model"]).expanduser().is_dir():
        raise ConfigError(
            f"config key 'store': {config['model']!r} is no folder that intervals could be stored in. Set store=False, or "
            "download the model to a folder."
        )


def run(config, sacred_run):
    """Fit as configured."""
    from tasks.fit_intervals_run import run

    return run(config, sacred_run)


ex = make_experiment("fit_intervals", KEYS, check, run)

if __name__ == "__main__":
    run_experiment(ex)
