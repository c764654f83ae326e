"""Configuration keys of `tasks/rate/plot.py`."""

from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range
from tasks.train_config import ConfigError


PLOT_KEYS: Keys = {
    "output_dir": ("outputs/rate", (str,), None),  # what the other scripts of tasks/rate wrote; gets figures/
    "names": (None, (list, str), None),  # folders of data sets below it; default: all
    "estimand": ("ATE", (str,), ("ATE", "ATT", "ATU")),  # of effects, contrasts, naive beside RATE
    "normalised": (True, (bool,), None),  # in standard deviations of reward, or in units of reward
    "examples": (6, (int,), None),  # rows of the tables of rewrites; 0: no tables
    "audits": (None, (list, str), None),  # files that RateAuditCallback wrote, a panel each
    "sweeps": (None, (list, str), None),  # files of synthetic.py; default: all synthetic.json in output_dir
    "seed": (0, (int,), None),  # of the draw of examples
}


def listed(config: Mapping[str, Any], key: str) -> list[str] | None:
    """A list, whether it was given as one or as A,B."""
    value = config[key]
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def check_plot_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, or a wrong type or value.
    """
    check_keys(config, PLOT_KEYS)
    check_range(config, "examples", 0)
    check_range(config, "seed", 0)
    for key in ("names", "audits", "sweeps"):
        values = listed(config, key)
        if values is not None and (not values or not all(isinstance(value, str) and value for value in values)):
            raise ConfigError(f"config key {key!r} must be a list of names, got {config[key]!r}")
    for name in listed(config, "names") or ():
        check_folder_name(name, "names")
