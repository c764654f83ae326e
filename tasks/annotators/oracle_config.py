"""The configuration of `tasks/annotators/prepare_oracle_data.py`: its keys, and checks before anything is loaded."""

from collections.abc import Mapping
from typing import Any

from tasks.annotators.oracle_calibration import CALIBRATIONS
from tasks.annotators.oracle_sources import PREFERENCES, SOURCES
from tasks.config_keys import Keys, check_keys, check_range, defaults
from tasks.train_config import ConfigError


KEYS: Keys = {
    # Data: demo, helpsteer, pku, ultrafeedback, skywork; or a file, a directory or a Hub id with chosen and rejected
    "source": ("demo", (str,), None),
    "data_path": (None, (str,), None),  # of a named source: another Hub id, or a local copy
    "split": (None, (str,), None),
    "columns": ({}, (dict,), None),  # our name -> name in the data, columns.chosen=…
    "preference": ("better", (str,), PREFERENCES),  # of PKU-SafeRLHF's own layout: by helpfulness or by harmlessness
    "max_rows": (0, (int,), None),  # the first ones, for a try; 0: all
    # Oracle: demo (true rewards of demo answers), dataset (scores that the data brings), or a reward model's path or Hub id
    "oracle": ("demo", (str,), None),
    "adapter": (None, (str,), None),
    "revision": (None, (str,), None),
    "trust_remote_code": (False, (bool,), None),
    "dtype": ("float32", (str,), ("float32", "bfloat16", "float16")),
    "attn_implementation": (None, (str,), None),
    "device": (None, (str,), None),
    "max_length": (None, (int,), None),  # tokens of a prompt with a response; None: no limit
    "max_length_policy": ("error", (str,), ("error", "truncate_prompt_left")),
    "max_tokens_per_batch": (None, (int,), None),
    "window_size": (2048, (int,), None),  # responses that are scored and written together: what a kill can cost
    "shared_prefix": (True, (bool,), None),
    # Calibration, by cross-fitting on two halves of the prompts
    "calibration": ("platt", (str,), CALIBRATIONS),
    "n_bins": (30, (int,), None),  # of histogram and platt_histogram
    "smoothing": (0.0, (float,), None),  # of histogram: rows added to each bin per label; 1 is Laplace's rule
    "both_orders": (True, (bool,), None),  # fit on pairs in both orders; else in one, drawn at random, as in the paper
    "level": (0.95, (float,), None),  # of confidence intervals
    "resamples": (1000, (int,), None),  # of their bootstrap
    "seed": (0, (int,), None),  # of the demo's labels, which pairs are swapped, the halves, the bootstrap
    # Output
    "output_dir": ("outputs/oracle-demo", (str,), None),
    "overwrite": (False, (bool,), None),  # discard scores that were made with other settings
    "skip_plots": (False, (bool,), None),
    "progress": (True, (bool,), None),
}
DEFAULTS = defaults(KEYS)


def check_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or keys that contradict each other.
    """
    check_keys(config, KEYS)
    for key in ("max_length", "max_tokens_per_batch", "window_size", "n_bins"):
        check_range(config, key, 1)
    for key in ("max_rows", "smoothing", "seed"):
        check_range(config, key, 0)
    check_range(config, "resamples", 2)
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']!r}")
    if config["data_path"] is not None and (config["source"] == "demo" or config["source"] not in SOURCES):
        named = ", ".join(name for name in SOURCES if name != "demo")
        raise ConfigError(
            f"data_path is the copy of a named source ({named}), but source={config['source']!r}: give the path as source"
        )
    if config["output_dir"] == DEFAULTS["output_dir"] and config["source"] != "demo":
        raise ConfigError("set output_dir: its default is the place of the demo")
