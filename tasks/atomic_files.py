"""Files of any kind that are complete or absent, and none of an earlier run."""

import json
from collections.abc import Callable
from pathlib import Path

from datasets import Dataset

from trl_ext.atomic_files import atomic_path


__all__ = ["WRITERS", "atomic_path", "remove_stale"]

WRITERS: dict[str, Callable[[Dataset, Path], object]] = {
    "csv": lambda dataset, path: dataset.to_pandas().to_csv(path, index=False),
    # not Dataset.to_json: pandas rounds floats to 10 digits there
    "jsonl": lambda dataset, path: path.write_text("".join(json.dumps(row) + "\n" for row in dataset)),
    "parquet": lambda dataset, path: dataset.to_pandas().to_parquet(path, index=False),
}


def remove_stale(folder: Path, *patterns: str) -> None:
    """
    Remove files that an earlier run with another configuration may have left, before this one writes its own.

    Args:
        folder (`Path`): Where; it may not exist.
        *patterns (`str`): Names of files that the caller writes, as [`~pathlib.Path.glob`] takes them.
    """
    for pattern in patterns:
        # also what `atomic_path` had begun when it was killed
        for name in (pattern, f".{pattern}.{'[0-9a-f]' * 8}"):
            for path in Path(folder).glob(name):
                path.unlink()
