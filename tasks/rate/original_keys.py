"""The original's configuration and command line: its keys and names, in terms of ours."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tasks.config_keys import Keys
from tasks.train_config import ConfigError


STAGES = ("create", "score", "effects")
SECTIONS = {"create": "rewrites", "score": "scoring", "effects": "effects"}
CREATED_ROWS, SCORED_ROWS = 30, 10  # of a smoke test

# In each script, so that one file of the original serves all of them
ORIGINAL_KEYS: Keys = {
    "smoke_test": (False, (bool,), None),
    "rewrites": ({}, (dict,), None),
    "scoring": ({}, (dict,), None),
    "effects": ({}, (dict,), None),
}
_SECTION_KEYS = {
    "rewrites": ("dataset_name",),
    "scoring": ("model", "dataset_folder", "dataset_filename", "dataset_name"),
    "effects": (
        "dataset_name",
        "dataset_folder",
        "concept",
        "score",
        "reward_key",
        "dataset_filename",
        "w_original_key",
        "w_counterfactual_key",
        "w_rewritten_rewrite_key",
    ),
}
_SCORING_FOLDERS = ("rewrites", "scored")
_STEP_KEYS = {
    "w_original_key": "original",
    "w_counterfactual_key": "rewrite",
    "w_rewritten_rewrite_key": "rewritten rewrite",
}

_IMDB = {"dataset": "stanfordnlp/imdb", "split": "train", "layout": "imdb"}
_HELPSTEER = {"dataset": "nvidia/HelpSteer", "split": "train", "layout": "helpsteer"}
_HH = {"dataset": "Anthropic/hh-rlhf", "split": "train", "layout": "hh_rlhf"}
_ATTRIBUTES = str(Path(__file__).with_name("original_attributes.yaml"))
# What the names of its templates stand for
DATASETS: dict[str, dict[str, Any]] = {
    "imdb_sentiment": {**_IMDB, "attribute": "sentiment", "limit": 25000},
    "imdb_length": {**_IMDB, "attribute": "length", "threshold": 970.0, "limit": 25000},
    "imdb_vowels": {**_IMDB, "attribute": "vowel_start", "typos": 0.3, "limit": 2500},
    "helpsteer_complexity": {**_HELPSTEER, "attribute": "complexity", "limit": 25000},
    "helpsteer_helpfulness": {**_HELPSTEER, "attribute": "helpfulness", "limit": 25000},
    "hh_rlhf_sentiment": {**_HH, "attribute": "sentiment", "sides": "rejected", "turn": "first", "limit": 25000},
    "hh_rlhf_helpfulness": {**_HH, "attribute": "helpfulness", "sides": "both", "turn": "last", "limit": 25000},
    "hh_rlhf_harmlessness": {
        **_HH,
        "attribute": "harmfulness",
        "attributes_file": _ATTRIBUTES,
        "sides": "rejected",
        "turn": "first",
        "balanced": False,  # there is one side only
        "limit": 25000,
    },
    "eli5_length": {
        "dataset": "sentence-transformers/eli5",
        "split": "train",
        "layout": "eli5",
        "attribute": "length",
        "limit": 25000,
    },
}
_SST2 = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
# What the names of its reward models stand for: keys of tasks/rate/score.py
MODELS: dict[str, dict[str, Any]] = {
    "armorm": {"model": "RLHFlow/ArmoRM-Llama3-8B-v0.1"},
    "sfairxc": {"model": "sfairXC/FsfairX-LLaMA3-RM-v0.1"},
    "ncsoft": {"model": "NCSOFT/Llama-3-OffsetBias-RM-8B"},
    "deberta": {"model": "OpenAssistant/reward-model-deberta-v3-large-v2"},
    "distilbert_positive": {"model": _SST2, "label": "POSITIVE"},
    "distilbert_negative": {"model": _SST2, "label": "NEGATIVE"},
}


def apply_original_keys(
    config: Mapping[str, Any], stage: str, defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """
    A configuration with what its original keys say in terms of ours. Keys of ours that were set are kept.

    Args:
        config (`Mapping`):
            Configuration of a script, with some of `ORIGINAL_KEYS`.
        stage (`str`):
            `"create"`, `"score"` or `"effects"`.
        defaults (`Mapping`, *optional*):
            The defaults of the script: a key with another value was set. Without them, one that is not `None` was.

    Returns:
        `dict[str, Any]`: Without the original's keys. Added are, if its section for the stage is not empty,

        - create: keys of `tasks/rate/create_dataset.py` for the data set; `limit`, at most 30, of a smoke test;
        - score: `model` (and `label` of a sentiment model), `original_file` (`data/rewrites/...` or `data/scored/...`),
          `name` of the data set, and `attribute` if it is known; `limit` 10 of a smoke test;
        - effects: `original_file` (`data/scored/...`), `reward_key`, `step_keys` (3 names), `attribute` (the concept),
          `score_name`, `name` of the data set, and `original_config`, the section as it is, to be written beside effects.

    Raises:
        ConfigError: An original key, data set or folder is not known, or a name is missing.

    Example:
        ```python
        >>> from tasks.rate.original_keys import apply_original_keys
        >>> apply_original_keys({"smoke_test": True, "rewrites": {"dataset_name": "imdb_sentiment"}}, "create")["attribute"]
        'sentiment'

        ```
    """
    if stage not in STAGES:
        raise ValueError(f"`stage` must be one of {', '.join(STAGES)}, got {stage!r}")
    for name in _SECTION_KEYS:
        _check_section(name, config.get(name))
    section = {key: value for key, value in (config.get(SECTIONS[stage]) or {}).items() if value is not None}
    found: dict[str, Any] = {}
    if section:
        found = {"create": _create, "score": _score, "effects": _effects}[stage](section)
    resolved = {key: value for key, value in config.items() if key not in ORIGINAL_KEYS}
    given = {key for key, value in resolved.items() if value is not None and value != (defaults or {}).get(key)}
    if "dataset" in given:  # other data have another layout, perhaps, and not this name
        given |= {"layout", "split", "name"}
    resolved |= {key: value for key, value in found.items() if key not in given}
    if config.get("smoke_test") and stage != "effects":
        rows = CREATED_ROWS if stage == "create" else SCORED_ROWS
        resolved["limit"] = rows if resolved.get("limit") is None else min(rows, resolved["limit"])
    return resolved


def original_arguments(argv: Sequence[str]) -> list[str]:
    """
    A command line of the original, `script.py --config FILE`, as one of Sacred: `script.py with FILE`. Others stay.

    Args:
        argv (`Sequence[str]`): `sys.argv`.

    Returns:
        `list[str]`: For [`tasks.experiment.run_experiment`].

    Raises:
        SystemExit: `--config` is given without a file, or there is no such file. It is looked for in the working folder
            and, as the original does, in the repository.

    Example:
        ```python
        >>> from tasks.rate.original_keys import original_arguments
        >>> original_arguments(["score.py", "with", "limit=10"])
        ['score.py', 'with', 'limit=10']

        ```
    """
    arguments, files = [], []
    rest = iter(argv)
    for argument in rest:
        if argument == "--config" or argument.startswith("--config="):
            name = next(rest, "") if argument == "--config" else argument.removeprefix("--config=")
            files.append(_config_file(name))
        else:
            arguments.append(argument)
    if not files:
        return arguments
    if "with" not in arguments:
        return [*arguments, "with", *files]
    at = arguments.index("with") + 1
    return [*arguments[:at], *files, *arguments[at:]]


def _config_file(name: str) -> str:
    if not name:
        raise SystemExit("--config needs a file: --config FILE")
    for folder in (Path(), Path(__file__).resolve().parents[2]):
        if (folder / name).is_file():
            return str(folder / name)
    raise SystemExit(f"--config {name}: there is no such file, here or in the repository")


def _check_section(name: str, section: Any) -> None:
    if section is None:
        return
    if not isinstance(section, Mapping):
        raise ConfigError(f"config key {name!r} must be a dict, got {section!r}")
    for key, value in section.items():
        if key not in _SECTION_KEYS[name]:
            close = difflib.get_close_matches(str(key), _SECTION_KEYS[name], n=1)
            hint = f" Did you mean {name}.{close[0]}?" if close else ""
            raise ConfigError(
                f"unknown config key '{name}.{key}'; the original has {', '.join(_SECTION_KEYS[name])}.{hint}"
            )
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"config key '{name}.{key}' must be a text, got {value!r}")


def _needed(section: Mapping[str, str], name: str, keys: Sequence[str]) -> None:
    for key in keys:
        if key not in section:
            raise ConfigError(f"set '{name}.{key}' too: the original needs {', '.join(keys)}")


def _create(section: Mapping[str, str]) -> dict[str, Any]:
    name = section["dataset_name"]
    if name not in DATASETS:
        close = difflib.get_close_matches(name, DATASETS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ConfigError(
            f"config key 'rewrites.dataset_name' must be one of {', '.join(DATASETS)}, got {name!r}.{hint} For others, set "
            "`dataset` and `attribute`."
        )
    return DATASETS[name] | {"name": name}


def _score(section: Mapping[str, str]) -> dict[str, Any]:
    _needed(section, "scoring", ("model", "dataset_filename"))
    folder = section.get("dataset_folder", "rewrites")
    if folder not in _SCORING_FOLDERS:
        raise ConfigError(
            f"config key 'scoring.dataset_folder' must be one of {', '.join(_SCORING_FOLDERS)}, got {folder!r}"
        )
    model = MODELS.get(section["model"], {"model": section["model"]})
    found = {**model, "original_file": str(Path("data", folder, section["dataset_filename"]))}
    name = section.get("dataset_name")
    found |= {} if name is None else {"name": name}
    return found | ({"attribute": DATASETS[name]["attribute"]} if name in DATASETS else {})


def _effects(section: Mapping[str, str]) -> dict[str, Any]:
    _needed(section, "effects", ("dataset_filename",))
    found: dict[str, Any] = {
        "original_file": str(Path("data", "scored", section.get("dataset_folder", ""), section["dataset_filename"])),
        "reward_key": section.get("reward_key", "reward"),
        "step_keys": [section.get(key, default) for key, default in _STEP_KEYS.items()],
        "original_config": dict(section),
    }
    ours = {"dataset_name": "name", "concept": "attribute", "score": "score_name"}
    return found | {ours[key]: value for key, value in section.items() if key in ours}
