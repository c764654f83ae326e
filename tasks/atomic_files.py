"""Files of any kind that are complete or absent."""

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from datasets import Dataset


WRITERS: dict[str, Callable[[Dataset, Path], object]] = {
    "csv": lambda dataset, path: dataset.to_pandas().to_csv(path, index=False),
    # not Dataset.to_json: pandas rounds floats to 10 digits there
    "jsonl": lambda dataset, path: path.write_text("".join(json.dumps(row) + "\n" for row in dataset)),
    "parquet": lambda dataset, path: dataset.to_pandas().to_parquet(path, index=False),
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path that becomes `path` when the block succeeds and vanishes when it fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        yield Path(name)
        os.chmod(name, 0o644)  # mkstemp makes files only their owner can read
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)
