"""Data of benchmarks, read as they are from the Hub, files, folders or memory."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from datasets import Dataset, DatasetDict, concatenate_datasets, load_dataset, load_from_disk

from ...data.readers import FILE_TYPES, Unreadable, read_file, reason


logger = logging.getLogger(__name__)

Source = str | Path | Dataset | DatasetDict

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
# How files of the Hub are called: filtered-00000-of-00001.parquet, with or without a hash behind
_SHARD = re.compile(r"(?P<split>.+)-\d{5}-of-\d{5}(-[0-9a-f]+)?")
# Files that lie beside data and describe it
_NOT_DATA = ("dataset_info.json", "dataset_infos.json")


def source_name(source: Source) -> str:
    """How errors call a source."""
    if isinstance(source, (Dataset, DatasetDict)):
        return f"{type(source).__name__} in memory"
    return f"'{source}'"


def read_benchmark_data(source: Source, *, split: str | None = None, default_split: str | None = None) -> Dataset:
    """
    Rows of a source, with all its columns.

    Args:
        source (`str` or `Path` or [`~datasets.Dataset`] or [`~datasets.DatasetDict`]):
            See [`read_splits`].
        split (`str`, *optional*):
            Split to read.
        default_split (`str`, *optional*):
            Split to read if none is asked for and the source has it among others.

    Returns:
        [`~datasets.Dataset`]: If no split is asked for and there are several, all of them, one after the other, with
        the name of each row's in a column `split` (unless the data has one).

    Raises:
        `ValueError`: The source can't be read or is empty, or has no such split. A line that is not JSON is named.
        `TypeError`: `source` is of another type.
    """
    splits = read_splits(source, split=split)
    if split is None and default_split in splits:
        split = default_split
    if split is not None:
        return splits[split]
    if len(splits) == 1:
        return next(iter(splits.values()))
    logger.info("%s: its %d splits are read together: %s", source_name(source), len(splits), ", ".join(splits))
    parts = [
        rows if "split" in rows.column_names else rows.add_column("split", [name] * len(rows))
        for name, rows in splits.items()
    ]
    return _concatenate(parts, source, "splits", splits)


def read_splits(source: Source, *, split: str | None = None) -> dict[str, Dataset]:
    """
    All splits of a source, or one.

    Args:
        source (`str` or `Path` or [`~datasets.Dataset`] or [`~datasets.DatasetDict`]):
            Data in memory; a `.parquet`, `.json`, `.jsonl` or `.csv` file; a folder of `save_to_disk`, or of such files
            (there or in its folder `data`; a split is what the files before `-00000-of-00001` are called); or the id of
            a dataset on the Hub. What exists on disk is taken from there.
        split (`str`, *optional*):
            The one to read.

    Returns:
        `dict[str, Dataset]`: Splits by name, none empty. A file is a split that is called as the file.
    """
    if not isinstance(source, (str, Path, Dataset, DatasetDict)) or source == "":
        raise TypeError(
            "`source` must be a Hub id, the path of a file or folder, a datasets.Dataset or a DatasetDict, got "
            f"{type(source).__name__}: {source!r}"
        )
    try:
        splits = dict(_read(source, split))
        if split is not None and split not in splits:
            raise Unreadable(f"it has no split {split!r}; its splits are {', '.join(map(repr, splits))}")
        chosen = splits if split is None else {split: splits[split]}
        empty = [name for name, rows in chosen.items() if not len(rows)]
        if empty:
            raise Unreadable("it has no rows" if len(chosen) == 1 else f"its splits {', '.join(empty)} have no rows")
    except (Unreadable, OSError, UnicodeError) as error:
        raise ValueError(f"can't read benchmark data from {source_name(source)}: {reason(error)}") from error
    return chosen


def _read(source: Source, split: str | None) -> Mapping[str, Dataset]:
    if isinstance(source, DatasetDict):
        return source
    if isinstance(source, Dataset):
        return {str(source.split or "train"): source}
    path = Path(source).expanduser()
    if path.is_dir():
        return _read_folder(path)
    if path.exists() or isinstance(source, Path) or path.suffix.lower() in FILE_TYPES:
        return {_split_of(path): read_file(path, {})}
    if not _HUB_ID.fullmatch(str(source)):
        raise Unreadable(
            "there is no such file or folder, and it is not the id of a dataset on the Hub ('owner/name')"
        )
    return _read_hub(str(source), split)


def _split_of(path: Path) -> str:
    match = _SHARD.fullmatch(path.stem)
    return match["split"] if match else path.stem


def _read_folder(path: Path) -> Mapping[str, Dataset]:
    if (path / "dataset_dict.json").exists() or (path / "state.json").exists():
        try:
            saved = load_from_disk(str(path))
        except Exception as error:  # whatever `datasets` raises on a damaged folder: the reason is in the message
            raise Unreadable(reason(error)) from error
        return saved if isinstance(saved, DatasetDict) else {str(saved.split or "train"): saved}
    for folder in (path, path / "data"):
        files = [
            file
            for file in sorted(folder.glob("*"))
            if file.is_file() and file.suffix.lower() in FILE_TYPES and file.name not in _NOT_DATA
        ]
        if files:
            break
    else:
        found = sorted(entry.name for entry in path.iterdir())
        raise Unreadable(
            f"the folder was not written by save_to_disk and has no files of the types {', '.join(FILE_TYPES)}; it has "
            f"{', '.join(found[:8]) or 'nothing'}"
        )
    shards: dict[str, list[Dataset]] = {}
    for file in files:
        try:
            rows = read_file(file, {})
        except (Unreadable, UnicodeError) as error:
            raise Unreadable(f"{file.name}: {reason(error)}") from error
        shards.setdefault(_split_of(file), []).append(rows)
    return {name: _concatenate(parts, path, "files of split", [name]) for name, parts in shards.items()}


def _read_hub(repository: str, split: str | None) -> Mapping[str, Dataset]:
    try:
        if split is not None:
            return {split: load_dataset(repository, split=split)}
        return load_dataset(repository)
    except Exception as error:  # hub, network, configuration and format errors have no common base
        raise Unreadable(f"there is no such path here, and loading it from the Hub failed: {reason(error)}") from error


def _concatenate(parts: list[Dataset], source: Source, what: str, names) -> Dataset:
    if len(parts) == 1:
        return parts[0]
    try:
        return concatenate_datasets(parts)
    except (ValueError, pa.ArrowException) as error:
        raise ValueError(
            f"{source_name(source)}: the {what} {', '.join(names)} have different columns ({reason(error)}). Read one of "
            "them with split=..., or give them the same columns."
        ) from error
