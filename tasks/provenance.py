"""What a reader needs to repeat a result: versions, which weights, which rows, which command."""

import contextlib
import hashlib
import importlib.metadata
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from datasets import Dataset


PACKAGES = (
    "trl_ext",
    "trl",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "torch",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "sacred",
)
OPTIONAL_PACKAGES = ("matplotlib",)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on; of the optional ones, of those that are installed."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    for name in OPTIONAL_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def command(script: str) -> list[str]:
    """The command line, with the name of the script as it is in the repository."""
    return [script, *sys.argv[1:]]


def model_identity(name: str, path: str, model: Any = None) -> dict[str, Any]:
    """
    Which weights were used: a commit of the Hub, or the hashes of local files.

    Args:
        name (`str`): Name as configured.
        path (`str`): What it resolved to: a local directory or a Hub id.
        model ([`~transformers.PreTrainedModel`], *optional*): The loaded model, which knows its commit on the Hub.

    Returns:
        `dict[str, Any]`: `name`, `commit` and `sha256` by file name.
    """
    files = sorted(Path(path).glob("*.safetensors")) if Path(path).is_dir() else []
    hashes = {file.name: hash_file(file) for file in files}
    commit = getattr(getattr(model, "config", None), "_commit_hash", None)
    return {"name": name, "commit": commit, "sha256": hashes}


def template_hash(tokenizer: Any) -> str | None:
    """SHA-256 of the chat template; `None` without one."""
    template = getattr(tokenizer, "chat_template", None)
    return None if template is None else hashlib.sha256(str(template).encode()).hexdigest()


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_rows(rows: Dataset | pd.DataFrame, columns: Sequence[str]) -> str:
    """SHA-256 of some columns of a table, of the rows in their order."""
    frame = rows.select_columns(list(columns)).to_pandas() if isinstance(rows, Dataset) else rows[list(columns)]
    hashes = pd.util.hash_pandas_object(frame.astype(str), index=False)
    return hashlib.sha256(hashes.to_numpy().tobytes()).hexdigest()


def hash_training_data(dataset: Dataset) -> str:
    """SHA-256 of all columns: what a resumed training must share, since labels and weights are beside the texts."""
    return hash_rows(dataset, sorted(dataset.column_names))


def hash_pairs(dataset: Dataset) -> str:
    """SHA-256 of the texts of a preference dataset, in their order."""
    return hash_rows(dataset, [name for name in ("prompt", "chosen", "rejected") if name in dataset.column_names])
