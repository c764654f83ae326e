"""The rows that `tasks/rapl/llm_arms.py` asks about."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.rapl.lie_data import read_full_train, to_preferences
from tasks.rapl.published_llm_arms import is_informative
from tasks.train_config import ConfigError
from trl_ext.data import load_demo_preferences, load_preferences, validate_preferences


DEMO_ROWS = 4


def load_rows(config: Mapping[str, Any]) -> tuple[str, Dataset]:
    """
    Name and rows of the data, with our column names.

    Raises:
        ConfigError: The data can't be read, is not valid, or ids are missing or not unique.
    """
    name, rows = _read(config)
    try:
        validate_preferences(rows, name=name, required_columns=("id",))
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error
    ids = [str(value) for value in rows["id"]]
    if len(set(ids)) < len(ids):
        first = next(value for row, value in enumerate(ids) if value in ids[:row])
        raise ConfigError(f"{name}: {len(ids) - len(set(ids))} ids occur more than once; the first: {first!r}")
    for key in ("correctness_col_name", "group_col_name", "calibration_split_col_name"):
        if config[key] is not None and config[key] not in rows.column_names:
            raise ConfigError(
                f"{key}={config[key]!r} is no column of the data, which has {', '.join(map(repr, rows.column_names))}"
            )
    return name, rows


def _read(config: Mapping[str, Any]) -> tuple[str, Dataset]:
    limit = config["max_rows"]
    try:
        if config["lie_data_dir"] is not None:
            return "lie", _first(_lie(config), limit)
        if config["data_path"] == "demo":
            rows = load_demo_preferences(seed=config["demo_seed"])[config["demo_split"]]
            return "demo", _first(rows, DEMO_ROWS if limit is None else limit)
        names = {ours: config[f"{ours}_col_name"] for ours in ("prompt", "chosen", "rejected", "id")}
        columns = {ours: theirs for ours, theirs in names.items() if ours != theirs}
        return Path(config["data_path"]).stem, _first(load_preferences(config["data_path"], columns=columns), limit)
    except (ValueError, OSError) as error:
        raise ConfigError(str(error)) from error


def _lie(config: Mapping[str, Any]) -> Dataset:
    pairs = read_full_train(config["lie_data_dir"])
    rows = to_preferences(pairs)
    # Between two right or two wrong responses, `correct_chosen` says nothing about the annotator
    known = np.where(is_informative(pairs), pairs["correct_chosen"].astype(float), np.nan)
    return rows.remove_columns("correct_chosen").add_column("correct_chosen", known)


def _first(rows: Dataset, limit: int | None) -> Dataset:
    return rows if limit is None else rows.select(range(min(limit, len(rows))))
