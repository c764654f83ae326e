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
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from tqdm.auto import tqdm

from ..reliability.commitment import annotator_codes
from .training_identity import differing, training_identity


if TYPE_CHECKING:
    from .reward_trainer import PairwiseRewardTrainer

logger = logging.getLogger(__name__)

_ROW = "row_of_cross_fitting"
_LENGTH = "length_difference"


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
    `output_dir` are not repeated, if rows, division, arguments and initial model are still the same.

    What belongs together is in one fold. By default that is all rows of a prompt, not only those of a pair that several
    annotators have labelled: pairs of one prompt often share a response, or come from one ranking, so that the labels of
    some give away others. A reward model meets new prompts anyway. Without a column `prompt`, rows of the same pair belong
    together, whichever of both responses was chosen.

    References:
        - Chernozhukov et al., Double/Debiased Machine Learning, 2018, section 3: cross-fitting.

    Args:
        make_trainer (`Callable`):
            Function from a training set and an output directory to a new, untrained trainer. The trainer's seed and model
            must not depend on anything else. It is called for finished folds too, to compare what they came from; callbacks
            and optimizers passed as objects are not compared.
        dataset ([`~datasets.Dataset`]):
            Preference rows with the labels of all annotators.
        output_dir (`str` or `Path`):
            Where the folds are kept.
        folds (`int`, *optional*, defaults to `5`):
            Number of folds. More leave more to learn from, and cost more.
        annotator_column (`str`, *optional*, defaults to `"annotator_id"`):
            Column with the annotator of each pair.
        group_column (`str`, *optional*):
            Column that names what belongs together, such as a document that several prompts are about. By default rows of
            the same `prompt` do; without that column, rows of the same unordered pair of responses.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the division.

    Returns:
        `pandas.DataFrame`: columns `row` (of `dataset`), `annotator_id`, `difference` (chosen minus rejected) and `fold`,
        ordered by row. If the trainer's `length_bias_sd` is set, also `length_difference`, the log ratio of the lengths
        over its standard deviation in this table. Pairs that the trainer drops for their length are missing; their number
        is logged.

    Raises:
        `ValueError`: Fewer than 2 folds, fewer groups than folds, missing columns or ids, finished folds of another
        training, or trainers that start from different models.

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
    fold_of = assign_folds(codes, row_groups(dataset, group_column), folds, seed)
    rows_key = _hash_rows(dataset, fold_of)
    tables, first_model = [], None
    for fold in tqdm(range(folds), desc="Folds"):
        table = _fold(make_trainer, dataset, fold_of == fold, Path(output_dir, f"fold-{fold}"), rows_key)
        model = table["key"]["training"]["model"]
        if first_model not in (None, model):
            raise ValueError(
                f"the trainer of fold {fold} starts from another model than that of fold 0: `make_trainer` must load or "
                "build a new model each time, with the same seed"
            )
        first_model = model
        columns = {name: table[name] for name in ("row", "difference", _LENGTH) if name in table}
        tables.append(pd.DataFrame(columns | {"fold": fold}))
    result = pd.concat(tables).sort_values("row", ignore_index=True)
    if len(result) < len(dataset):
        logger.warning("%d of %d pairs were dropped for their length", len(dataset) - len(result), len(dataset))
    if _LENGTH in result:
        result[_LENGTH] /= result[_LENGTH].std(ddof=0)
    result.insert(1, "annotator_id", [ids[code] for code in codes[result["row"]]])
    return result


def _fold(
    make_trainer: Callable[[Dataset, str], "PairwiseRewardTrainer"],
    dataset: Dataset,
    is_held_out: np.ndarray,
    folder: Path,
    rows_key: str,
) -> dict:
    """Rows and differences of one fold: read if they were computed in the same way, else computed and kept."""
    held_out = np.flatnonzero(is_held_out)
    trainer = make_trainer(dataset.select(np.flatnonzero(~is_held_out)), str(folder))
    key = {"rows": rows_key, "training": training_identity(trainer)} if trainer.is_world_process_zero() else None
    (key,) = broadcast_object_list([key])  # under FSDP, only the first process may have the weights
    path = folder.with_name(f"{folder.name}.json")
    table = _read(path, key)
    if table is not None:
        return table
    trainer.train()
    scored = trainer.predict_pairs(dataset.select(held_out).add_column(_ROW, held_out))
    difference = np.asarray(scored["reward_chosen"], float) - np.asarray(scored["reward_rejected"], float)
    table = {"key": key, "row": list(scored[_ROW]), "difference": difference.tolist()}
    if getattr(trainer.args, "length_bias_sd", None) is not None:  # in the unit of all folds, not of this one
        table[_LENGTH] = (np.asarray(scored[_LENGTH], float) * trainer.length_sd).tolist()
    if trainer.is_world_process_zero():
        _write(path, table)
    trainer.accelerator.wait_for_everyone()
    return table


def row_groups(dataset: Dataset, group_column: str | None) -> np.ndarray:
    """Number of the group of every row, in the order of first appearance."""
    if group_column is not None:
        values = list(dataset[group_column])
        bad = [i for i, v in enumerate(values) if v is None or v != v or (isinstance(v, str) and not v.strip())]
        if bad:
            raise ValueError(
                f"the group column '{group_column}' has {len(bad)} missing values (None, NaN or blank); first: row "
                f"{bad[0]}, value {values[bad[0]]!r}. Name a group for these rows, or remove them."
            )
        keys = [_text(value) for value in values]
    elif "prompt" in dataset.column_names:
        keys = [_text(value) for value in dataset["prompt"]]
    else:
        names = [name for name in ("chosen", "rejected") if name in dataset.column_names]
        names = names if len(names) == 2 else ["chosen_ids", "rejected_ids"]
        if not set(names) <= set(dataset.column_names):
            raise ValueError(
                "the dataset has neither 'prompt' nor 'chosen' and 'rejected' to tell which rows belong together; name "
                f"a column in `group_column`. Its columns are {', '.join(dataset.column_names)}"
            )
        keys = [_text(sorted(map(_text, both))) for both in zip(*(dataset[name] for name in names), strict=True)]
    return pd.factorize(np.array(keys, dtype=object))[0]


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def assign_folds(codes: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of every row: groups in random order, sorted by annotator, are dealt out like cards."""
    _, first = np.unique(groups, return_index=True)
    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    if len(first) < folds:
        raise ValueError(
            f"there are {len(first)} groups of rows, too few for folds={folds}: use fewer folds, or name a column of smaller "
            "groups in `group_column`"
        )
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(codes[first[order]], kind="stable")]
    fold_of_group = np.empty(len(first), dtype=np.int64)
    fold_of_group[order] = np.arange(len(first)) % folds
    return fold_of_group[np.unique(groups, return_inverse=True)[1]]


def _hash_rows(dataset: Dataset, fold_of: np.ndarray) -> str:
    """Hash of the rows and their division."""
    digest = hashlib.sha256(json.dumps(fold_of.tolist()).encode())
    for row in dataset:
        digest.update(_text(row).encode())
    return digest.hexdigest()


def _read(path: Path, key: dict) -> dict | None:
    if not path.is_file():
        return None
    table = json.loads(path.read_text(encoding="utf-8"))
    way_out = "use another `output_dir`, or remove it"
    if not isinstance(table["key"], dict) or table["key"]["rows"] != key["rows"]:
        raise ValueError(f"{path} is of other data or another division: {way_out}")
    if table["key"] != key:
        changes = ", ".join(differing(table["key"]["training"], key["training"]))
        raise ValueError(f"{path} is of another training, which differs in {changes} (kept and asked for): {way_out}")
    return table


def _write(path: Path, table: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(table), encoding="utf-8")
    os.replace(temporary, path)
