"""Configuration keys of `tasks/charm/mismatch.py`."""

from collections.abc import Mapping
from typing import Any

from tasks.charm.score_config import SCORE_KEYS, check_score_config
from tasks.config_keys import Keys, check_keys, check_range
from tasks.train_config import ConfigError


MISMATCH_KEYS: Keys = {
    **SCORE_KEYS,
    "ratings": (None, (str,), None),  # any file that read_leaderboard reads; default: ratings.csv in output_dir
    "style_control": (False, (bool,), None),  # of the ratings, as are the next two
    "category": ("full", (str,), None),
    "snapshot": (None, (str,), None),
    "ties": ("loss", (str,), ("loss", "half")),  # what an equal reward is worth
    "rating_uncertainty": (True, (bool,), None),
    "level": (0.95, (float,), None),
    "draws": (2000, (int,), None),  # of all bootstraps
    "plots": (True, (bool,), None),
}


def check_mismatch_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, or a wrong type or value.
    """
    check_keys(config, MISMATCH_KEYS)
    check_score_config({key: config[key] for key in SCORE_KEYS})
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']}")
    # fewer leave no draw beyond the ends of the interval
    check_range(config, "draws", max(2, round(4 / (1 - config["level"]))))
