"""The configuration of `tasks/rapl/evaluate_reward_model.py`: its keys, and checks before anything is loaded."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.rapl.evaluation_sets import PROMPT_FORMATS
from tasks.train_config import ConfigError, refuse_secrets
from trl_ext.data.bundled import DEFAULT_MODEL
from trl_ext.evaluation.biases.attribute_bias import CORRECTIONS, OTHER_CODES


# key -> (default, types, choices); None is allowed where it is the default
_KEYS: dict[str, tuple[Any, tuple[type, ...], tuple | None]] = {
    # Model
    "model": (DEFAULT_MODEL, (str,), None),  # path or Hub id of a reward model or an adapter
    "adapter": (None, (str,), None),
    "revision": (None, (str,), None),
    "tokenizer": (None, (str,), None),  # default: the model's
    "trust_remote_code": (False, (bool,), None),
    "dtype": ("float32", (str,), ("float32", "bfloat16", "float16")),
    "attn_implementation": (None, (str,), None),
    "device": (None, (str,), None),
    # Data: what is not given is not evaluated
    "lie_data_dir": (None, (str,), None),  # LIE_dataset_test.csv, its folder, or a clone of the RAPL repository
    "true_data_dir": (None, (str,), None),  # TRUE/, the folder that contains it, or a clone of the RAPL repository
    "true_split": ("all", (str,), ("all", "train", "val", "cal")),
    "true_fold": (0, (int,), (0, 1, 2, 3, 4)),
    "rm_bench_path": (None, (str,), None),  # a JSON file of RM-Bench, or its folder
    "attribute_bias_path": (None, (str,), None),  # CSV
    "attribute_other_codes": ("error", (str,), OTHER_CODES),  # codes other than A, B, C
    "attribute_correction": ("holm", (str,), CORRECTIONS),
    # Scoring
    "prompt_format": ("human_assistant", (str,), PROMPT_FORMATS),  # as the model was trained
    "max_length": (None, (int,), None),  # tokens of a prompt with an answer; None: no limit
    "max_length_policy": ("drop", (str,), ("drop", "truncate_prompt_left", "error")),
    "max_tokens_per_batch": (None, (int,), None),
    "shared_prefix": (True, (bool,), None),
    "max_rows": (0, (int,), None),  # of every set, the first ones, for a try; 0: all
    "seed": (0, (int,), None),  # of the bootstrap
    # Output
    "output_dir": (None, (str,), None),  # default: outputs/evaluate-<model>
    "results_log": ("outputs/results.jsonl", (str,), None),  # a row per set is appended; None: none
    "overwrite": (False, (bool,), None),  # discard rewards that were made with other settings
    "progress": (True, (bool,), None),
}
DEFAULTS = {key: default for key, (default, _, _) in _KEYS.items()}
DATA_KEYS = ("lie_data_dir", "true_data_dir", "rm_bench_path", "attribute_bias_path")
_OPTIONAL = {key for key, default in DEFAULTS.items() if default is None} | {"results_log"}
_POSITIVE = ("max_length", "max_tokens_per_batch")


def check_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration of `tasks/rapl/evaluate_reward_model.py`.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, no data, or a path that does not exist.
    """
    refuse_secrets(config)
    for key, value in config.items():
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(f"unknown config key {key!r}.{hint} `print_config` lists the keys.")
        if value is None and key in _OPTIONAL:
            continue
        _, types, choices = _KEYS[key]
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            names = " or ".join(t.__name__ for t in types)
            raise ConfigError(f"config key {key!r} must be {names}, got {value!r} ({type(value).__name__})")
        if choices is not None and value not in choices:
            raise ConfigError(f"config key {key!r} must be one of {', '.join(map(str, choices))}, got {value!r}")
    for key in _POSITIVE:
        if config[key] is not None and config[key] < 1:
            raise ConfigError(f"config key {key!r} must be positive, got {config[key]!r}")
    if config["max_rows"] < 0:
        raise ConfigError(f"config key 'max_rows' must be 0 (all) or positive, got {config['max_rows']!r}")
    if all(config[key] is None for key in DATA_KEYS):
        raise ConfigError(f"there is nothing to evaluate on: set one or more of {', '.join(DATA_KEYS)}")
    for key in DATA_KEYS:
        if config[key] is not None and not Path(config[key]).expanduser().exists():
            raise ConfigError(f"config key {key!r}: there is no {config[key]!r}")
