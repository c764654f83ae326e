"""The configuration of `tasks/rewardbench/compare.py`: its keys, and checks before anything is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.annotators.section4_config import parse_list
from tasks.config_keys import Keys, check_keys, check_range, defaults
from tasks.train_config import ConfigError
from trl_ext.evaluation.statistics import CORRECTIONS


FORMATS = ("md", "tex", "csv")
PLOTS = ("leaderboard", "subsets", "rewards", "correlations", "length", "styles")

KEYS: Keys = {
    # Lists may be written as [a,b], a,b or a single value
    # Folders of evaluations, folders of such folders, RewardBench's layouts, or single .json files
    "results": (None, (list, tuple), None),
    "benchmark": (None, (str,), None),  # default: the only one that is there
    "baseline": (None, (str,), None),  # model that the others are compared with; default: all pairs
    "correction": ("holm", (str,), CORRECTIONS),  # of the p-values, for the number of pairs
    "level": (0.95, (float,), None),  # of tests, differences and accuracies by length; figures keep their own
    "seed": (0, (int,), None),  # of bootstrap and permutations
    # Output
    "output_dir": ("outputs/compare", (str,), None),
    "formats": (list(FORMATS), (list, tuple), None),  # of the leaderboard
    "plots": (list(PLOTS), (list, tuple), None),  # "none": no plots
}
DEFAULTS = defaults(KEYS)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Check the configuration.

    Returns:
        `dict[str, Any]`: the configuration, in which lists that came as text or as one value are lists.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or no results.
    """
    config = dict(config)
    if config.get("results") is None:
        raise ConfigError(
            "there is nothing to compare: set results to folders or files, such as results=outputs/a,outputs/b"
        )
    plots = config.get("plots") not in (None, False, "none", [], ["none"])
    if not plots:
        config["plots"] = list(PLOTS)
    elif config["plots"] in (True, "all"):
        config["plots"] = list(PLOTS)
    for key, choices in (("results", None), ("formats", FORMATS), ("plots", PLOTS)):
        config[key] = parse_list(key, config[key], str, choices)
    check_keys(config, KEYS)
    check_range(config, "seed", 0)
    if not 0 < config["level"] < 1:
        raise ConfigError(f"config key 'level' must lie strictly between 0 and 1, got {config['level']!r}")
    for path in config["results"]:
        if not Path(path).expanduser().exists():
            raise ConfigError(f"config key 'results': there is no {path!r}")
    return config | {"plots": config["plots"] if plots else []}
