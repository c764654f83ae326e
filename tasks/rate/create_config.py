"""Configuration keys of `tasks/rate/create_dataset.py`."""

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasks.config_keys import Keys, check_folder_name, check_keys, check_range, defaults
from tasks.rate.original_keys import ORIGINAL_KEYS, apply_original_keys
from tasks.train_config import ConfigError
from trl_ext.data.readers import FILE_TYPES


LAYOUTS = ("imdb", "helpsteer", "hh_rlhf", "eli5", "preferences", "plain")
RULES = "rules"
REWRITERS = (RULES, "local", "openai", "batch")  # rules; a model in this process, behind a server, or by batch files

SOURCE_KEYS: Keys = {
    "dataset": ("synthetic", (str,), None),  # file, folder, Hub id; demo; synthetic (film reviews), synthetic_answers
    "layout": (None, (str,), LAYOUTS),  # of its rows; default: found by their columns
    "split": (None, (str,), None),
    "text_column": (None, (str,), None),  # if it is not named as in the layout
    "prompt_column": (None, (str,), None),
    "prompt": (None, (str,), None),  # of texts that have none
    "sides": ("both", (str,), ("both", "chosen", "rejected")),  # of pairs, the answers to take
    "turn": ("last", (str,), ("last", "first")),  # of dialogues of hh_rlhf, the assistant's turn to take
    "attribute": ("length", (str,), None),  # one of the package, or of attributes_file
    "attributes_file": (None, (str,), None),  # YAML file
    "threshold": (None, (float, str), None),  # of the attribute's classifier: a number, or median
    "limit": (200, (int,), None),  # texts at most, drawn with `seed`; None: all
    "balanced": (True, (bool,), None),  # as many with the attribute as without
    "typos": (0.0, (float,), None),  # share of misspelled words, put into texts with the attribute
    "seed": (0, (int,), None),
}
REWRITER_KEYS: Keys = {
    "rewriter": (RULES, (str,), REWRITERS),
    "model": (None, (str,), None),  # path, Hub id or bundled model; its name at a server
    "revision": (None, (str,), None),
    "base_url": (None, (str,), None),  # of the server, such as vLLM's; None: that of the openai package
    "api_key_env": ("OPENAI_API_KEY", (str,), None),  # environment variable with the key; "": a server without keys
    "temperature": (0.7, (float,), None),
    "top_p": (None, (float,), None),
    "extra": ({}, (dict,), None),  # further fields of requests to a server, such as {"reasoning_effort": "low"}
    "max_tokens": (None, (int,), None),  # of a rewrite; None: by the length of its text
    "sampling_seed": (0, (int,), None),
    "concurrency": (8, (int,), None),  # requests to a server under way at once
    "timeout": (600.0, (float,), None),  # seconds a server may take to answer
    "max_tokens_field": ("max_tokens", (str,), ("max_tokens", "max_completion_tokens")),  # as the server calls it
    "poll_seconds": (30.0, (float,), None),  # between questions whether a batch is done
    "batch_size": (16, (int,), None),  # texts that a local model rewrites at once
    "dtype": ("auto", (str,), ("auto", "float32", "bfloat16", "float16")),
    "device": (None, (str,), None),
    "trust_remote_code": (False, (bool,), None),
    "strip_preamble": (False, (bool,), None),  # cut off "Sure, here is the text:" and <think>…</think>
    "prices": (None, (list,), None),  # of a million tokens of questions and of answers, for the costs: [2.5,10]
}
# Rewriters for which a key means something, where that is not all of them
_MODELS, _SERVERS, _LOCAL = ("local", "openai", "batch"), ("openai", "batch"), ("local",)
_MEANT_FOR: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("model", "temperature", "top_p", "max_tokens", "sampling_seed", "strip_preamble", "prices"), _MODELS
    ),
    **dict.fromkeys(("base_url", "api_key_env", "extra", "timeout", "max_tokens_field"), _SERVERS),
    **dict.fromkeys(("revision", "batch_size", "dtype", "device", "trust_remote_code"), _LOCAL),
    "concurrency": ("openai",),
    "poll_seconds": ("batch",),
    "repair_typos": (RULES,),
}
# What text_column and prompt_column can name; the others have columns of their own names, or nested ones
_NAMED_COLUMNS = {
    "imdb": ("text_column",),
    "helpsteer": ("text_column", "prompt_column"),
    "plain": ("text_column", "prompt_column"),
    "preferences": ("prompt_column",),
    "hh_rlhf": (),
    "eli5": (),
}
_LONGEST_WAIT = 7 * 86400  # seconds

CREATE_KEYS: Keys = {
    **SOURCE_KEYS,
    "steps": (2, (int,), None),  # rewrites of every text: 2 for RATE, 3 for the symmetric correction
    **REWRITER_KEYS,
    "vocabulary": (None, (str,), None),  # file of known words, one a line, to find typing mistakes in rewrites
    "repair_typos": (0.0, (float,), None),  # probability that rules repair one in passing, as chat models do
    "retry_failures": (False, (bool,), None),  # ask again for rewrites that failed
    "output_dir": ("outputs/rate", (str,), None),
    "name": (None, (str,), None),  # of the folder in it; default: <dataset>_<attribute>
    "overwrite": (False, (bool,), None),  # replace texts and rewrites made with other settings
    "dry_run": (False, (bool,), None),  # tell what would be asked and cost, and stop
    "export_original": (False, (bool,), None),  # write the rewrites in the original's layout too
    "progress": (True, (bool,), None),
    **ORIGINAL_KEYS,
}


def resolve(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration without the original's keys, and with the name of the folder."""
    resolved = apply_original_keys(config, "create", defaults(CREATE_KEYS))
    if resolved["name"] is None:
        resolved["name"] = f"{dataset_label(resolved['dataset'])}_{resolved['attribute']}"
    return resolved


def dataset_label(dataset: str) -> str:
    """A short name of a data set, for folders: that of the file or repository."""
    path = Path(dataset.split(":")[0])
    label = re.sub(r"[^\w+-]+", "-", path.stem if path.suffix in FILE_TYPES else path.name).strip("-")
    return label or "texts"


def check_create_config(config: Mapping[str, Any]) -> None:
    """
    Check the configuration.

    Raises:
        ConfigError: On a credential, an unknown key, a wrong type or value, or what does not go together.
    """
    check_keys(config, CREATE_KEYS)
    config = resolve(config)
    check_folder_name(config["name"], "name")
    check_range(config, "limit", 2 if config["balanced"] else 1)
    for key in ("typos", "repair_typos"):
        check_range(config, key, 0, 1)
    check_range(config, "steps", 1)
    check_range(config, "temperature", 0, 2)
    for key in ("timeout", "poll_seconds"):
        check_range(config, key, 0.001, _LONGEST_WAIT)
    for key in ("seed", "sampling_seed"):
        check_range(config, key, 0)
    for key in ("max_tokens", "concurrency", "batch_size"):
        check_range(config, key, 1)
    if isinstance(config["threshold"], str) and config["threshold"] != "median":
        raise ConfigError(f"config key 'threshold' must be a number or median, got {config['threshold']!r}")
    _check_columns(config)
    _check_attribute(config)
    _check_rewriter(config)


def without_effect(rewriter: str) -> set[str]:
    """Keys that mean nothing for a rewriter."""
    return {key for key, rewriters in _MEANT_FOR.items() if rewriter not in rewriters}


def _check_columns(config: Mapping[str, Any]) -> None:
    layout = config["layout"]
    for key in ("text_column", "prompt_column"):
        if layout is not None and config[key] is not None and key not in _NAMED_COLUMNS[layout]:
            raise ConfigError(
                f"{key} has no meaning with layout={layout}, whose columns have the names in docs/rate_attributes.md: leave "
                "it out, or rename the columns"
            )


def _check_attribute(config: Mapping[str, Any]) -> None:
    from tasks.rate.create_attribute import configured_attribute

    try:
        configured_attribute(config)
        if config["vocabulary"] is not None:
            from trl_ext.rate import Vocabulary

            Vocabulary.read(Path(config["vocabulary"]).expanduser())
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _check_rewriter(config: Mapping[str, Any]) -> None:
    rewriter, prices = config["rewriter"], config["prices"]
    idle = without_effect(rewriter)
    for key in _MEANT_FOR:
        if key in idle and config[key] != CREATE_KEYS[key][0]:
            if rewriter == RULES:
                raise ConfigError(
                    f"`{key}` is of a model that rewrites, and rewriter=rules: set rewriter=local or openai"
                )
            raise ConfigError(
                f"{key} needs rewriter={' or '.join(_MEANT_FOR[key])}: it has no effect with rewriter={rewriter}"
            )
    if rewriter != RULES and config["model"] is None:
        raise ConfigError(f"rewriter={rewriter} needs `model`")
    if prices is not None:
        numbers = [value for value in prices if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(prices) != 2 or len(numbers) != 2 or not all(0 <= number < math.inf for number in numbers):
            raise ConfigError(
                f"`prices` must be two numbers of at least 0, the prices of a million tokens of questions and of answers, "
                f"got {prices!r}"
            )
    _check_sampling(config)
    if rewriter in _SERVERS:
        _check_server(config)


def _check_sampling(config: Mapping[str, Any]) -> None:
    from trl_ext.completions import Sampling

    try:
        Sampling(**{key: config[key] for key in ("temperature", "top_p", "max_tokens", "extra")})
    except ValueError as error:
        raise ConfigError(str(error)) from error
    try:
        json.dumps(config["extra"], allow_nan=False)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"config key 'extra' must be plain JSON: {error}") from error


def _check_server(config: Mapping[str, Any]) -> None:
    name = config["api_key_env"]
    try:
        from trl_ext.completions.openai_backend import check_base_url, check_variable_name, read_api_key

        check_base_url(config["base_url"])
        if name:
            check_variable_name(name)
        if not config["dry_run"]:
            read_api_key(name)
    except (ValueError, ImportError) as error:
        raise ConfigError(str(error)) from error
