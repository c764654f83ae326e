"""The TRUE dataset of Reliability-Aware Preference Learning: pairs of one right and one wrong answer, read from a clone.

It is where calibrators and models of P(annotator correct) are fitted, as it is known who was right. The original
repository states no licence: nothing of it is shipped here, and the functions read the files where the user has them.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tasks.rapl.lie_data import N_FOLDS, question_id
from tasks.rapl.tables import find_family, read_table, refuse_rows


# normalised column -> raw column
NORMALIZED_ARMS = {"decision_time": "raw_decision_time", "number_of_clicks": "raw_number_of_clicks"}
SPLITS = ("train", "val", "cal")

CONFIDENCE_LEVELS = (0.0, 1 / 3, 2 / 3, 1.0)
ANSWER_TYPES = ("correct", "incorrect")

_TEXT_COLUMNS = ("prompt", "choice1", "choice2", "prompt_response_group")
_TYPE_COLUMNS = ("choice1_type", "choice2_type", "chosen_type", "rejected_type")
_COLUMNS = (
    *_TEXT_COLUMNS,
    *_TYPE_COLUMNS,
    "IDs",
    "correct_chosen",
    "confidence_scores",
    *NORMALIZED_ARMS,
    *NORMALIZED_ARMS.values(),
)
# given on in this order where the file has them
_FEATURES = (
    "correct_chosen",
    "confidence_scores",
    "decision_time",
    "number_of_clicks",
    "raw_decision_time",
    "raw_number_of_clicks",
    "source",
    "dataset_name",
    "difficulty",
)
_SANITY_COLUMNS = ("question", "correct", "incorrect", "source", "prompt_response_group")


def prompt_response_group(prompt: str, response_a: str, response_b: str) -> str:
    r"""
    The text that shows both answers, as the models of P(annotator correct) read it.

    Args:
        prompt (`str`):
            Question with `"Human: "` in front.
        response_a (`str`):
            First answer.
        response_b (`str`):
            Second answer.

    Returns:
        `str`

    Example:
        ```python
        >>> prompt_response_group("Human: Why?", "Because.", "No idea.")
        'Human: Why?\n\nResponse A: Because.\n\nResponse B: No idea.'
        ```
    """
    return f"{prompt}\n\nResponse A: {response_a}\n\nResponse B: {response_b}"


def read_true_table(path: str | Path) -> pd.DataFrame:
    """
    Reads a TRUE file with its own columns, and checks what the functions here rely on.

    Args:
        path (`str` or `pathlib.Path`):
            `full_TRUE_dataset.csv`, a file of `no_repeats/` or one of `repeated_orders/`.

    Returns:
        `pandas.DataFrame`: the columns of the original; `correct_chosen` is bool.

    Raises:
        ValueError: a column is missing, or a value is not what the schema allows: answer types other than one `correct`
            and one `incorrect`, a `correct_chosen` that contradicts `chosen_type`, a confidence outside {0, 1/3, 2/3,
            1}, a negative or missing raw value, a repeated id, a `prompt_response_group` that is not the prompt and its
            answers.
    """
    frame = read_table(path, _COLUMNS, (*_TEXT_COLUMNS, *_TYPE_COLUMNS))
    for column in _TYPE_COLUMNS:
        refuse_rows(path, frame, column, ~frame[column].isin(ANSWER_TYPES), f"allowed are {list(ANSWER_TYPES)}")
    for one, other in (("choice1_type", "choice2_type"), ("chosen_type", "rejected_type")):
        refuse_rows(
            path, frame, other, frame[one] == frame[other], f"it must differ from {one}: one answer is correct"
        )
    refuse_rows(path, frame, "correct_chosen", ~frame["correct_chosen"].isin([0, 1]), "allowed are True and False")
    frame["correct_chosen"] = frame["correct_chosen"].astype(bool)
    contradiction = frame["correct_chosen"] != (frame["chosen_type"] == "correct")
    refuse_rows(path, frame, "correct_chosen", contradiction, "it contradicts chosen_type")
    far = np.abs(frame["confidence_scores"].to_numpy()[:, None] - CONFIDENCE_LEVELS).min(axis=1)
    # negated, so that NaN is refused
    refuse_rows(path, frame, "confidence_scores", ~(far < 1e-9), "allowed are 0, 1/3, 2/3 and 1")
    for column in NORMALIZED_ARMS.values():
        raw = frame[column]
        refuse_rows(path, frame, column, ~(np.isfinite(raw) & (raw >= 0)), "it must be a finite number of at least 0")
    keys = ["IDs", "ordering"] if "ordering" in frame else ["IDs"]
    refuse_rows(path, frame, "IDs", frame.duplicated(keys).to_numpy(), "ids must be unique")
    texts = [
        prompt_response_group(*row) for row in zip(frame["prompt"], frame["choice1"], frame["choice2"], strict=True)
    ]
    refuse_rows(
        path,
        frame,
        "prompt_response_group",
        frame["prompt_response_group"].to_numpy() != np.array(texts, dtype=object),
        "it must be the prompt, 'Response A: ' with choice1 and 'Response B: ' with choice2",
    )
    return frame


def double_order(frame: pd.DataFrame) -> pd.DataFrame:
    """
    Every item twice: all items as they are (`ordering` 1), then all with answers A and B swapped (`ordering` 2). The
    files of `repeated_orders/` are this, of those of `no_repeats/`.

    What the annotator did (choice, confidence, time, clicks) belongs to the order the annotator saw; the second half
    repeats it. So the two rows of an item are one observation: cluster by `IDs`.

    Args:
        frame (`pandas.DataFrame`):
            Rows of the original, from [`read_true_table`] or [`~tasks.rapl.scale_data.read_scale_true_table`].

    Returns:
        `pandas.DataFrame`: twice the rows, with the column `ordering` at the end.
    """
    if "ordering" in frame:
        raise ValueError("the rows have a column 'ordering' already: they come from repeated_orders/")
    swapped = frame.assign(
        choice1=frame["choice2"],
        choice2=frame["choice1"],
        choice1_type=frame["choice2_type"],
        choice2_type=frame["choice1_type"],
        prompt_response_group=[
            prompt_response_group(*row)
            for row in zip(frame["prompt"], frame["choice2"], frame["choice1"], strict=True)
        ],
    )
    return pd.concat([frame.assign(ordering=1), swapped.assign(ordering=2)], ignore_index=True)


def to_true_frame(frame: pd.DataFrame) -> pd.DataFrame:
    """
    The names of this package for a table of the original.

    Args:
        frame (`pandas.DataFrame`):
            Rows of [`read_true_table`] or [`double_order`].

    Returns:
        `pandas.DataFrame`: `id` (the original `IDs`; the same for both orders of an item), `question_id` (hash of the
        question: the cluster), `ordering` (1 as the annotator saw it, 2 swapped), `prompt` (starts with `"Human: "`),
        `response_a`, `response_b`, `prompt_response_group`, `chosen_response` (`"a"` or `"b"`), `correct_chosen`
        (bool), and the reliability metrics and sources the table has.
    """
    columns = {
        "id": frame["IDs"],
        "question_id": frame["prompt"].map(question_id),
        "ordering": frame["ordering"] if "ordering" in frame else 1,
        "prompt": frame["prompt"],
        "response_a": frame["choice1"],
        "response_b": frame["choice2"],
        "prompt_response_group": frame["prompt_response_group"],
        "chosen_response": np.where(frame["chosen_type"] == frame["choice1_type"], "a", "b"),
        **{name: frame[name] for name in _FEATURES if name in frame},
    }
    return pd.DataFrame(columns).reset_index(drop=True)


def true_split_path(root: str | Path, split: str, fold: int | Literal["full"] = 0, family: str = "TRUE") -> Path:
    """
    Path of a file of `no_repeats/`. The calibration split of fold i has the items of the validation split of fold i + 1
    (modulo 5), so pooling folds mixes them.

    Args:
        root (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains `TRUE/`, or `TRUE/` itself.
        split (`"train"`, `"val"` or `"cal"`):
            Which part: to train on, to choose by, or to calibrate on.
        fold (`int` or `"full"`, *optional*, defaults to `0`):
            From 0 to 4, or `"full"` for the split of the final model: 1000 items to train and 150 to calibrate on.
        family (`"TRUE"` or `"scale_TRUE"`, *optional*, defaults to `"TRUE"`):
            One annotator per item, or three.

    Returns:
        `pathlib.Path`
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {list(SPLITS)}, got {split!r}")
    if fold == "full":
        if split == "val":
            raise ValueError("the full split has no 'val' part; its parts are 'train' and 'cal'")
        name = f"single_full_dataset_{split}.csv"
    elif fold in range(N_FOLDS):
        name = f"{split}_single_{fold}.csv"
    else:
        raise ValueError(f'fold must be from 0 to {N_FOLDS - 1} or "full", got {fold!r}')
    prefix = "scale_" if family == "scale_TRUE" else ""
    return find_family(root, family, "no_repeats") / "no_repeats" / (prefix + name)


def load_true_split(
    root: str | Path, split: str = "train", fold: int | Literal["full"] = 0, repeated_orders: bool = False
) -> pd.DataFrame:
    """
    Reads a split of TRUE.

    Args:
        root (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains `TRUE/`, or `TRUE/` itself.
        split (`"train"`, `"val"` or `"cal"`, *optional*, defaults to `"train"`):
            Which part: to train on (690 items), to choose by (230), or to calibrate on (230).
        fold (`int` or `"full"`, *optional*, defaults to `0`):
            From 0 to 4, or `"full"` for the split of the final model: 1000 items to train and 150 to calibrate on.
        repeated_orders (`bool`, *optional*, defaults to `False`):
            Give every item twice, see [`double_order`]. Built from `no_repeats/`, so that the file of
            `repeated_orders/`, which is missing in some copies, is not needed.

    Returns:
        `pandas.DataFrame`: see [`to_true_frame`].
    """
    frame = read_true_table(true_split_path(root, split, fold))
    return to_true_frame(double_order(frame) if repeated_orders else frame)


def load_full_true(root: str | Path) -> pd.DataFrame:
    """All 1150 items, see [`to_true_frame`]. The metrics are normalised by the range of all items, not of a split."""
    return to_true_frame(read_true_table(find_family(root, "TRUE", "no_repeats") / "full_TRUE_dataset.csv"))


def load_true_sanity_check(root: str | Path) -> pd.DataFrame:
    """
    Reads the 25 questions of rising difficulty (ARC-Easy, ARC-Challenge, MMLU, HLE) on which a model of P(annotator
    correct) should fall.

    Returns:
        `pandas.DataFrame`: `id` (row number), `question_id`, `question`, `correct`, `incorrect`, `source`,
        `prompt_response_group`.
    """
    path = find_family(root, "TRUE", "no_repeats") / "sanity_check_dataset.csv"
    frame = read_table(path, _SANITY_COLUMNS, _SANITY_COLUMNS)
    ids = {"id": range(len(frame)), "question_id": frame["question"].map(question_id)}
    return pd.DataFrame({**ids, **{name: frame[name] for name in _SANITY_COLUMNS}})
