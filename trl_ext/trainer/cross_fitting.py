"""Reward differences of pairs from models that were not trained on them."""

import hashlib
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from datasets import Dataset
from tqdm.auto import tqdm

from ..reliability.commitment import annotator_codes


if TYPE_CHECKING:
    from .reward_trainer import PairwiseRewardTrainer

logger = logging.getLogger(__name__)

_ROW = "row_of_cross_fitting"


def cross_fit_differences(
    make_trainer: Callable[[Dataset, str], "PairwiseRewardTrainer"],
    dataset: Dataset,
    output_dir: str | Path,
    *,
    folds: int = 5,
    annotator_column: str = "annotator_id",
    group_column: str | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """
    Reward difference of every labelled pair, from a model trained on the other folds only.

    A model that has seen a label prefers what was chosen, right or wrong; η from such differences is too high. Every
    annotator's pairs are spread evenly over the folds. It costs `folds` trainings; those that are complete in
    `output_dir` are not repeated.

    References:
        - Chernozhukov et al., Double/Debiased Machine Learning, 2018, section 3: cross-fitting.

    Args:
        make_trainer (`Callable`):
            Function from a training set and an output directory to a new, untrained trainer. The trainer's seed and model
            must not depend on anything else.
        dataset ([`~datasets.Dataset`]):
            Preference rows with the labels of all annotators.
        output_dir (`str` or `Path`):
            Where the folds are kept.
        folds (`int`, *optional*, defaults to `5`):
            Number of folds. More leave more to learn from, and cost more.
        annotator_column (`str`, *optional*, defaults to `"annotator_id"`):
            Column with the annotator of each pair.
        group_column (`str`, *optional*):
            Column that names what belongs together, such as the prompt where it occurs in several rows: a group is in one
            fold. Needed when several annotators have labelled the same pair, or their labels leak.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the division.

    Returns:
        `pandas.DataFrame`: columns `row` (of `dataset`), `annotator_id`, `difference` (chosen minus rejected) and `fold`,
        ordered by row. Pairs that the trainer drops for their length are missing; their number is logged.

    Raises:
        `ValueError`: Fewer than 2 folds, fewer groups than folds, missing columns or ids.

    Example:
        ```python
        >>> from trl_ext.reliability import estimate_commitment

        >>> def make_trainer(train_dataset, output_dir):
        ...     args = AnnotatorAwareRewardConfig(output_dir, save_strategy="no")
        ...     return AnnotatorAwareRewardTrainer("Qwen/Qwen3-0.6B", args, train_dataset=train_dataset)

        >>> held_out = cross_fit_differences(make_trainer, dataset, "outputs/folds")
        >>> estimate_commitment(held_out["difference"], held_out["annotator_id"]).table
        ```
    """
    for column in (annotator_column, *([] if group_column is None else [group_column])):
        if column not in dataset.column_names:
            raise ValueError(
                f"the dataset has no column '{column}'; its columns are {', '.join(dataset.column_names)}"
            )
    codes, ids = annotator_codes(dataset[annotator_column])
    groups = np.arange(len(codes)) if group_column is None else annotator_codes(dataset[group_column])[0]
    fold_of = _assign_folds(codes, groups, folds, seed)
    output_dir = Path(output_dir)
    tables = []
    for fold in tqdm(range(folds), desc="Folds"):
        held_out = np.flatnonzero(fold_of == fold)
        training = np.flatnonzero(fold_of != fold)
        key = _fingerprint(dataset, fold_of, fold)
        path = output_dir / f"fold-{fold}.json"
        table = _read(path, key)
        if table is None:
            trainer = make_trainer(dataset.select(training), str(output_dir / f"fold-{fold}"))
            trainer.train()
            test = dataset.select(held_out).add_column(_ROW, held_out)
            scored = trainer.predict_pairs(test)
            difference = np.asarray(scored["reward_chosen"], float) - np.asarray(scored["reward_rejected"], float)
            table = {"key": key, "row": list(scored[_ROW]), "difference": difference.tolist()}
            if trainer.is_world_process_zero():
                _write(path, table)
            trainer.accelerator.wait_for_everyone()
        tables.append(pd.DataFrame({"row": table["row"], "difference": table["difference"], "fold": fold}))
    result = pd.concat(tables).sort_values("row", ignore_index=True)
    if len(result) < len(dataset):
        logger.warning("%d of %d pairs were dropped for their length", len(dataset) - len(result), len(dataset))
    result.insert(1, "annotator_id", [ids[code] for code in codes[result["row"]]])
    return result


def _assign_folds(codes: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of every row: groups in random order, sorted by annotator, are dealt out like cards."""
    _, first = np.unique(groups, return_index=True)
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    if len(first) < folds:
        raise ValueError(f"there are {len(first)} groups of rows, too few for folds={folds}")
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(codes[first[order]], kind="stable")]
    fold_of_group = np.empty(len(first), dtype=np.int64)
    fold_of_group[order] = np.arange(len(first)) % folds
    return fold_of_group[np.unique(groups, return_inverse=True)[1]]


def _fingerprint(dataset: Dataset, fold_of: np.ndarray, fold: int) -> str:
    """What the result of a fold depends on, of what is known here: the rows and their division."""
    digest = hashlib.sha256(json.dumps([fold, fold_of.tolist()]).encode())
    for row in dataset:
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()


def _read(path: Path, key: str) -> dict | None:
    if not path.is_file():
        return None
    table = json.loads(path.read_text(encoding="utf-8"))
    if table["key"] != key:
        raise ValueError(f"{path} is of other data or another division: use another `output_dir`, or remove it")
    return table


def _write(path: Path, table: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(table), encoding="utf-8")
    os.replace(temporary, path)
