"""The scale_LIE and scale_TRUE datasets of Reliability-Aware Preference Learning: the same questions, three annotators per
pair, read from a clone.

Their `decision_time` is **not inverted**: high is slow, opposite to LIE and TRUE (see `trl_ext.reliability.arms`).
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tasks.rapl.lie_data import N_FOLDS
from tasks.rapl.survey_tables import find_family, read_table, refuse_rows
from tasks.rapl.true_data import (
    ANSWER_TYPES,
    double_order,
    prompt_response_group,
    to_true_frame,
    true_split_path,
)
from trl_ext.evaluation.biases.lie import RESPONSE_KINDS
from trl_ext.reliability.normalizers import MinMaxNormalizer


CONFIDENCE_LEVELS = (1 / 7, 3 / 7, 5 / 7, 1.0)

_TEXT_COLUMNS = ("prompt", "choice1", "choice2")
_TYPE_COLUMNS = ("choice1_type", "choice2_type", "chosen_type", "rejected_type")
_NUMBERS = ("IDs", "correct_chosen", "confidence_scores", "raw_decision_time", "decision_time")
_GROUPS = ("prompt_response_group_1", "prompt_response_group_2")
_CALIBRATED = ("TRUE_calibrated_confidence", "TRUE_calibrated_decision_time")


def _read_scale_table(path: str | Path, types: tuple[str, ...], columns: tuple[str, ...]) -> pd.DataFrame:
    texts = (*_TEXT_COLUMNS, *_TYPE_COLUMNS)
    frame = read_table(path, (*texts, *_NUMBERS, "vote", *columns), texts)
    for column in _TYPE_COLUMNS:
        refuse_rows(path, frame, column, ~frame[column].isin(types), f"allowed are {list(types)}")
    refuse_rows(path, frame, "vote", ~frame["vote"].isin(["choice1", "choice2"]), "allowed are choice1 and choice2")
    voted = frame["choice1_type"].where(frame["vote"] == "choice1", frame["choice2_type"])
    refuse_rows(path, frame, "chosen_type", frame["chosen_type"] != voted, "it must be the type of the voted choice")
    refuse_rows(path, frame, "correct_chosen", ~frame["correct_chosen"].isin([0, 1]), "allowed are 0 and 1")
    far = np.abs(frame["confidence_scores"].to_numpy()[:, None] - CONFIDENCE_LEVELS).min(axis=1)
    # negated, so that NaN is refused
    refuse_rows(path, frame, "confidence_scores", ~(far < 1e-9), "allowed are 1/7, 3/7, 5/7 and 1")
    raw = frame["raw_decision_time"]
    refuse_rows(
        path, frame, "raw_decision_time", ~(np.isfinite(raw) & (raw >= 0)), "it must be a number of at least 0"
    )
    keys = ["IDs", "ordering"] if "ordering" in frame else ["IDs"]
    refuse_rows(path, frame, "IDs", frame.duplicated(keys).to_numpy(), "ids must be unique")
    frame["correct_chosen"] = frame["correct_chosen"].astype(bool)
    return frame


def read_scale_lie_table(path: str | Path) -> pd.DataFrame:
    """Reads a `scale_LIE_{train,val}_{fold}.csv` with its own columns, checked; `correct_chosen` is bool."""
    return _read_scale_table(path, RESPONSE_KINDS, (*_GROUPS, *_CALIBRATED))


def read_scale_true_table(path: str | Path) -> pd.DataFrame:
    """Reads a scale_TRUE file with its own columns, checked; `correct_chosen` is bool."""
    return _read_scale_table(path, ANSWER_TYPES, ("accuracy",))


def load_scale_lie_split(root: str | Path, split: Literal["train", "val"] = "train", fold: int = 0) -> pd.DataFrame:
    """
    Reads a split of scale_LIE.

    `correct_chosen` differs from LIE: of two answers that are both correct or both incorrect, the concise one counts as
    correct. `TRUE_calibrated_confidence` and `TRUE_calibrated_decision_time` are given on as shipped: they cannot be
    derived from the shipped files.

    Args:
        root (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains `scale_LIE/`, or `scale_LIE/` itself.
        split (`"train"` or `"val"`, *optional*, defaults to `"train"`):
            800 or 200 pairs.
        fold (`int`, *optional*, defaults to `0`):
            From 0 to 4.

    Returns:
        `pandas.DataFrame`: see [`~tasks.rapl.true_data.to_true_frame`]; `decision_time` is high for **slow**. Of both
        orders of the answers, `prompt_response_group` shows the first.
    """
    if split not in ("train", "val"):
        raise ValueError(f"split must be 'train' or 'val', got {split!r}")
    if fold not in range(N_FOLDS):
        raise ValueError(f"fold must be from 0 to {N_FOLDS - 1}, got {fold!r}")
    path = find_family(root, "scale_LIE", "folds") / "folds" / f"scale_LIE_{split}_{fold}.csv"
    frame = read_scale_lie_table(path)
    renamed = to_true_frame(frame.rename(columns={"prompt_response_group_1": "prompt_response_group"}))
    return pd.concat([renamed, frame[["type_pair", *_CALIBRATED]]], axis=1)


def load_scale_true_split(
    root: str | Path, split: str = "train", fold: int | Literal["full"] = 0, repeated_orders: bool = False
) -> pd.DataFrame:
    """
    Reads a split of scale_TRUE, see [`~tasks.rapl.true_data.load_true_split`]. There are no clicks; `decision_time` is
    high for **slow**; `accuracy`, the share of the three annotators who were right, is a soft label.

    Args:
        root (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains `scale_TRUE/`, or `scale_TRUE/` itself.
        split (`"train"`, `"val"` or `"cal"`, *optional*, defaults to `"train"`):
            Which part.
        fold (`int` or `"full"`, *optional*, defaults to `0`):
            From 0 to 4, or `"full"`.
        repeated_orders (`bool`, *optional*, defaults to `False`):
            Give every item twice, with A and B swapped.

    Returns:
        `pandas.DataFrame`: see [`~tasks.rapl.true_data.to_true_frame`], and `accuracy`.
    """
    frame = read_scale_true_table(true_split_path(root, split, fold, "scale_TRUE"))
    if "prompt_response_group" not in frame:
        rows = zip(frame["prompt"], frame["choice1"], frame["choice2"], strict=True)
        frame["prompt_response_group"] = [prompt_response_group(*row) for row in rows]
    frame = double_order(frame) if repeated_orders else frame
    return pd.concat([to_true_frame(frame), frame[["accuracy"]]], axis=1)


def normalize_scale_decision_time(*splits: pd.DataFrame) -> tuple[np.ndarray, ...]:
    """
    `decision_time` as the original made it: plain min-max over **all** pairs (training and validation together), not
    inverted.

    Args:
        *splits (`pandas.DataFrame`):
            The splits that make up all pairs, with `raw_decision_time`.

    Returns:
        `tuple` of `numpy.ndarray` of shape `(N,)`: one per split, high for slow.
    """
    everything = np.concatenate([split["raw_decision_time"] for split in splits])
    normalizer = MinMaxNormalizer.fit(everything, "decision_time", high_is_reliable=False, high_means_reliable=False)
    return tuple(normalizer.transform(split["raw_decision_time"]) for split in splits)
