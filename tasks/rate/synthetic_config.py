"""Configuration keys of `tasks/rate/synthetic.py`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range
from tasks.train_config import ConfigError


NAMES = ("typos", "length_sentiment", "helpfulness_complexity")
SYNTHETIC_KEYS: Keys = {
    "experiments": (
        list(NAMES),
        (list, str),
        None,
    ),  # or names with commas; with synthetic texts, rewritten by rules, scored by counting words
    "n": (2500, (int,), None),  # texts of each
    "typo_levels": ([0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0], (list,), None),  # % of words with typos
    "levels": ([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10], (list,), None),  # correlations of other attributes, in tenths
    "repair_typos": (1.0, (float,), None),  # probability that the rewriter repairs a typo in passing
    "data": (None, (str,), None),  # instead: scored rewrites, the folder of a data set or a CSV or JSONL file
    "second": (None, (str,), None),  # attribute, or column of `data`, to correlate with that of the rewrites
    "reward_models": (None, (list,), None),  # of the folder `data`; default: all in its scores/
    "negative": (False, (bool,), None),  # correlated negatively, with `data`
    "normalised": (False, (bool,), None),  # effects as shares of the standard deviation of rewards, by level
    "level": (0.95, (float,), None),  # of confidence intervals
    "output_dir": ("outputs/rate", (str,), None),
    "name": ("synthetic", (str,), None),  # of the folder in it
    "skip_plots": (False, (bool,), None),
    "seed": (0, (int,), None),
    "progress": (True, (bool,), None),
}


def experiment_names(config: Mapping[str, Any]) -> list[str]:
    """`experiments` of the configuration as a list."""
    given = config["experiments"]
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)


def check_synthetic_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or keys that do not go together.
    """
    check_keys(config, SYNTHETIC_KEYS)
    check_folder_name(config["name"], "name", reserved=("figures",))
    check_range(config, "n", 40)
    check_range(config, "seed", 0)
    check_range(config, "repair_typos", 0, 1)
    check_range(config, "typo_levels", 0, 100)
    check_range(config, "levels", 0, 10)
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']!r}")
    unknown = [name for name in experiment_names(config) if name not in NAMES]
    if unknown:
        raise ConfigError(f"config key 'experiments' may have {', '.join(NAMES)}; got {unknown[0]!r}")
    for key in ("levels", "typo_levels"):
        if len(set(config[key])) < max(2, len(config[key])):
            raise ConfigError(f"config key {key!r} needs two levels or more, each once; got {config[key]}")
    if config["data"] is None:
        for key in ("second", "reward_models"):
            if config[key] is not None:
                raise ConfigError(f"config key {key!r} is of scored rewrites: set `data` too")
        if config["negative"]:
            raise ConfigError("config key 'negative' is of scored rewrites: set `data` too")
        return
    path = Path(config["data"]).expanduser()
    if not path.exists():
        raise ConfigError(f"config key 'data': there is no {config['data']!r}")
    if path.is_dir() and config["second"] is None:
        raise ConfigError("set `second`: the attribute that is to go with the one of the rewrites")
    if path.is_file() and config["reward_models"] is not None:
        raise ConfigError("config key 'reward_models' is of a folder with scores/, and `data` is a file")
