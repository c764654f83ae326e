"""The data of `train_true_model.py`: rows to train on, to calibrate on and to report on, none in two of them."""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trl_ext.data.demo import load_demo_preferences
from trl_ext.data.loading import load_preferences
from trl_ext.reliability.correctness import Comparisons, read_comparisons


logger = logging.getLogger(__name__)


@dataclass
class CorrectnessData:
    """
    Data of one run.

    Args:
        name (`str`): Short name, used for the output directory.
        train (`Comparisons`): To train on.
        val (`Comparisons`): To report on.
        cal (`Comparisons`): To fit the calibrator on.
        context (`dict[str, dict[str, numpy.ndarray]]`): Split -> column -> values `(N,)` of the context columns.
        sources (`dict[str, str]`): File names, recorded with the results.
    """

    name: str
    train: Comparisons
    val: Comparisons
    cal: Comparisons
    context: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def load_correctness_data(config: dict[str, Any]) -> CorrectnessData:
    """
    Load what a configuration of `train_true_model.py` asks for.

    Raises:
        ValueError: If a file is missing or unreadable, lacks a column, or two splits share a comparison.
    """
    columns = dict(config["columns"])
    if config["true_data_dir"] is not None:
        from tasks.rapl.true_data import load_true_split

        tables = {s: load_true_split(config["true_data_dir"], s, config["fold"]) for s in ("train", "val", "cal")}
        name, sources = f"fold{config['fold']}", {"true": f"fold {config['fold']}"}
    elif config["train_data_path"] is not None:
        paths = {s: config[f"{s}_data_path"] for s in ("train", "val", "cal") if config[f"{s}_data_path"] is not None}
        tables = {split: load_preferences(path) for split, path in paths.items()}
        name, sources = Path(paths["train"]).stem, {split: Path(path).name for split, path in paths.items()}
    else:
        demo = load_demo_preferences(seed=config["demo_seed"])
        tables = {"train": demo["train"], "val": demo["test"], "cal": demo["validation"]}
        name, sources = "demo", {}
    splits = {s: read_comparisons(table, columns=columns, need_correct=True) for s, table in tables.items()}
    frames = {s: table if isinstance(table, pd.DataFrame) else table.to_pandas() for s, table in tables.items()}
    if "val" not in splits:
        splits, frames = _split(splits["train"], frames["train"], config)
    _check_apart(splits)
    context = {s: {c: _numbers(frames[s], c, s) for c in config["context_columns"]} for s in ("val", "cal")}
    return CorrectnessData(name, splits["train"], splits["val"], splits["cal"], context, sources)


def _split(whole: Comparisons, frame: pd.DataFrame, config: dict[str, Any]):
    """Parts without a common question, of the shares configured."""
    generator = np.random.default_rng(config["seed"])
    clusters = whole.clusters
    questions = generator.permutation(np.unique(clusters))
    ends = np.round(np.cumsum([config["val_share"], config["cal_share"]]) * len(questions)).astype(int)
    parts = dict(zip(("val", "cal", "train"), np.split(questions, ends), strict=True))
    if not all(map(len, parts.values())):
        raise ValueError(f"{len(questions)} questions are too few to split into training, validation and calibration")
    rows = {split: np.flatnonzero(np.isin(clusters, part)) for split, part in parts.items()}
    return {s: whole.select(r) for s, r in rows.items()}, {s: frame.iloc[r] for s, r in rows.items()}


def _check_apart(splits: dict[str, Comparisons]) -> None:
    for one, other in (("train", "val"), ("train", "cal"), ("val", "cal")):
        left, right = ({_key(splits[s], i): i for i in range(len(splits[s]))} for s in (one, other))
        shared = left.keys() & right.keys()
        if shared:
            rows = sorted(right[key] for key in shared)
            raise ValueError(
                f"{len(shared)} comparisons are both in {one} and in {other}; first: row {rows[0]} of {other}. Remove them "
                "from one: the figures would be too good"
            )
        common = set(splits[one].clusters) & set(splits[other].clusters)
        if common:
            logger.warning("%d questions, with other responses, are both in %s and in %s.", len(common), one, other)


def _key(comparisons: Comparisons, row: int) -> tuple:
    return comparisons.prompt[row], frozenset((comparisons.response_a[row], comparisons.response_b[row]))


def _numbers(frame: pd.DataFrame, column: str, split: str) -> np.ndarray:
    if column not in frame:
        raise ValueError(f"context column '{column}' is not in {split}; its columns are {', '.join(frame.columns)}")
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"context column '{column}' of {split} has {bad.size} values that are not numbers; first: row {bad[0]}, value "
            f"{frame[column].iloc[bad[0]]!r}"
        )
    return values
