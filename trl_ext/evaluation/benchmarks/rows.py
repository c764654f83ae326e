"""Rows of benchmarks: their checks, and the columns that all benchmarks have."""

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, Features, Json, List, Value, concatenate_datasets

from ...data.checks import shorten
from .base import ROW_COLUMNS
from .texts import EmptyText, Messages, common_prompt, read_conversation


logger = logging.getLogger(__name__)

EMPTY = ("error", "drop", "keep")


@dataclass(frozen=True)
class Row:
    """
    A row of a benchmark.

    Args:
        id (`str`):
            Identifier.
        subset (`str`):
            Subset.
        prompt (`list[dict]`):
            Messages.
        responses (`list[str]`):
            Responses, the right ones first.
        num_correct (`int`):
            How many are right.
        cluster (`str`, *optional*):
            What it shares with rows that are not independent of it. By default the prompt.
    """

    id: str
    subset: str
    prompt: Messages
    responses: list[str]
    num_correct: int
    cluster: str | None = None


def check_columns(data: Dataset, needed: tuple[str, ...], name: str) -> None:
    """Raise a `ValueError` unless `data` has the columns."""
    missing = [column for column in needed if column not in data.column_names]
    if missing:
        raise ValueError(
            f"{name} lacks the columns {', '.join(map(repr, missing))}; it has {', '.join(map(repr, data.column_names))}"
        )


def row_label(row: Mapping[str, Any], index: int, name: str) -> str:
    """How errors call a row."""
    return f"{name}, row {index}" + (f" (id {row['id']!r})" if row.get("id") not in (None, "") else "")


def text_of(row: Mapping[str, Any], column: str, where: str) -> str:
    """A text or number of a row as text; a `ValueError` if there is none."""
    value = row.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
        raise ValueError(f"{where}: column '{column}' must hold text or a whole number, got {shorten(value)}")
    return str(value)


def read_pair(row: Mapping[str, Any], where: str, identifier: str, subset: str, allow_empty: bool) -> Row:
    """Row of a chosen and a rejected response, texts or conversations."""
    answers, implicit = [], {}
    for column in ("chosen", "rejected"):
        implicit[column], answer = read_conversation(row[column], f"{where}: column '{column}'", allow_empty)
        answers.append(answer)
    return Row(identifier, subset, common_prompt(row.get("prompt"), implicit, where), answers, 1)


def make_rows(
    data: Dataset,
    name: str,
    read_row: Callable[[dict[str, Any], int, str], Row],
    *,
    used: tuple[str, ...],
    empty: str = "error",
) -> Dataset:
    """
    The checked dataset of a benchmark.

    Args:
        data ([`~datasets.Dataset`]):
            Rows as they were read.
        name (`str`):
            How errors call the source.
        read_row (`Callable`):
            Makes a [`Row`] of a row, its index and what errors call it; raises what is wrong with it.
        used (`tuple[str, ...]`):
            Columns whose content is in the row's own columns, and which are not kept beside them.
        empty (`str`, *optional*, defaults to `"error"`):
            What happens to rows with an empty prompt or response: `"error"`; `"drop"`, which logs their number; or
            `"keep"`, which `read_row` has to do, for empty responses.

    Returns:
        [`~datasets.Dataset`]: `ROW_COLUMNS`, and the columns of `data` that are not `used`.
    """
    data = data.with_format(None)
    rows, kept, dropped = [], [], []
    for index, values in enumerate(data):
        where = row_label(values, index, name)
        try:
            rows.append(read_row(values, index, where))
            kept.append(index)
        except EmptyText as error:
            if empty != "drop":
                keeps = "prompts can't be kept" if empty == "keep" else "empty='keep' keeps empty responses"
                raise ValueError(f"{error}. Such rows are left out with the option empty='drop'; {keeps}.") from None
            dropped.append(str(error))
    if dropped:
        logger.warning("%d of %d rows are left out, first: %s", len(dropped), len(data), dropped[0])
    if not rows:
        raise ValueError(f"{name}: all of its {len(data)} rows have an empty prompt or response")
    ids = _unique_ids(rows, kept, name)
    clusters = _clusters(rows, ids)
    plain = all(
        message.keys() == {"role", "content"} and isinstance(message["content"], str)
        for row in rows
        for message in row.prompt
    )
    message = {"role": Value("string"), "content": Value("string")} if plain else Json()
    text = Value("string")
    types = (text, text, List(message), List(text), Value("int64"), text)
    own = Dataset.from_dict(
        {
            "id": ids,
            "subset": [row.subset for row in rows],
            "prompt": [row.prompt for row in rows],
            "responses": [row.responses for row in rows],
            "num_correct": [row.num_correct for row in rows],
            "cluster": clusters,
        },
        features=Features(dict(zip(ROW_COLUMNS, types, strict=True))),
    )
    others = [column for column in data.column_names if column not in (*ROW_COLUMNS, *used)]
    if not others:
        return own
    rest = data.select_columns(others)
    rest = rest.select(kept) if dropped else rest
    return concatenate_datasets([own, rest], axis=1)


def _unique_ids(rows: list[Row], kept: list[int], name: str) -> list[str]:
    """Ids of the rows; where subsets count from 0 each, with the subset before them."""
    ids = [row.id for row in rows]
    if len(set(ids)) == len(ids):
        return ids
    qualified = [f"{row.subset}/{row.id}" for row in rows]
    first: dict[str, int] = {}
    for position, identifier in enumerate(qualified):
        if identifier in first:
            row = rows[position]
            raise ValueError(
                f"{name}: rows {kept[first[identifier]]} and {kept[position]} of subset {row.subset!r} have the same id "
                f"{row.id!r}; ids must be unique"
            )
        first[identifier] = position
    return qualified


def _clusters(rows: list[Row], ids: list[str]) -> list[str]:
    """Of rows without a cluster, the id of the first row with the same prompt."""
    first: dict[str, str] = {}
    return [
        first.setdefault(json.dumps(row.prompt, sort_keys=True), identifier) if row.cluster is None else row.cluster
        for row, identifier in zip(rows, ids, strict=True)
    ]


def check_option(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """Raise a `ValueError` unless `value` is one of `allowed`."""
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
