"""The TRUE model as it is used: both orders scored, calibrated, averaged; saved and loaded with its calibrator."""

import inspect
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy.special import expit
from sklearn.exceptions import NotFittedError

from ..calibrators import PlattCalibrator
from .comparisons import Comparisons, read_comparisons


logger = logging.getLogger(__name__)

CONFIG_FILE = "correctness.json"
CALIBRATOR_FILE = "calibrator.json"

Table = Dataset | pd.DataFrame | Comparisons


class Scorer(Protocol):
    """What gives a score, the higher the likelier the annotator is correct: [`ValueHeadScorer`], [`NextTokenScorer`]."""

    kind: str

    def score(self, comparisons: Comparisons, *, progress: bool = False) -> np.ndarray: ...
    def save(self, path: Path) -> None: ...
    def to_dict(self) -> dict[str, Any]: ...


class CorrectnessModel:
    r"""
    P(annotator correct) from the prompt and the two responses: the mean over both orders of the responses of calibrated
    probabilities. It does not see which response the annotator picked, so swapping the responses, or chosen and
    rejected, changes nothing.

    Args:
        scorer ([`ValueHeadScorer`] or [`NextTokenScorer`]):
            Gives a score in log-odds for one order.
        calibrator (*optional*):
            From a score to a probability. Fitted by [`~CorrectnessModel.calibrate`] if not given.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models: the TRUE model. Its column
          `TRUE_probability_correct` is such a mean, over five models too (see [`CorrectnessEnsemble`]).
    """

    def __init__(self, scorer: Scorer, calibrator=None):
        self.scorer = scorer
        self.calibrator = calibrator

    def scores(
        self, dataset: Table, *, columns: dict[str, str] | None = None, progress: bool = False
    ) -> np.ndarray:
        """Log-odds before calibration in both orders, float64 of shape `(2, N)`."""
        comparisons = read_comparisons(dataset, columns=columns)
        return self.scorer.score(comparisons.both_orders(), progress=progress).reshape(2, -1)

    def calibrate(
        self,
        dataset: Table,
        *,
        calibrator=None,
        fitted_on: str = "cal",
        columns: dict[str, str] | None = None,
        progress: bool = False,
    ) -> "CorrectnessModel":
        """
        Fits the calibrator on both orders of labelled comparisons.

        Args:
            dataset ([`~datasets.Dataset`], `pandas.DataFrame` or [`Comparisons`]):
                Rows that neither trained nor selected the model, and on which no figure is reported.
            calibrator (*optional*, defaults to a new [`~trl_ext.reliability.calibrators.PlattCalibrator`]):
                Anything with `fit(scores, correct)`, `predict` and `to_dict`.
            fitted_on (`str`, *optional*, defaults to `"cal"`):
                Name of the split, recorded with the calibrator.
            columns (`dict[str, str]`, *optional*):
                As in [`read_comparisons`].
            progress (`bool`, *optional*, defaults to `False`):
                Show a progress bar.

        Returns:
            The model itself.
        """
        comparisons = read_comparisons(dataset, columns=columns, need_correct=True)
        scores = self.scores(comparisons, progress=progress)
        self.calibrator = fit_calibrator(calibrator, scores.reshape(-1), np.tile(comparisons.labels, 2), fitted_on)
        return self

    def predict(
        self,
        dataset: Table,
        *,
        calibrated: bool = True,
        columns: dict[str, str] | None = None,
        progress: bool = False,
    ) -> np.ndarray:
        """
        P(annotator correct) of every row.

        Args:
            dataset ([`~datasets.Dataset`], `pandas.DataFrame` or [`Comparisons`]):
                See [`read_comparisons`]; no labels are needed.
            calibrated (`bool`, *optional*, defaults to `True`):
                `False` averages the model's own probabilities.
            columns (`dict[str, str]`, *optional*):
                Our name -> name in the data.
            progress (`bool`, *optional*, defaults to `False`):
                Show a progress bar.

        Returns:
            `numpy.ndarray` of shape `(N,)`: float64 in [0, 1].
        """
        if calibrated and self.calibrator is None:
            raise NotFittedError("call calibrate(dataset) before predict, or predict(..., calibrated=False)")
        return self.average(self.scores(dataset, columns=columns, progress=progress), calibrated=calibrated)

    def average(self, scores: np.ndarray, *, calibrated: bool = True) -> np.ndarray:
        """Probabilities (N,) of the scores (2, N) of both orders."""
        if not calibrated:
            return expit(scores).mean(axis=0)
        return self.calibrator.predict(scores.reshape(-1)).reshape(scores.shape).mean(axis=0)

    def add_reliability(
        self,
        dataset: Dataset,
        column: str = "reliability",
        *,
        columns: dict[str, str] | None = None,
        progress: bool = False,
    ) -> Dataset:
        """The dataset with P(annotator correct) in a new column; a column that exists is not replaced."""
        return _with_column(self, dataset, column, columns, progress)

    def save(self, path: str | Path) -> None:
        """Writes weights and tokenizer, `correctness.json` (kind, text format, length) and `calibrator.json`."""
        path = Path(path)
        path.mkdir(parents=True, exist_ok=True)
        self.scorer.save(path)
        _write_json(path / CONFIG_FILE, self.scorer.to_dict())
        if self.calibrator is not None:
            _write_json(path / CALIBRATOR_FILE, self.calibrator.to_dict())


class CorrectnessEnsemble:
    """
    Mean of the probabilities of several TRUE models, e.g. of one per fold.

    Args:
        models (`Sequence[CorrectnessModel]`): Calibrated models.
    """

    def __init__(self, models: Sequence[CorrectnessModel]):
        if not models:
            raise ValueError("an ensemble needs at least one model")
        self.models = list(models)

    def predict(
        self, dataset: Table, *, columns: dict[str, str] | None = None, progress: bool = False
    ) -> np.ndarray:
        """P(annotator correct) of every row, float64 of shape `(N,)`."""
        comparisons = read_comparisons(dataset, columns=columns)
        return np.mean([model.predict(comparisons, progress=progress) for model in self.models], axis=0)

    def add_reliability(
        self,
        dataset: Dataset,
        column: str = "reliability",
        *,
        columns: dict[str, str] | None = None,
        progress: bool = False,
    ) -> Dataset:
        """The dataset with P(annotator correct) in a new column; a column that exists is not replaced."""
        return _with_column(self, dataset, column, columns, progress)


def load_correctness_model(
    path: str | Path | Sequence[str | Path],
) -> CorrectnessModel | CorrectnessEnsemble:
    """
    Loads what [`CorrectnessModel.save`] wrote; several paths give the mean of their models.

    Args:
        path (`str`, `pathlib.Path` or a list of them): Directories.

    Returns:
        [`CorrectnessModel`] or [`CorrectnessEnsemble`]
    """
    if not isinstance(path, (str, Path)):
        return CorrectnessEnsemble([load_correctness_model(each) for each in path])
    path = Path(path).expanduser()
    config = read_correctness_config(path)
    from .next_token import NextTokenScorer
    from .text import ComparisonFormat
    from .value_head import ValueHeadScorer

    kinds = {cls.kind: cls for cls in (ValueHeadScorer, NextTokenScorer)}
    config["text_format"] = ComparisonFormat(**config.pop("format"))
    scorer = kinds[config.pop("kind")].from_pretrained(str(path), **config)
    file = path / CALIBRATOR_FILE
    return CorrectnessModel(scorer, load_any_calibrator(json.loads(file.read_text())) if file.is_file() else None)


def read_correctness_config(path: Path) -> dict[str, Any]:
    """`correctness.json` of a saved model, without loading the model."""
    if not (path / CONFIG_FILE).is_file():
        raise FileNotFoundError(
            f"no {CONFIG_FILE} in '{path}': a directory that CorrectnessModel.save (or tasks/rapl/train_true_model.py) "
            "wrote is needed"
        )
    return json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))


def fit_calibrator(calibrator, scores: np.ndarray, correct: np.ndarray, fitted_on: str):
    """Fits any calibrator; those that record the split they were fitted on are told."""
    calibrator = PlattCalibrator() if calibrator is None else calibrator
    records_split = "fitted_on" in inspect.signature(calibrator.fit).parameters
    return calibrator.fit(scores, correct, **({"fitted_on": fitted_on} if records_split else {}))


def load_any_calibrator(config: dict[str, Any]):
    """Rebuilds a calibrator from what its `to_dict` wrote."""
    return PlattCalibrator.from_dict(config)


def _with_column(model, dataset: Dataset, column: str, columns, progress: bool) -> Dataset:
    if not isinstance(dataset, Dataset):
        raise TypeError(f"a column is added to a datasets.Dataset, got {type(dataset).__name__}")
    if column in dataset.column_names:
        raise ValueError(f"the dataset has a column '{column}' already: give another `column`, or remove it first")
    return dataset.add_column(column, model.predict(dataset, columns=columns, progress=progress))


def _write_json(path: Path, content: dict) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)
