"""Configuration keys of `tasks/rate/self_test.py`."""

from collections.abc import Mapping
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range, defaults
from tasks.rate.create_config import (
    CREATE_KEYS,
    REWRITER_KEYS,
    RULES,
    SOURCE_KEYS,
    check_create_config,
    dataset_label,
)
from tasks.train_config import ConfigError


# Deviations of the rules, as [`RuleRewriter`] has them: to see the test fail
FAULT_KEYS: Keys = {
    "asymmetry": (0.0, (float,), None),  # share of rewrites into the attribute that end with a sentence more
    "repair_typos": (0.0, (float,), None),  # probability that a misspelled word is repaired in passing
    "fail": (0.0, (float,), None),  # share of rewrites that do not flip the attribute
}
_DEFAULTS = {"attribute": "sentiment", "limit": 400, "typos": 0.2}
SELF_TEST_KEYS: Keys = {
    **{key: (_DEFAULTS.get(key, default), types, choices) for key, (default, types, choices) in SOURCE_KEYS.items()},
    **REWRITER_KEYS,
    **FAULT_KEYS,
    "effect": (1.0, (float,), None),  # planted, in standard deviations of the off-target reward
    "margin": (0.2, (float,), None),  # how far off an estimate may be, as share of the effect
    "level": (0.95, (float,), None),  # of intervals; the equivalence test is at 1 - level
    "vocabulary": (None, (str,), None),  # file of known words, one a line; synthetic texts have their own
    "output_dir": ("outputs/rate/self_test", (str,), None),
    "name": (None, (str,), None),  # of the folder in it; default: <dataset>_<attribute>_<rewriter>
    "overwrite": (False, (bool,), None),  # replace rewrites made with other settings
    "progress": (True, (bool,), None),
}
NAMED_CONFIGS = {"faulty": {"asymmetry": 1.0, "name": "faulty"}}


def folder_name(config: Mapping[str, Any]) -> str:
    """Name of the folder of a configuration."""
    if config["name"] is not None:
        return config["name"]
    return f"{dataset_label(config['dataset'])}_{config['attribute']}_{config['rewriter']}"


def check_self_test_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or what does not go together.
    """
    check_keys(config, SELF_TEST_KEYS)
    shared = {key: config[key] for key in (*SOURCE_KEYS, *REWRITER_KEYS)}
    check_create_config({**defaults(CREATE_KEYS), **shared})
    check_folder_name(folder_name(config), "name")
    for key in FAULT_KEYS:
        check_range(config, key, 0, 1)
        if config[key] and config["rewriter"] != RULES:
            raise ConfigError(f"`{key}` is a deviation of rules, and rewriter={config['rewriter']}")
    check_range(config, "effect", 1e-9)
    for key, low in (("margin", 0), ("level", 0.5)):
        if not low < config[key] < 1:
            raise ConfigError(f"config key {key!r} must lie strictly between {low:g} and 1, got {config[key]!r}")
