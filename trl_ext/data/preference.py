"""Validation of preference data, once, before a model loads."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, Json, LargeList, List

from .checks import Checker, check_is_dataset, counted, is_blank, is_list, is_string, missing_column, shorten
from .messages import check_messages, identical_messages


logger = logging.getLogger(__name__)

# Numeric columns of a preference row -> closed range. NaN and infinite values are never allowed.
PREFERENCE_COLUMNS: dict[str, tuple[float, float]] = {
    "reliability": (0.0, 1.0),
    "weight": (0.0, math.inf),
    "margin": (-math.inf, math.inf),
    "label": (0.0, 1.0),
    "eta": (0.0, 1.0),
    "beta": (0.0, math.inf),
    "p": (0.0, 1.0),
}

IDENTICAL_POLICIES = ("error", "drop", "keep")

_TEXT_COLUMNS = ("prompt", "chosen", "rejected")
_ID_COLUMNS = ("chosen_ids", "rejected_ids")
_TEXT, _MESSAGES = "text", "lists of messages"
_OUT_OF_RANGE_FIXES = {"reliability": 'If these are raw annotator metrics, set reliability_kind="raw".'}


def is_tokenized(dataset: Dataset) -> bool:
    """Whether `dataset` has the columns that tokenisation adds."""
    return all(column in dataset.column_names for column in _ID_COLUMNS)


def _remove_rows(column: str) -> str:
    if column == "prompt":
        return "Remove these rows; if `chosen` and `rejected` contain the prompt, remove the column."
    return "Remove these rows."


def _kind(value: Any) -> str:
    names = {str: _TEXT, list: _MESSAGES}
    return names.get(type(value), f"{type(value).__name__} values")


def _check_kind(checker: Checker, column: str) -> str:
    """Check that a column holds only text or only lists. Returns which."""
    missing = checker.rows(pa.Array.is_null, column)
    if len(missing):
        checker.fail(column, "missing (None)", missing, fix=_remove_rows(column))
    feature, dtype = checker.dataset.features[column], checker.arrow_type(column)
    if isinstance(feature, Json):  # how `datasets` stores values whose type differs from row to row
        kinds = [_kind(value) for value in checker.values(column)]
        others = [row for row, kind in enumerate(kinds) if kind != kinds[0]]
        if others:
            rule = f"of another kind ({kinds[others[0]]}) than row 0 ({kinds[0]})"
            checker.fail(
                column, rule, others, fix=f"Use one kind in all rows: {_TEXT} or {_MESSAGES}.", error=TypeError
            )
        kind = kinds[0]
    elif isinstance(feature, (List, LargeList)):
        has_messages = isinstance(feature.feature, (dict, Json)) or pa.types.is_null(dtype.value_type)
        kind = _MESSAGES if has_messages else f"lists of {dtype.value_type}"
    else:
        kind = _TEXT if is_string(dtype) else f"{dtype} values"
    if kind not in (_TEXT, _MESSAGES):
        fix = "Allowed: str, or a list of {'role': ..., 'content': ...}."
        checker.fail(column, f"that are not {_TEXT} or {_MESSAGES} but {kind}", fix=fix, error=TypeError)
    return kind


def _check_same_kind(checker: Checker, kinds: Mapping[str, str]) -> None:
    for column, kind in kinds.items():
        if kind != kinds["chosen"]:
            raise TypeError(
                f"{checker.name}: column '{column}' holds {kind} but column 'chosen' holds {kinds['chosen']}; "
                f"{checker.first_row(0)}, value {shorten(checker.values(column, [0])[0])}. Use one kind in {', '.join(kinds)}."
            )


def _check_text(checker: Checker, column: str) -> None:
    if is_string(checker.arrow_type(column)) and not isinstance(checker.dataset.features[column], Json):
        blank = checker.rows(is_blank, column)
    else:
        blank = [row for row, text in enumerate(checker.values(column)) if not text.strip()]
    if len(blank):
        checker.fail(column, "that are empty or only whitespace", blank, noun="text", fix=_remove_rows(column))


def _has_no_id(ids: pa.Array) -> pa.Array:
    return pc.fill_null(pc.equal(pc.list_value_length(ids), 0), True)


def _has_a_bad_id(ids: pa.Array) -> np.ndarray:
    is_good = pc.fill_null(pc.greater_equal(ids.flatten(), 0), False).to_numpy(zero_copy_only=False)
    bad = np.zeros(len(ids), dtype=bool)
    bad[pc.list_parent_indices(ids).to_numpy()[~is_good]] = True
    return bad


def _check_ids(checker: Checker, column: str) -> None:
    dtype = checker.arrow_type(column)
    item = dtype.value_type if is_list(dtype) else None
    if pa.types.is_null(dtype) or item is not None and pa.types.is_null(item):
        checker.fail(column, "without a token id (empty list or None)", noun="list")
    if item is None or not pa.types.is_integer(item):
        checker.fail(column, f"that are not lists of token ids (int) but {dtype}", error=TypeError)
    empty = checker.rows(_has_no_id, column)
    if len(empty):
        checker.fail(column, "without a token id (empty list or None)", empty, noun="list")
    bad = checker.rows(_has_a_bad_id, column)
    if len(bad):
        checker.fail(column, "with token ids that are negative or None", bad, noun="list")


def _is_missing(array: pa.Array) -> pa.Array:
    missing = pc.is_null(array, nan_is_null=True)
    return pc.or_kleene(missing, is_blank(array)) if is_string(array.type) else missing


def _check_required(checker: Checker, column: str) -> None:
    missing = checker.rows(_is_missing, column)
    if len(missing):
        checker.fail(column, "missing (None, NaN or empty)", missing, fix="Fill them in, or remove these rows.")


def _is_number(text: str | None) -> bool:
    try:
        float(text)
    except (TypeError, ValueError):
        return False
    return True


def _describe_range(low: float, high: float) -> tuple[str, str]:
    """What a value outside of the range is, and what is allowed."""
    if math.isinf(low) and math.isinf(high):
        return "outside the finite numbers", "finite numbers"
    if math.isinf(high):
        return f"below {low:g}", f"finite numbers >= {low:g}"
    if math.isinf(low):
        return f"above {high:g}", f"finite numbers <= {high:g}"
    return f"outside [{low:g}, {high:g}]", f"numbers in [{low:g}, {high:g}]"


def _check_numeric(checker: Checker, column: str, low: float, high: float) -> None:
    dtype = checker.arrow_type(column)
    rule, allowed = _describe_range(low, high)
    allowed = f"Allowed: {allowed}."
    cast = f"{allowed} Convert them: dataset.cast_column('{column}', datasets.Value('float64'))."
    if pa.types.is_boolean(dtype):
        checker.fail(column, "that are true or false, not numbers", fix=cast, error=TypeError)
    if is_string(dtype):
        words = [row for row, value in enumerate(checker.values(column)) if not _is_number(value)]
        if words:
            checker.fail(column, "that are text, not numbers", words, fix=allowed, error=TypeError)
        checker.fail(column, "that are numbers written as text", fix=cast, error=TypeError)
    is_number = pa.types.is_integer(dtype) or pa.types.is_floating(dtype)
    if not (is_number or pa.types.is_null(dtype)):
        checker.fail(column, f"that are not numbers but {dtype}", fix=allowed, error=TypeError)

    missing = checker.rows(_is_missing, column)
    if len(missing):
        fix = f"{allowed} Fill them in, or remove these rows."
        checker.fail(column, "missing (None or NaN)", missing, fix=fix)
    infinite = checker.rows(lambda array: np.isinf(array.to_numpy(zero_copy_only=False)), column)
    if len(infinite):
        checker.fail(column, "that are infinite", infinite, fix=allowed)

    def is_outside(array: pa.Array) -> np.ndarray:
        values = array.to_numpy(zero_copy_only=False)
        return (values < low) | (values > high)

    outside = checker.rows(is_outside, column)
    if len(outside):
        checker.fail(column, rule, outside, fix=_OUT_OF_RANGE_FIXES.get(column, allowed))


def _is_same_text(chosen: pa.Array, rejected: pa.Array) -> pa.Array:
    return pc.equal(chosen, rejected.cast(chosen.type))


def validate_preferences(
    dataset: Dataset,
    *,
    name: str = "train",
    numeric_columns: Mapping[str, tuple[float, float]] | None = None,
    required_columns: Sequence[str] = (),
    identical: str = "error",
) -> Dataset:
    r"""
    Check preference data before anything expensive happens.

    Errors name the dataset, the column, the number of bad rows, the first of them (with its `id` if there is an `id`
    column), its value and the rule. Data that is tokenised already (`chosen_ids`, `rejected_ids`) is checked for
    lists of token ids; its texts are not looked at.

    Args:
        dataset ([`~datasets.Dataset`]):
            Preference rows: `chosen` and `rejected`, optionally `prompt`; all text, or all lists of messages.
        name (`str`, *optional*, defaults to `"train"`):
            Name of the dataset in error messages.
        numeric_columns (`Mapping[str, tuple[float, float]]`, *optional*):
            Columns that must hold finite numbers, with their closed ranges; [`PREFERENCE_COLUMNS`] has those of the
            known columns. Numeric columns that are not listed are not looked at.
        required_columns (`Sequence[str]`, *optional*, defaults to `()`):
            Further columns that must exist and have a value in every row, whatever its type.
        identical (`str`, *optional*, defaults to `"error"`):
            What to do with pairs whose `chosen` and `rejected` are the same, from which nothing can be learnt:
            `"error"`, `"drop"` (the number is logged as a warning) or `"keep"`.

    Returns:
        [`~datasets.Dataset`]:
            `dataset`, without identical pairs if `identical="drop"`.

    Raises:
        `ValueError`:
            Missing columns, no rows, missing, empty, identical or out-of-range values, bad messages.
        `TypeError`:
            `dataset` is not a [`~datasets.Dataset`], or a column holds another type than it must.

    Example:
        ```python
        >>> from datasets import Dataset
        >>> from trl_ext.data import PREFERENCE_COLUMNS, validate_preferences

        >>> pairs = Dataset.from_dict({"chosen": ["4"], "rejected": ["5"], "reliability": [1.2], "id": ["q4-a2"]})
        >>> validate_preferences(pairs, numeric_columns={"reliability": PREFERENCE_COLUMNS["reliability"]})
        Traceback (most recent call last):
            ...
        ValueError: train dataset: column 'reliability' has 1 value outside [0, 1]; first: row 0 (id 'q4-a2'), value
        1.2. If these are raw annotator metrics, set reliability_kind="raw".
        ```
    """
    if identical not in IDENTICAL_POLICIES:
        raise ValueError(f"`identical` must be one of {', '.join(IDENTICAL_POLICIES)}, got {identical!r}")
    name = f"{name} dataset"
    check_is_dataset(dataset, name)
    checker = Checker(dataset, name)
    tokenized = is_tokenized(dataset)
    numeric_columns = numeric_columns or {}
    needed = [*(() if tokenized else ("chosen", "rejected")), *required_columns, *numeric_columns]
    for column in needed:
        if column not in dataset.column_names:
            raise ValueError(missing_column(name, column, dataset.column_names))
    if len(dataset) == 0:
        raise ValueError(f"{name} has no rows; its columns are {', '.join(map(repr, dataset.column_names))}.")

    if tokenized:
        for column in _ID_COLUMNS:
            _check_ids(checker, column)
    else:
        kinds = {c: _check_kind(checker, c) for c in _TEXT_COLUMNS if c in dataset.column_names}
        _check_same_kind(checker, kinds)
        for column, kind in kinds.items():
            (check_messages if kind == _MESSAGES else _check_text)(checker, column)
    for column in required_columns:
        _check_required(checker, column)
    for column, (low, high) in numeric_columns.items():
        _check_numeric(checker, column, low, high)
    if tokenized or identical == "keep":
        return dataset

    if kinds["chosen"] == _MESSAGES:
        rows = identical_messages(checker)
    else:
        rows = checker.rows(_is_same_text, "chosen", "rejected")
    if len(rows) == 0:
        return dataset
    if identical == "error":
        fix = "Nothing can be learnt from such a pair: remove these rows."
        checker.fail("rejected", "identical to column 'chosen'", rows, fix=fix)
    if len(rows) == len(dataset):
        raise ValueError(
            f"{name}: column 'rejected' is identical to column 'chosen' in all {counted(len(rows), 'row')}."
        )
    logger.warning("%s: dropped %s whose chosen and rejected are identical", name, counted(len(rows), "pair"))
    return dataset.select(np.setdiff1d(np.arange(len(dataset)), rows))
