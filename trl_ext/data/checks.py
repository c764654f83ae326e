"""Reading a dataset to check it, and wording what is wrong with it."""

import difflib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset, DatasetDict, IterableDataset, IterableDatasetDict


_ROWS_PER_CHUNK = 10_000
_WHOLE_VALUE = object()


def shorten(value: Any, width: int = 80) -> str:
    """`repr` of a value, cut to `width` characters."""
    text = repr(value)
    return text if len(text) <= width else text[: width - 3] + "..."


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def missing_column(
    name: str,
    column: str,
    columns: Collection[str],
    ours: str | None = None,
    *,
    why: str = "",
    taken: Collection[str] = (),
) -> str:
    """
    Message about a column that is not there.

    Args:
        name (`str`): What was searched, e.g. `"train dataset"`.
        column (`str`): The missing column.
        columns (`Collection[str]`): The columns that are there.
        ours (`str`, *optional*): Name the column was to get; `column` if not given.
        why (`str`, *optional*): Who needs it, after a comma.
        taken (`Collection[str]`, *optional*): Columns that have a meaning of their own, and are not meant.
    """
    ours = column if ours is None else ours
    close = difflib.get_close_matches(column, [other for other in columns if other not in taken], n=1)
    source = repr(close[0]) if close else "<name in the data>"
    return (
        f"{name} has no column '{column}'{f', {why}' if why else ''}; its columns are {', '.join(map(repr, columns)) or 'none'}."
        + (f" Did you mean {source}?" if close else "")
        + f" Say which one to use: columns={{'{ours}': {source}}}."
    )


def check_is_dataset(dataset: Any, name: str) -> None:
    """Raise a `TypeError` unless `dataset` is a [`~datasets.Dataset`]."""
    if isinstance(dataset, Dataset):
        return
    if isinstance(dataset, (DatasetDict, IterableDatasetDict)):
        raise TypeError(f"{name} is a {type(dataset).__name__} with splits {', '.join(dataset)}; pass one of them.")
    if isinstance(dataset, IterableDataset):
        raise TypeError(f"{name} is an IterableDataset, which can't be checked before it is read; pass a Dataset.")
    raise TypeError(
        f"{name} must be a datasets.Dataset, got {type(dataset).__name__}; trl_ext.data.load_preferences makes one of "
        "files and DataFrames."
    )


def is_string(dtype: pa.DataType) -> bool:
    return pa.types.is_string(dtype) or pa.types.is_large_string(dtype)


def is_list(dtype: pa.DataType) -> bool:
    return pa.types.is_list(dtype) or pa.types.is_large_list(dtype)


def is_blank(text: pa.Array) -> pa.Array:
    return pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)


class Checker:
    """
    A dataset under examination: finds rows that break a rule, and words the error.

    Args:
        dataset ([`~datasets.Dataset`]): Dataset to examine.
        name (`str`): How errors call it.
    """

    def __init__(self, dataset: Dataset, name: str):
        self.dataset = dataset
        self.name = name

    def arrow_type(self, column: str) -> pa.DataType:
        dtype = self.dataset.features.arrow_schema.field(column).type
        return dtype.storage_type if isinstance(dtype, pa.BaseExtensionType) else dtype

    def chunks(self, *columns: str) -> Iterator[tuple[int, list[pa.Array]]]:
        """Row offset and columns of every chunk; in chunks, because a `string` array ends at 2 GB."""
        selected = self.dataset.select_columns(list(columns)).with_format("arrow")
        for start in range(0, len(selected), _ROWS_PER_CHUNK):
            table = selected[start : start + _ROWS_PER_CHUNK].combine_chunks()
            arrays = [table.column(column).chunk(0) for column in columns]
            yield start, [array.storage if isinstance(array, pa.ExtensionArray) else array for array in arrays]

    def rows(self, rule: Callable[..., pa.Array | np.ndarray], *columns: str) -> np.ndarray:
        """Indices of the rows for which `rule(*arrays)` is true."""
        found = [np.empty(0, dtype=np.int64)]
        for start, arrays in self.chunks(*columns):
            mask = rule(*arrays)
            if isinstance(mask, pa.Array):
                mask = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
            found.append(start + np.flatnonzero(mask))
        return np.concatenate(found)

    def values(self, column: str, rows: Sequence[int] | np.ndarray | None = None) -> list[Any]:
        """Python values of a column."""
        dataset = self.dataset.select_columns([column]).with_format(None)
        return (dataset if rows is None else dataset.select(rows))[:][column]

    def first_row(self, row: int) -> str:
        row_id = f" (id {self.values('id', [row])[0]!r})" if "id" in self.dataset.column_names else ""
        return f"first: row {row}{row_id}"

    def fail(
        self,
        column: str,
        rule: str,
        rows: Sequence[int] | np.ndarray | None = None,
        *,
        fix: str = "",
        noun: str = "value",
        error: type[Exception] = ValueError,
        value: Any = _WHOLE_VALUE,
    ) -> NoReturn:
        """
        Raise `error`: `column` has values that break a rule.

        Args:
            column (`str`): Name of the column.
            rule (`str`): What is wrong, to be read after "has 3 values".
            rows (`Sequence[int]`, *optional*): Bad rows, the first of which is shown; all rows if not given.
            fix (`str`, *optional*): What to do about it.
            noun (`str`, *optional*, defaults to `"value"`): What the values are.
            error (`type`, *optional*, defaults to `ValueError`): Class of the error.
            value (*optional*): What to show instead of the whole value in the first bad row.
        """
        rows = range(len(self.dataset)) if rows is None else rows
        row = int(rows[0])
        value = self.values(column, [row])[0] if value is _WHOLE_VALUE else value
        raise error(
            f"{self.name}: column '{column}' has {counted(len(rows), noun)} {rule}; {self.first_row(row)}, value {shorten(value)}."
            + (f" {fix}" if fix else "")
        )
