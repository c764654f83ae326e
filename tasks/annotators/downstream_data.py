"""Data of the downstream experiment: held-out pairs, and training pairs with the labels that an effort gives."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import expit
from sklearn.model_selection import GroupShuffleSplit

from tasks.annotators.demo_pairs import demo_pairs, demo_rewards
from tasks.annotators.downstream_scenarios import ETA_DIGITS, Cell, slug
from tasks.annotators.probability_sets import load_prepared, probability_column
from tasks.atomic_files import WRITERS, atomic_path
from tasks.provenance import hash_rows
from trl_ext.annotators import corrupt_labels


KEPT = ("id", "prompt", "chosen", "rejected")


@dataclass
class Splits:
    """
    One dataset with the oracle's probabilities, split by prompt.

    Args:
        train (`Dataset`): Pairs to be labelled: `id`, `prompt` (if there is one), `chosen`, `rejected`, `prompt_id`,
            `oracle_probability`.
        held_out (`Dataset`): Pairs for the figures, with the same columns.
    """

    train: Dataset
    held_out: Dataset

    @property
    def probabilities(self) -> np.ndarray:
        """Oracle probabilities `(N,)` of the training pairs."""
        return np.asarray(self.train["oracle_probability"], dtype=np.float64)


def load_splits(dataset: str, config: Mapping[str, Any]) -> Splits:
    """
    Load a dataset whose true preference probabilities are known, and split it.

    Args:
        dataset (`str`): `demo`, whose true rewards are known, or a directory that `prepare_oracle_data.py` has written.
        config (`dict`): As in [`split_by_prompt`].
    """
    if dataset == "demo":
        rows = demo_pairs()
        chosen, rejected = demo_rewards(rows)
        return split_by_prompt(rows.add_column("p", expit(chosen - rejected)), "p", config)
    if not Path(dataset).expanduser().is_dir():
        raise ValueError(
            f"dataset {dataset!r} is neither 'demo' nor a directory that prepare_oracle_data.py has written"
        )
    rows = load_prepared(dataset)
    return split_by_prompt(rows, probability_column(rows, dataset), config)


def split_by_prompt(rows: Dataset, probability: str, config: Mapping[str, Any]) -> Splits:
    """
    Split oracle data so that no prompt is on both sides.

    Args:
        rows (`Dataset`): Preference rows.
        probability (`str`): Column with the oracle's P(chosen is better).
        config (`dict`): `evaluation_share`, `split_seed`, and `train_dataset_size` (0: all).
    """
    has_id = "prompt_id" in rows.column_names
    prompts = [str(value) for value in rows["prompt_id"]] if has_id else [_prompt_id(row) for row in rows]
    table = rows.select_columns([name for name in KEPT if name in rows.column_names])
    table = table.add_column("prompt_id", prompts).add_column("oracle_probability", rows[probability])
    if "id" not in table.column_names:
        table = table.add_column("id", [str(i) for i in range(len(table))])
    if len(set(prompts)) < 2:
        raise ValueError("the pairs share one prompt: they cannot be split into training and held-out pairs by prompt")
    splitter = GroupShuffleSplit(1, test_size=config["evaluation_share"], random_state=config["split_seed"])
    train, held_out = next(splitter.split(prompts, groups=prompts))
    if config["train_dataset_size"]:
        train = train[np.random.default_rng(config["split_seed"]).permutation(len(train))]
        train = np.sort(train[: config["train_dataset_size"]])
    # flat copies: columns are added for every training
    return Splits(
        *(Dataset.from_dict(table.select(part).to_dict(), features=table.features) for part in (train, held_out))
    )


def _prompt_id(row: Mapping[str, Any]) -> str:
    prompt = row.get("prompt")
    if prompt is None:  # implicit in conversations
        prompt = row["chosen"][:-1] if isinstance(row["chosen"], list) else row.get("id", row["chosen"])
    return hashlib.sha256(str(prompt).encode()).hexdigest()[:16]


def write_held_out(splits: Splits, dataset: str, root: Path) -> Path:
    """Write the held-out pairs; the name tells what is in them."""
    return _write(splits.held_out, root / "data", f"{slug(dataset)}-held_out")


def write_training_pairs(splits: Splits, cell: Cell, label_kind: str, root: Path) -> Path:
    """
    Let annotators of commitment η label the training pairs, and write them with the columns `label` and `eta`.

    Labels of one seed are drawn with the same random numbers for every η, so that scenarios differ by their effort alone.
    """
    labels = corrupt_labels(splits.probabilities, cell.eta, kind=label_kind, seed=cell.seed)
    rows = splits.train.add_column("label", labels).add_column("eta", np.full(len(labels), cell.eta))
    return _write(rows, root / "data", f"{slug(cell.dataset)}-eta{cell.eta:.{ETA_DIGITS}f}-seed{cell.seed}")


def _write(rows: Dataset, folder: Path, name: str) -> Path:
    # The hash is in the name, and the name in the configuration of a training: other data are never taken for these
    path = folder / f"{name}-{hash_rows(rows, rows.column_names)[:8]}.parquet"
    if not path.is_file():
        with atomic_path(path) as temporary:
            WRITERS["parquet"](rows, temporary)
    return path
