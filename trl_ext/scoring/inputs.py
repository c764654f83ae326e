"""Rows of files, read as they are needed."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from datasets import Dataset

from ..data.checks import shorten
from ..data.readers import FILE_TYPES, Unreadable, read_file, reason
from .groups import Group, groups_from_rows


_ROWS_PER_BATCH = 1024
_READ_BYTES = 1 << 20


def check_input(path: Path) -> None:
    """Raise a `ValueError` unless `path` is a file of a known type."""
    if path.suffix.lower() not in FILE_TYPES:
        raise ValueError(f"{path}: files of type '{path.suffix}' are not known; known are {', '.join(FILE_TYPES)}")
    if not path.is_file():
        raise ValueError(f"{path}: there is no such file")
    if path.stat().st_size == 0:
        raise ValueError(f"{path}: the file is empty")


def read_rows(path: Path, columns: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Rows of a file: line by line (`.jsonl`), in batches (`.parquet`), or read at once (`.csv`, `.json`)."""
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        yield from _read_lines(path)
        return
    try:
        if suffix == ".parquet":
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(_ROWS_PER_BATCH):
                    # as a Dataset, which knows how `datasets` stored messages of different shapes
                    yield from Dataset(pa.Table.from_batches([batch])).to_list()
        else:
            yield from read_file(path, columns)
    except (Unreadable, pa.ArrowException) as error:
        raise ValueError(f"can't read {path}: {reason(error)}") from error


def _read_lines(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open("rb") as file:
        for number, encoded in enumerate(file, start=1):
            try:
                line = encoded.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise ValueError(f"{path}, line {number} is not UTF-8: {error}") from error
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number} is not JSON ({error}): {shorten(line)}") from error
            if not isinstance(row, dict):
                raise ValueError(f"{path}, line {number} is not an object with a value per column: {shorten(line)}")
            yield row


def read_groups(path: Path, columns: Mapping[str, str], allow_empty: bool = False) -> Iterator[Group]:
    """Groups of the rows of a file. Responses may be empty with `allow_empty`."""
    return groups_from_rows(read_rows(path, columns), str(path), columns, allow_empty)


def hash_file(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def count_rows(path: Path) -> int | None:
    """Number of rows of a file, blank lines of a JSONL file included; `None` if that takes reading it whole."""
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return pq.read_metadata(path).num_rows
    if suffix != ".jsonl":
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_READ_BYTES), b""))
