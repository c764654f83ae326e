"""Configuration keys of `tasks/rate/effects.py`."""

from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range, defaults
from tasks.rate.original_keys import DATASETS, ORIGINAL_KEYS, apply_original_keys
from tasks.train_config import ConfigError


ESTIMANDS = ["ATE", "ATT", "ATU"]
STEP_KEYS = ["original", "rewrite", "rewritten rewrite"]

EFFECTS_KEYS: Keys = {
    "output_dir": ("outputs/rate", (str,), None),  # has <name>/scores/<reward model>/, gets effects/
    "names": (None, (list, str), None),  # folders of data sets below it; default: all with scores
    "models": (None, (list, str), None),  # reward models, as their folders are called; default: all
    "original_file": (None, (str,), None),  # instead: a scored file of the original, data/scored/*.jsonl
    "name": (None, (str,), None),  # of its data set; default: the file's name
    "attribute": (None, (str,), None),  # of it, which it does not say
    "reward_key": (None, (str,), None),  # of the rewards to use; default: all that it has
    "score_name": (None, (str,), None),  # what these rewards are called, if there is one reward model
    "step_keys": (STEP_KEYS, (list,), None),  # of the rewards of original, rewrite and rewrite of the rewrite
    "se": (None, (str,), ("paired", "cluster", "reference")),  # None: cluster where there are clusters, else paired
    "estimands": (ESTIMANDS, (list, str), None),
    "baseline": (None, (str,), None),  # reward model that others are compared with; None: the first
    "correction": ("holm", (str,), ("holm", "fdr_bh")),  # for many tests
    "level": (0.95, (float,), None),  # of intervals; tests are at 1 - level
    "power": (0.8, (float,), None),  # to find the minimum detectable effect
    "bootstrap": (2000, (int,), None),  # resamples; 0: linear approximation, which takes no time
    "seed": (0, (int,), None),
    # read the texts: leave out what is no rewrite, correct for compliance, adjust for other features
    "texts": (True, (bool,), None),
    "reference": (False, (bool,), None),  # write the original's effects files too, with its standard errors
    **ORIGINAL_KEYS,
}


def resolve_effects(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the original's keys, and with lists for what is given as A,B."""
    resolved = apply_original_keys(config, "effects", defaults(EFFECTS_KEYS))
    for key in ("names", "models", "estimands"):
        if isinstance(resolved[key], str):
            resolved[key] = [name.strip() for name in resolved[key].split(",") if name.strip()]
    if resolved["original_file"] and resolved["attribute"] is None and resolved["name"] in DATASETS:
        resolved["attribute"] = DATASETS[resolved["name"]]["attribute"]
    return resolved


def check_effects_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or what does not go together.
    """
    check_keys(config, EFFECTS_KEYS)
    config = resolve_effects(config)
    for key in ("names", "models", "estimands", "step_keys"):
        values = config[key]
        if values is None:
            continue
        if not values or not all(isinstance(value, str) and value for value in values):
            raise ConfigError(f"config key {key!r} must be a list of names, got {config[key]!r}")
        if len(set(values)) < len(values):
            raise ConfigError(f"config key {key!r} has a name twice: {values!r}")
    other = [name for name in config["estimands"] if name not in ESTIMANDS]
    if other:
        raise ConfigError(f"config key 'estimands' must be some of {', '.join(ESTIMANDS)}, got {other[0]!r}")
    if len(config["step_keys"]) != len(STEP_KEYS):
        raise ConfigError(f"config key 'step_keys' must have {len(STEP_KEYS)} names, got {config['step_keys']!r}")
    for key in ("level", "power"):
        if not 0 < config[key] < 1:
            raise ConfigError(f"config key {key!r} must lie strictly between 0 and 1, got {config[key]}")
    check_range(config, "bootstrap", 0)
    if config["bootstrap"]:
        # fewer leave no draw beyond the ends of the interval
        check_range(config, "bootstrap", max(2, round(4 / (1 - config["level"]))))
    check_range(config, "seed", 0)
    for key in ("names", "models"):
        for name in config[key] or ():
            check_folder_name(name, key)
    if config["se"] == "reference" and config["level"] != 0.95:
        raise ConfigError(f"se=reference has intervals of level 0.95, got level={config['level']}")
    if config["original_file"]:
        if not config["attribute"]:
            raise ConfigError(
                "original_file does not say what its attribute is: set `attribute`, such as attribute=length"
            )
        given = [key for key in ("names", "models") if config[key] is not None]
        if given:
            raise ConfigError(f"{given[0]!r} is of output_dir; of original_file, `reward_key` says which rewards")
    else:
        given = [key for key in ("name", "attribute", "reward_key", "score_name") if config[key] is not None]
        if given:
            raise ConfigError(f"{given[0]!r} is of original_file: set it too, or leave out {given[0]!r}")
