"""Preference data from wherever they are: memory, a file, a saved dataset, or the Hub."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from datasets import Dataset, DatasetDict, load_dataset, load_from_disk


_SUFFIXES = (".csv", ".json", ".jsonl", ".parquet")
_HUB_ID = re.compile(r"^[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.\[\]%-]+)?$")


def rename_columns(dataset: Dataset, columns: Mapping[str, str], name: str = "data") -> Dataset:
    """
    Give columns the names that are used here.

    Args:
        dataset ([`~datasets.Dataset`]):
            Data.
        columns (`dict[str, str]`):
            Name in the data, keyed by the name used here.
        name (`str`, *optional*):
            What to call the data in messages.

    Raises:
        ValueError: If a column is missing, or a column with the new name would be lost.
    """
    columns = {ours: theirs for ours, theirs in columns.items() if ours != theirs}
    for ours, theirs in columns.items():
        if theirs not in dataset.column_names:
            close = difflib.get_close_matches(theirs, dataset.column_names, n=1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise ValueError(
                f"{name}: column '{theirs}' (for '{ours}') is missing; the columns are "
                f"{', '.join(dataset.column_names)}.{hint}"
            )
        if ours in dataset.column_names and ours not in columns.values():
            raise ValueError(
                f"{name}: '{theirs}' is to be used as '{ours}', but there is another column '{ours}'. Rename or remove it."
            )
    return dataset.rename_columns({theirs: ours for ours, theirs in columns.items()})


def _read_file(path: Path) -> Dataset:
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"'{path}': unknown file type '{path.suffix}'; known are {', '.join(_SUFFIXES)}")
    try:
        if path.suffix == ".csv":
            # Only an empty cell of a number is missing; an empty text stays a text, and is refused as such later
            frame = pd.read_csv(path, float_precision="round_trip", encoding="utf-8")
            texts = frame.select_dtypes(exclude="number").columns
            frame[texts] = frame[texts].fillna("")
        elif path.suffix == ".parquet":
            return Dataset.from_parquet(str(path))
        else:
            frame = pd.read_json(path, lines=path.suffix == ".jsonl", convert_dates=False, dtype=False)
    except Exception as error:  # readers raise whatever their parser raises; the path and reason are what helps
        raise ValueError(f"'{path}' cannot be read: {type(error).__name__}: {error}") from error
    if frame.empty:
        raise ValueError(f"'{path}' is empty: it has no rows")
    return Dataset.from_pandas(frame, preserve_index=False)


def _pick_split(splits: DatasetDict, split: str | None, source: str) -> Dataset:
    if split is None and len(splits) == 1:
        return next(iter(splits.values()))
    split = "train" if split is None else split
    if split not in splits:
        raise ValueError(f"'{source}' has no split '{split}'; the splits are {', '.join(splits)}")
    return splits[split]


def _read_directory(path: Path, split: str | None) -> Dataset:
    if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
        loaded = load_from_disk(str(path))
        return _pick_split(loaded, split, str(path)) if isinstance(loaded, DatasetDict) else loaded
    files = sorted(path.glob("*.parquet"))
    if not files:
        raise ValueError(f"'{path}' holds neither a dataset written by save_to_disk nor Parquet files")
    return Dataset.from_parquet([str(file) for file in files])


def load_preferences(
    source: str | Path | Dataset | DatasetDict | pd.DataFrame,
    *,
    split: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Dataset:
    """
    Load preference data.

    Args:
        source (`str`, `Path`, [`~datasets.Dataset`], [`~datasets.DatasetDict`] or [`~pandas.DataFrame`]):
            Data in memory; a `.csv`, `.json`, `.jsonl` or `.parquet` file; a directory written by `save_to_disk` or one
            of Parquet files; or a Hub id, `owner/name` or `owner/name:split`.
        split (`str`, *optional*):
            Split to take where there are several. Defaults to `"train"`.
        columns (`dict[str, str]`, *optional*):
            Name in the data, keyed by the name used here, e.g. `{"chosen": "response_a"}`.

    Returns:
        [`~datasets.Dataset`]: The rows, columns renamed. They are validated by the trainer, or with
        [`~trl_ext.data.validate_preferences`].

    Raises:
        ValueError: If the source is missing, unreadable or empty, or a column is missing; it names path and reason.

    Example:
        ```python
        >>> load_preferences("pairs.csv", columns={"reliability": "p_correct"})
        ```
    """
    if isinstance(source, Dataset):
        dataset = source
    elif isinstance(source, DatasetDict):
        dataset = _pick_split(source, split, "the dataset")
    elif isinstance(source, pd.DataFrame):
        dataset = Dataset.from_pandas(source, preserve_index=False)
    elif isinstance(source, str | Path):
        path = Path(source).expanduser()
        if path.is_dir():
            dataset = _read_directory(path, split)
        elif path.is_file():
            dataset = _read_file(path)
        elif path.suffix not in _SUFFIXES and isinstance(source, str) and _HUB_ID.match(source):
            dataset = _load_from_hub(source, split)
        else:
            raise ValueError(f"'{source}' is neither a file, nor a directory, nor a Hub id (owner/name)")
    else:
        raise TypeError(f"cannot load preferences from {type(source).__name__}")
    return rename_columns(dataset, columns or {}, name=source if isinstance(source, str) else "data")


def _load_from_hub(source: str, split: str | None) -> Dataset:
    repository, _, named = source.partition(":")
    try:
        loaded = load_dataset(repository, split=named or split)
    except Exception as error:  # a dozen exception types of three libraries; name the id and the reason
        raise ValueError(f"Hub dataset '{source}' cannot be loaded: {type(error).__name__}: {error}") from error
    return _pick_split(loaded, split, source) if isinstance(loaded, DatasetDict) else loaded
