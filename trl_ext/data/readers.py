"""Readers of files and DataFrames that keep values as they are written."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset, Features, Json, List
from datasets.features.features import generate_from_arrow_type

from .checks import shorten


FILE_TYPES = (".csv", ".json", ".jsonl", ".parquet")

# Columns of a CSV file that stay text if all of their cells happen to be numbers
_CSV_TEXT_COLUMNS = (
    "prompt",
    "chosen",
    "rejected",
    "id",
    "prompt_id",
    "annotator_id",
    "source_chosen",
    "source_rejected",
)


class Unreadable(ValueError):
    """Reason why a source can't be read, without the name of the source."""


def reason(error: BaseException) -> str:
    """What went wrong at first, in one line or a few."""
    while error.__cause__ is not None and not isinstance(error, Unreadable):
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    return text if isinstance(error, (Unreadable, OSError)) else f"{type(error).__name__}: {text}"


def read_file(path: Path, columns: Mapping[str, str]) -> Dataset:
    """Read a file. `columns` (our name -> name in the file) tells which columns of a CSV file are text."""
    if not path.exists():
        raise Unreadable("there is no such file")
    suffix = path.suffix.lower()
    if suffix not in FILE_TYPES:
        raise Unreadable(f"files of type '{suffix}' are not known; known are {', '.join(FILE_TYPES)}")
    if path.stat().st_size == 0:
        raise Unreadable("the file is empty")
    if suffix == ".parquet":
        try:
            return Dataset(pq.read_table(path))
        except pa.ArrowException as error:
            raise Unreadable(reason(error)) from error
    return _read_csv(path, columns) if suffix == ".csv" else _read_json(path)


def _read_csv(path: Path, columns: Mapping[str, str]) -> Dataset:
    try:
        # The header is read as a row, because pandas takes surplus cells of a row for an index otherwise
        cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise Unreadable(reason(error)) from error
    header, frame = cells.iloc[0].tolist(), cells.iloc[1:].reset_index(drop=True)
    if any(not isinstance(column, str) or not column for column in header):
        # pandas and R write row numbers under an empty name
        if header[0] != "" or any(not isinstance(column, str) or not column for column in header[1:]):
            raise Unreadable(f"the header has a column without a name: {shorten(header)}")
        header[0] = "index"
    _check_unique(header)
    frame.columns = header
    texts = {columns.get(column, column) for column in _CSV_TEXT_COLUMNS}
    for column in frame.columns.difference(list(texts)):
        frame[column] = _as_numbers(frame[column])
    return from_frame(frame)


def _as_numbers(cells: pd.Series) -> pd.Series:
    """Numbers (empty cells become NaN) if all cells are numbers or empty, else the cells as they are."""
    filled = cells.str.strip() != ""
    if not filled.any():
        return cells
    numbers = pd.to_numeric(cells[filled], errors="coerce")
    not_a_number = numbers.isna() & (cells[filled].str.strip().str.lower() != "nan")
    return cells if not_a_number.any() else numbers.reindex(cells.index)


def _read_json(path: Path) -> Dataset:
    # Not by `Dataset.from_json`: it makes timestamps of texts that look like dates, and floats of true and false
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise Unreadable(f"line {line} is not UTF-8: {error}") from error
    if text.lstrip().startswith("["):
        try:
            rows = json.loads(text)
        except json.JSONDecodeError as error:
            raise Unreadable(f"it is not JSON: {error}") from error
    else:
        rows = []
        for number, line in enumerate(text.split("\n"), start=1):
            if not line.strip():
                continue
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise Unreadable(f"line {number} is not JSON ({error}): {shorten(line)}") from error
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise Unreadable(f"row {number} is not an object with a value per column: {shorten(row)}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _from_columns({name: [row.get(name) for row in rows] for name in names})


def from_frame(frame: pd.DataFrame) -> Dataset:
    """Dataset of the columns of a DataFrame, without its index."""
    _check_unique(list(frame.columns))
    for column in frame.columns:
        if frame[column].dtype == object:
            _check_one_kind(column, frame[column])
    try:
        return Dataset.from_pandas(frame.rename(columns=str), preserve_index=False)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        raise Unreadable(reason(error)) from error


def _from_columns(columns: Mapping[str, list[Any]]) -> Dataset:
    features = {}
    for column, values in columns.items():
        _check_one_kind(column, values)
        try:
            features[column] = _infer_feature(values)
        except (pa.ArrowException, OverflowError) as error:
            raise Unreadable(f"column '{column}': {reason(error)}") from error
    return Dataset.from_dict(dict(columns), features=Features(features))


def _infer_feature(values: list[Any]) -> Any:
    # As JSON, dicts keep the keys they have: as Arrow structs, they'd get all keys of the column, with None
    if any(isinstance(value, dict) for value in values):
        return Json()
    try:
        return generate_from_arrow_type(pa.array(values).type)
    except pa.ArrowException:
        # Messages of different shapes. Not `on_mixed_types="use_json"`: it makes a number of the content "6"
        if all(isinstance(item, dict) for value in values for item in value or ()):
            return List(Json())
        raise


def _check_unique(names: Sequence[Any]) -> None:
    repeated = sorted({str(name) for name in names if list(names).count(name) > 1})
    if repeated:
        raise Unreadable(f"column names occur more than once: {', '.join(map(repr, repeated))}")


def _kind(value: Any) -> str | None:
    if value is None or value is pd.NA or isinstance(value, (float, np.floating)) and np.isnan(value):
        return None
    if isinstance(value, (bool, np.bool_)):
        return "true or false"
    if isinstance(value, (int, float, np.number)):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, (list, tuple, np.ndarray)) else f"a {type(value).__name__}"


def _check_one_kind(column: Any, values: Sequence[Any] | pd.Series) -> None:
    first_kind = None
    for row, value in enumerate(values):
        kind = _kind(value)
        if first_kind is None:
            first_kind = kind
        elif kind not in (None, first_kind):
            raise Unreadable(
                f"column '{column}' mixes kinds of values: {first_kind} in the rows before, but row {row} holds {kind}, "
                f"{shorten(value)}"
            )
