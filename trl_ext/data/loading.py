"""Loading of preference data from memory, files, directories and the Hub."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset, DatasetDict, IterableDataset, load_dataset, load_from_disk
from numpy.typing import ArrayLike

from .checks import missing_column, shorten
from .readers import FILE_TYPES, Unreadable, from_frame, read_file, reason


_HUB_ID = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(:(?P<split>.+))?")


def rename_columns(dataset: Dataset, columns: Mapping[str, str], *, name: str = "train") -> Dataset:
    r"""
    Give columns the names that trl_ext expects.

    Args:
        dataset ([`~datasets.Dataset`]):
            Dataset whose columns are to be renamed.
        columns (`Mapping[str, str]`):
            Our name -> name in the data. `{"chosen": "rejected", "rejected": "chosen"}` swaps two columns.
        name (`str`, *optional*, defaults to `"train"`):
            Name of the dataset in error messages.

    Returns:
        [`~datasets.Dataset`]:
            The dataset with renamed columns.
    """
    existing = dataset.column_names
    for ours, theirs in columns.items():
        if theirs not in existing:
            raise ValueError(missing_column(f"{name} dataset", theirs, existing, ours=ours))
    changes = {ours: theirs for ours, theirs in columns.items() if ours != theirs}
    for ours, theirs in changes.items():
        if ours in existing and ours not in changes.values():
            raise ValueError(
                f"{name} dataset: can't rename column '{theirs}' to '{ours}', because there is a column '{ours}' "
                f"already. Remove it (dataset.remove_columns('{ours}')) or rename it too."
            )
        users = [other for other, source in columns.items() if source == theirs]
        if len(users) > 1:
            raise ValueError(f"{name} dataset: column '{theirs}' can't be renamed to each of {', '.join(users)}.")
    return dataset.rename_columns({theirs: ours for ours, theirs in changes.items()}) if changes else dataset


def set_column(dataset: Dataset, name: str, values: ArrayLike) -> Dataset:
    """
    Add a column, in place of one of that name if there is one.

    Args:
        dataset ([`~datasets.Dataset`]): N rows.
        name (`str`): Name of the column.
        values (`array_like` of shape `(N,)`): Its values.
    """
    if name in dataset.column_names:
        dataset = dataset.remove_columns(name)
    return dataset.add_column(name, values)


def load_preferences(
    source: Dataset | DatasetDict | pd.DataFrame | str | Path,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    r"""
    Load preference data.

    Values are kept as they are written: text that looks like a date or a number stays text, an empty CSV cell in a
    text column is an empty text, and a column that mixes kinds of values is refused. Whether the rows can be trained
    on is the business of [`validate_preferences`].

    Args:
        source ([`~datasets.Dataset`], [`~datasets.DatasetDict`], `pandas.DataFrame`, `str` or `Path`):
            Data in memory; a `.csv`, `.json` (a list of rows, or a row per line), `.jsonl` or `.parquet` file; a
            directory written by `save_to_disk` or that holds parquet files; or a dataset of the Hub, `"owner/name"` or
            `"owner/name:split"`. What exists on disk is taken from there.
        split (`str`, *optional*):
            Split to load. Needed if there are several.
        columns (`Mapping[str, str]`, *optional*):
            Columns to rename: our name -> name in the data. In CSV files, columns named `prompt`, `chosen`,
            `rejected`, `id`, `annotator_id` and `source_*` by then are text; others are numbers if all of their
            cells are numbers or empty.

    Returns:
        [`~datasets.Dataset`]:
            The rows.

    Raises:
        `ValueError`:
            The source can't be read or is empty, a split or column is not there, or a name is taken already.
        `TypeError`:
            `source` is of another type.

    Example:
        ```python
        >>> from trl_ext.data import load_preferences

        >>> load_preferences("lie.csv", columns={"chosen": "response_a", "rejected": "response_b"})
        >>> load_preferences("trl-lib/ultrafeedback_binarized:train")
        ```
    """
    if isinstance(source, IterableDataset):
        raise TypeError("preferences can't be loaded from an IterableDataset; pass it to the trainer as it is")
    columns = columns or {}
    dataset = load_rows(source, split=split, columns=columns)
    return rename_columns(dataset, columns, name=source_name(source))


def source_name(source: Dataset | DatasetDict | pd.DataFrame | str | Path) -> str:
    """How errors call a source of rows."""
    return f"'{source}'" if isinstance(source, (str, Path)) else f"{type(source).__name__} in memory"


def load_rows(
    source: Dataset | DatasetDict | pd.DataFrame | str | Path,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
    what: str = "preferences",
) -> Dataset:
    """
    Rows of any kind, as [`load_preferences`] reads them, with their columns as they are named in the source.

    Args:
        source ([`~datasets.Dataset`], [`~datasets.DatasetDict`], `pandas.DataFrame`, `str` or `Path`): As there.
        split (`str`, *optional*): Split to load. Needed if there are several.
        columns (`Mapping[str, str]`, *optional*): Our name -> name in the source: tells which columns of CSV are text.
        what (`str`, *optional*, defaults to `"preferences"`): What errors call the rows.
    """
    name = source_name(source)
    known = (Dataset, DatasetDict, pd.DataFrame, str, Path)
    if not isinstance(source, known) or (isinstance(source, str) and not source):
        raise TypeError(
            "`source` must be a Dataset, a DatasetDict, a pandas DataFrame, a path or a Hub id 'owner/name', got "
            f"{source!r}"
        )
    try:
        dataset = _read(source, split, columns or {})
        if len(dataset) == 0:
            raise Unreadable("it has no rows")
    except (Unreadable, OSError, UnicodeError) as error:
        raise ValueError(f"can't load {what} from {name}: {reason(error)}") from error
    return dataset


def _read(source: Any, split: str | None, columns: Mapping[str, str]) -> Dataset:
    if isinstance(source, DatasetDict):
        return _pick_split(source, split)
    if isinstance(source, (Dataset, pd.DataFrame)):
        dataset = source if isinstance(source, Dataset) else from_frame(source)
        return _whole(dataset, split)

    path = Path(source)
    if path.is_dir():
        return _read_directory(path, split)
    if path.exists() or path.suffix.lower() in FILE_TYPES or isinstance(source, Path):
        return _whole(read_file(path, columns), split)
    match = _HUB_ID.fullmatch(source)
    if match is None:
        raise Unreadable(
            "there is no such file or directory, and it is not a Hub id ('owner/name' or 'owner/name:split')"
        )
    if split is not None and match["split"] is not None and split != match["split"]:
        raise Unreadable(f"it names split '{match['split']}', but split='{split}'")
    return _read_hub(match["repo"], split or match["split"])


def _pick_split(splits: Mapping[str, Dataset], split: str | None) -> Dataset:
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    if split not in splits:
        problem = "it has several splits" if split is None else f"it has no split '{split}'"
        raise Unreadable(f"{problem}; choose one with split=...: {', '.join(map(repr, splits))}")
    return splits[split]


def _whole(dataset: Dataset, split: str | None) -> Dataset:
    # "train", as `datasets` calls what is not split
    if split not in (None, "train", str(dataset.split)):
        raise Unreadable(f"it is not divided into splits, so there is no split '{split}'")
    return dataset


def _read_directory(path: Path, split: str | None) -> Dataset:
    try:
        if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
            saved = load_from_disk(str(path))
        elif any(path.rglob("*.parquet")):
            saved = load_dataset("parquet", data_dir=str(path))
        else:
            found = sorted(entry.name for entry in path.iterdir())
            raise Unreadable(
                "the directory was not written by save_to_disk and holds no parquet files; it holds "
                f"{shorten(found) if found else 'nothing'}"
            )
    except Unreadable:
        raise
    except Exception as error:  # whatever the builders of `datasets` raise: the reason is in the message
        raise Unreadable(reason(error)) from error
    return _pick_split(saved, split) if isinstance(saved, DatasetDict) else _whole(saved, split)


def _read_hub(repo: str, split: str | None) -> Dataset:
    try:
        if split is not None:
            return load_dataset(repo, split=split)
        splits = load_dataset(repo)
    except Exception as error:  # hub, network, configuration and format errors have no common base
        raise Unreadable(f"there is no such path here, and loading it from the Hub failed: {reason(error)}") from error
    return _pick_split(splits, None)
