"""The configuration of `tasks/annotators/section3.py`: its keys, and checks before anything is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.annotators.probability_sets import SYNTHETIC_SCALES
from tasks.annotators.section4_config import parse_list
from tasks.config_keys import Keys, check_keys, check_range, defaults
from tasks.train_config import ConfigError
from trl_ext.annotators.model import DELTA_CONVENTIONS


KEYS: Keys = {
    # Lists may be written as [a,b], a,b or a single value
    # Synthetic sets (pku, helpsteer, ultra, sky), or output directories of prepare_oracle_data.py
    "datasets": (list(SYNTHETIC_SCALES), (list, tuple), None),
    "probability_bins": (15, (int,), None),  # of the histograms
    # Lower bounds on the sum of errors: 1 − η0 and 1 − η1
    "flips0": ([0.05, 0.1, 0.2, 0.4], (list, tuple), None),
    "flips1": ([0.0, 0.02, 0.04], (list, tuple), None),
    "error": (0.2, (float,), None),  # sum of errors for which the number of samples is given
    # Errors of the self-consistency monitor
    "eta0": ([0.9, 0.8], (list, tuple), None),
    "eta1": ([1.0, 0.95], (list, tuple), None),
    "deltas": ([0.0, 0.1, 0.2, 0.3], (list, tuple), None),
    "delta_convention": ("paper", (str,), DELTA_CONVENTIONS),
    # Incentives
    "incentive_etas": ([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], (list, tuple), None),
    "incentive_step": (20, (int,), None),
    # Fano's bound by mutual information
    "separations": ([0.05, 0.1, 0.2], (list, tuple), None),
    "legacy_information": (False, (bool,), None),  # the numbers of the original program instead, which are no bound
    # Numbers of monitored samples
    "n_min": (10, (int,), None),
    "n_max": (490, (int,), None),
    "n_step": (10, (int,), None),
    "level": (0.95, (float,), None),  # of confidence intervals
    "resamples": (1000, (int,), None),  # of their bootstrap
    "seed": (0, (int,), None),  # of the noisy expert and of the bootstrap
    # Output
    "output_dir": ("outputs/section3", (str,), None),
    "skip_plots": (False, (bool,), None),
}
DEFAULTS = defaults(KEYS)


def check_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    Check the configuration.

    Returns:
        `dict[str, Any]`: the configuration, in which lists that came as text or as one value are lists.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or an unknown dataset.
    """
    config = dict(config) | {
        key: parse_list(key, config[key], type(default[0]))
        for key, default in DEFAULTS.items()
        if isinstance(default, list) and isinstance(config.get(key), str | int | float)
    }
    check_keys(config, KEYS)
    for name in config["datasets"]:
        if name not in SYNTHETIC_SCALES and not Path(name).expanduser().is_dir():
            known = ", ".join(SYNTHETIC_SCALES)
            raise ConfigError(
                f"datasets: {name!r} is neither a synthetic set ({known}) nor an output directory of prepare_oracle_data.py"
            )
    names = [dataset_name(name) for name in config["datasets"]]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"datasets: several are called {repeated[0]!r}; rename a directory")
    for key in ("probability_bins", "incentive_step", "n_min", "n_step"):
        check_range(config, key, 1)
    check_range(config, "n_max", config["n_min"])
    check_range(config, "seed", 0)
    check_range(config, "resamples", 2)
    for key in ("flips0", "flips1", "eta0", "eta1", "incentive_etas"):
        check_range(config, key, 0, 1)
    check_range(config, "deltas", 0, 1 if config["delta_convention"] == "paper" else 0.5)
    for key in ("error", "level"):
        if not 0 < config[key] < 1:
            raise ConfigError(f"config key {key!r} must lie strictly between 0 and 1, got {config[key]!r}")
    if any(not 0 < value <= 1 for value in config["separations"]):
        raise ConfigError(f"config key 'separations' must lie in (0, 1], got {config['separations']!r}")
    if max(config["eta0"]) >= min(config["eta1"]):
        raise ConfigError(
            f"eta0 must lie below eta1: got {max(config['eta0'])} in eta0 and {min(config['eta1'])} in eta1"
        )
    if 1 - max(config["flips0"]) >= 1 - min(config["flips1"]):
        raise ConfigError("flips0 must reach above flips1: no pair has 1 - flip0 below 1 - flip1")
    return config


def dataset_name(source: str) -> str:
    """The name of a dataset in tables and figures."""
    return source if source in SYNTHETIC_SCALES else Path(source).expanduser().resolve().name
