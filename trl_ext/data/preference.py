"""The schema of preference data, checked once, before a model is loaded."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset


# Numeric columns that trainers and losses know, and the closed range of their values
PREFERENCE_COLUMNS: dict[str, tuple[float, float]] = {
    "reliability": (0.0, 1.0),
    "weight": (0.0, math.inf),
    "margin": (-math.inf, math.inf),
    "label": (0.0, 1.0),
    "eta": (0.0, 1.0),
    "beta": (0.0, math.inf),
    "p": (0.0, 1.0),
}

_HINTS = {
    "reliability": 'If these are raw annotator metrics, set reliability_kind="raw".',
}


def _row(dataset: Dataset, row: int) -> str:
    return f"row {row} (id {dataset['id'][row]!r})" if "id" in dataset.column_names else f"row {row}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fail(dataset: Dataset, name: str, column: str, bad: np.ndarray, rule: str, hint: str = "") -> None:
    row = int(np.flatnonzero(bad)[0])
    value = dataset[column][row] if column in dataset.column_names else None
    raise ValueError(
        f"{name}: column '{column}' has {int(bad.sum())} of {len(dataset)} values that {rule}; "
        f"first: {_row(dataset, row)}, value {_shorten(value)}.{f' {hint}' if hint else ''}"
    )


def _missing(dataset: Dataset, name: str, column: str) -> ValueError:
    return ValueError(
        f"{name}: column '{column}' is missing; the columns are {', '.join(dataset.column_names) or 'none'}. If it has "
        f"another name, map it: columns={{'{column}': '<name in your data>'}}."
    )


def _column(dataset: Dataset, column: str) -> pa.ChunkedArray:
    return dataset.with_format("arrow")[:][column]


def _check_text(dataset: Dataset, name: str, column: str, may_be_empty: bool) -> None:
    values = _column(dataset, column)
    if values.null_count:
        _fail(dataset, name, column, pc.is_null(values).to_numpy(), "are missing (text expected)")
    if not may_be_empty:
        blank = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(values)), 0).to_numpy()
        if blank.any():
            _fail(dataset, name, column, blank, "are empty or blank text")


def _is_message_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(m, dict) and isinstance(m.get("role"), str) and m["role"] for m in value
    )


def _check_messages(dataset: Dataset, name: str, column: str, may_be_empty: bool) -> None:
    values = dataset[column]
    malformed = np.array([not _is_message_list(value) for value in values])
    if malformed.any():
        _fail(dataset, name, column, malformed, "are not lists of messages {'role': ..., 'content': ...}")
    if not may_be_empty:

        def blank(messages: list[dict]) -> bool:
            return not messages or not any(
                m.get("tool_calls") or str(m.get("content") or "").strip() for m in messages
            )

        empty = np.array([blank(value) for value in values])
        if empty.any():
            _fail(dataset, name, column, empty, "have no message with content")


def _kind(dataset: Dataset, name: str, column: str) -> str:
    values = _column(dataset, column)
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return "text"
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        return "messages"
    bad = np.ones(len(dataset), dtype=bool)
    _fail(dataset, name, column, bad, f"are {values.type}, neither text nor lists of messages")


def _check_ids(dataset: Dataset, name: str, column: str) -> None:
    values = _column(dataset, column)
    if not (pa.types.is_list(values.type) or pa.types.is_large_list(values.type)) or not pa.types.is_integer(
        values.type.value_type
    ):
        _fail(dataset, name, column, np.ones(len(dataset), dtype=bool), "are not lists of token ids")
    empty = pc.fill_null(pc.equal(pc.list_value_length(values), 0), True).to_numpy()
    if empty.any():
        _fail(dataset, name, column, empty, "are empty lists of token ids")


def _check_identical(dataset: Dataset, name: str, first: str, second: str) -> None:
    if _column(dataset, first).type == _column(dataset, second).type and pa.types.is_string(
        _column(dataset, first).type
    ):
        same = pc.equal(_column(dataset, first), _column(dataset, second)).to_numpy()
    else:
        same = np.array([a == b for a, b in zip(dataset[first], dataset[second], strict=True)])
    if same.any():
        _fail(dataset, name, second, same, f"are identical to '{first}': no preference can be learned from them")


def _check_number(dataset: Dataset, name: str, column: str, limits: tuple[float, float]) -> None:
    values = _column(dataset, column)
    if not (pa.types.is_integer(values.type) or pa.types.is_floating(values.type)):
        bad = np.ones(len(dataset), dtype=bool)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            # name the first value that is not even a number in disguise, if there is one
            disguised = np.array([_is_numeral(value) for value in dataset[column]])
            bad = bad if disguised.all() else ~disguised
        _fail(dataset, name, column, bad, f"are {values.type}, not numbers")
    numbers = values.cast(pa.float64()).to_numpy()
    bad = ~np.isfinite(numbers)
    if bad.any():
        _fail(dataset, name, column, bad, "are missing, NaN or infinite")
    low, high = limits
    bad = (numbers < low) | (numbers > high)
    if bad.any():
        left, right = "[" if math.isfinite(low) else "(", "]" if math.isfinite(high) else ")"
        hint = _HINTS.get(column, "") if limits == (0.0, 1.0) else ""
        _fail(dataset, name, column, bad, f"are outside {left}{low:g}, {high:g}{right}", hint)


def _is_numeral(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def validate_preferences(
    dataset: Dataset,
    *,
    name: str = "train",
    numeric_columns: Mapping[str, tuple[float, float]] | None = None,
) -> Dataset:
    """
    Check preference data.

    Args:
        dataset ([`~datasets.Dataset`]):
            Pairs with `chosen` and `rejected` (text or lists of messages), optionally `prompt`, or already tokenised with
            `chosen_ids` and `rejected_ids`.
        name (`str`, *optional*, defaults to `"train"`):
            What to call the dataset in messages.
        numeric_columns (`dict[str, tuple[float, float]]`, *optional*):
            Columns that must hold finite numbers, with the closed range of their values. Other columns are not looked at.

    Returns:
        [`~datasets.Dataset`]: The dataset, unchanged.

    Raises:
        ValueError: Naming the dataset, column, number of bad rows, first bad row with its `id`, value and rule.

    Example:
        ```python
        >>> validate_preferences(Dataset.from_dict({"chosen": ["4"], "rejected": [""]}))
        ValueError: train: column 'rejected' has 1 of 1 values that are empty or blank text; first: row 0, value ''.
        ```
    """
    if len(dataset) == 0:
        raise ValueError(f"{name}: the dataset is empty (no rows)")
    if {"chosen_ids", "rejected_ids"} <= set(dataset.column_names):
        for column in ("chosen_ids", "rejected_ids"):
            _check_ids(dataset, name, column)
        _check_identical(dataset, name, "chosen_ids", "rejected_ids")
    else:
        for column in ("chosen", "rejected"):
            if column not in dataset.column_names:
                raise _missing(dataset, name, column)
        present = [column for column in ("prompt", "chosen", "rejected") if column in dataset.column_names]
        kinds = {column: _kind(dataset, name, column) for column in present}
        if len(set(kinds.values())) > 1:
            described = ", ".join(f"'{column}' holds {kind}" for column, kind in kinds.items())
            raise ValueError(f"{name}: {described}; row 0 and all others need one kind: text, or lists of messages")
        check = _check_text if kinds["chosen"] == "text" else _check_messages
        for column in present:
            check(dataset, name, column, may_be_empty=column == "prompt")
        _check_identical(dataset, name, "chosen", "rejected")
    for column, limits in (numeric_columns or {}).items():
        if column not in dataset.column_names:
            raise _missing(dataset, name, column)
        _check_number(dataset, name, column, limits)
    return dataset
