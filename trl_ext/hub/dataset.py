"""Push a dataset of preference pairs to the Hub, and compare it with a fresh download."""

import logging
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, DatasetDict, load_dataset
from huggingface_hub import DatasetCardData

from ..data.preference import PREFERENCE_COLUMNS
from ..version import __version__
from .files import holds_token
from .repository import Pushed, PushError, Repository, check_reachable


logger = logging.getLogger(__name__)

_SHARD_BYTES = 500_000_000
_MEANINGS = {
    "prompt": "what was asked: text or messages",
    "chosen": "the response that was preferred: text or messages",
    "rejected": "the other response: text or messages",
    "id": "names the pair",
    "reliability": "probability that the annotator is right, or a raw metric of the annotator",
    "weight": "weight of the pair in the loss",
    "margin": "by how much the chosen response is better",
    "label": "probability that the chosen response is better",
    "annotator_id": "who labelled the pair",
    "eta": "commitment of the annotator",
    "source_chosen": "which model wrote the chosen response",
    "source_rejected": "which model wrote the rejected response",
}

_TEMPLATE = """---
{card_data}
---

# {name}

Preference pairs: per row, which of two responses to a prompt was preferred, and what is known of who said so. Pushed with
trl_ext {version}.

```python
from datasets import load_dataset

pairs = load_dataset("{repo_id}", split="{split}")
```

| split | rows |
|---|---|
{splits}

| column | type | meaning |
|---|---|---|
{columns}
"""


@dataclass(frozen=True)
class DatasetPushResult(Pushed):
    """
    Result of [`push_preference_dataset`]: what every push tells, and

    Args:
        rows (`dict[str, int]`): Rows per split.
        verified (`bool`): Whether a fresh download was found to have equal rows.
    """

    rows: dict[str, int]
    verified: bool


def push_preference_dataset(
    dataset: Dataset | DatasetDict,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    verify: bool = True,
    max_retries: int = 5,
    token: str | None = None,
) -> DatasetPushResult:
    """
    Push preference pairs with all their columns to the Hub, data and card in one commit, and compare a fresh download.

    The data are Parquet files, which `datasets.load_dataset(repo_id)` reads with their types. `Dataset.push_to_hub`
    would make the card in a commit of its own and repeat no request.

    Args:
        dataset ([`~datasets.Dataset`] or [`~datasets.DatasetDict`]):
            Rows with `chosen` and `rejected`; a single dataset is the split `train`.
        repo_id (`str`):
            `namespace/name`, or a name in your own namespace. Created if it does not exist.
        private, revision, commit_message, max_retries, token:
            As in [`push_reward_model`].
        verify (`bool`, *optional*, defaults to `True`):
            Download the data afresh and compare rows, columns and types.

    Returns:
        [`DatasetPushResult`]: Repository, commit, files and rows.

    Raises:
        PushError: If the push did not complete, or the fresh download differs.
        ValueError: If a column is missing, there are no rows, or the data hold an access token.

    Example:
        ```python
        >>> from trl_ext.hub import push_preference_dataset

        >>> push_preference_dataset(pairs, "me/annotated-pairs", private=True).rows
        {'train': 1000}
        ```
    """
    check_reachable(token)
    splits = dict(dataset) if isinstance(dataset, DatasetDict) else {str(dataset.split or "train"): dataset}
    for split, rows in splits.items():
        missing = {"chosen", "rejected"}.difference(rows.column_names)
        if missing:
            raise ValueError(f"split {split!r} has no column {', '.join(sorted(missing))}: it has {rows.column_names}")
        if not len(rows):
            raise ValueError(f"split {split!r} has no rows")
        _check_no_token(rows, split, token)
    repository = Repository.open(
        repo_id, repo_type="dataset", private=private, revision=revision, token=token, max_retries=max_retries
    )
    with tempfile.TemporaryDirectory(prefix="trl_ext_push_") as scratch:
        folder, fresh, cache = (Path(scratch, name) for name in ("staged", "fresh", "cache"))
        names = [name for split, rows in splits.items() for name in _write_split(rows, split, folder)]
        (folder / "README.md").write_text(_card(splits, repository.repo_id), encoding="utf-8")
        names.append("README.md")
        removed = [
            name
            for name in repository.files
            if name.startswith("data/") and name.endswith(".parquet") and name not in names
        ]
        repository.announce(folder, names, removed, [], private)
        commit = repository.commit(folder, names, removed, commit_message or "Upload preference pairs")
        if verify:
            repository.download(commit, names, fresh)
            _compare(splits, load_dataset(str(fresh), cache_dir=str(cache)), f"{repository.repo_id} at {commit}")
        sizes = {name: (folder / name).stat().st_size for name in names}
    counts = {split: len(rows) for split, rows in splits.items()}
    logger.info("Pushed: %s at commit %s", repository.url, commit)
    return DatasetPushResult(
        repository.repo_id, repository.url, commit, repository.private, sizes, removed, counts, verify
    )


def _check_no_token(rows: Dataset, split: str, token: str | None) -> None:
    # The rows and not the files, in which they are compressed
    for start, batch in enumerate(rows.with_format(None).iter(1000)):
        if holds_token(str(batch).encode(), token):
            raise ValueError(
                f"split {split!r} holds a Hugging Face access token, in the rows from {1000 * start}; nothing was uploaded"
            )


def _write_split(rows: Dataset, split: str, folder: Path) -> list[str]:
    rows = rows.with_format(None)
    count = min(max(math.ceil(rows.data.nbytes / _SHARD_BYTES), 1), len(rows))
    names = [f"data/{split}-{index:05d}-of-{count:05d}.parquet" for index in range(count)]
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for index, name in enumerate(names):
        rows.shard(count, index, contiguous=True).to_parquet(folder / name)
    return names


def _card(splits: dict[str, Dataset], repo_id: str) -> str:
    first, rows = next(iter(splits.items()))
    return _TEMPLATE.format(
        card_data=DatasetCardData(
            tags=["preference", "reward-model", "trl-ext"],
            configs=[
                {
                    "config_name": "default",
                    "data_files": [{"split": split, "path": f"data/{split}-*"} for split in splits],
                }
            ],
        ).to_yaml(),
        name=repo_id.split("/")[-1],
        version=__version__,
        repo_id=repo_id,
        split=first,
        splits="\n".join(f"| {split} | {len(data):,} |" for split, data in splits.items()),
        columns="\n".join(f"| `{name}` | {_type_of(rows, name)} | {_meaning(name)} |" for name in rows.column_names),
    )


def _type_of(rows: Dataset, column: str) -> str:
    feature = rows.features[column]
    return getattr(feature, "dtype", None) or "messages"


def _meaning(column: str) -> str:
    low, high = PREFERENCE_COLUMNS.get(column, (None, None))
    limits = f", in [{low:g}, {high:g}]" if low is not None and math.isfinite(low) and math.isfinite(high) else ""
    return _MEANINGS.get(column, "") + limits


def _compare(splits: dict[str, Dataset], fresh: DatasetDict, where: str) -> None:
    for split, rows in splits.items():
        there = fresh.get(split)
        if there is None or there.features != rows.features:
            raise PushError(f"{where} is complete, but split {split!r} is missing there or has columns of other types")
        if rows.with_format("arrow")[:] != there.with_format("arrow")[:]:
            raise PushError(f"{where} is complete, but the rows of split {split!r} differ from those that were pushed")
