"""The pairs of `tasks/find_mislabels.py`, and which of their labels are known to be wrong."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from tasks.rapl.lie_data import load_lie_preferences
from trl_ext.data import load_demo_preferences, load_preferences
from trl_ext.data.checks import missing_column
from trl_ext.data.loading import set_column
from trl_ext.mislabels import pair_rows, plant_errors


def load_pairs(config: Mapping[str, Any]) -> tuple[Dataset, np.ndarray | None]:
    """
    The pairs, with errors planted if asked for, and 1 for every label that is wrong (`None` if that is not known).

    Where the truth is known, an exchanged wrong label is a right one. Where it isn't, the planted errors are the wrong ones:
    the labels may have had others before, which then count as right.

    Raises:
        ValueError, TypeError: If a file or column is missing or has bad values; the message names it.
    """
    truth = config["truth_col_name"]
    if config["train_data_path"] == "demo":
        data, truth = load_demo_preferences(seed=config["seed"])["train"], truth or "correct_chosen"
        if (config["demo_labels"] or ("true" if config["planted_errors"] else "annotators")) == "true":
            data = label_truly(data)
    else:
        data = read_pairs(config["train_data_path"], config)
    size = config["train_dataset_size"]
    if 0 < size < len(data):
        data = data.shuffle(seed=config["seed"]).select(range(size))
    pair_rows(data, config["annotator_col_name"], config["group_col_name"])
    wrong = None if truth is None else _wrong(data, truth)
    if config["planted_errors"]:
        data = plant_errors(data, config["planted_errors"], config["seed"])
        planted = np.array(data["planted"])
        wrong = planted if wrong is None else wrong ^ planted
        if truth is not None:
            data = set_column(data, truth, 1 - wrong)
    return data, wrong


def read_pairs(path: str, config: Mapping[str, Any]) -> Dataset:
    """Pairs from a file, a directory or the Hub, with our column names; LIE files as they come."""
    if Path(path).name.startswith("LIE_"):
        return load_lie_preferences(path)
    names = {ours: config[f"{ours}_col_name"] for ours in ("prompt", "chosen", "rejected")}
    return load_preferences(path, columns={ours: theirs for ours, theirs in names.items() if ours != theirs})


def label_truly(data: Dataset) -> Dataset:
    """The demo pairs with the better answer as `chosen` everywhere, without what belongs to the label they had."""
    rows = data.remove_columns(["confidence", "decision_time", "committed", "reliability"]).to_list()
    for row in rows:
        if not row["correct_chosen"]:
            for name in ("chosen", "rejected"), ("chosen_type", "rejected_type"):
                row[name[0]], row[name[1]] = row[name[1]], row[name[0]]
            row["correct_chosen"] = 1
    return Dataset.from_list(rows)


def _wrong(data: Dataset, truth: str) -> np.ndarray:
    if truth not in data.column_names:
        raise ValueError(missing_column("train dataset", truth, data.column_names))
    values = list(data[truth])
    bad = [row for row, value in enumerate(values) if value not in (0, 1)]
    if bad:
        raise ValueError(
            f"train dataset: column '{truth}' has {len(bad)} values other than 0 and 1; first: row {bad[0]}, value "
            f"{values[bad[0]]!r}. It must be 1 where the label is right."
        )
    return 1 - np.array(values, dtype=np.int64)
