"""The TRUE model as it is used: both orders scored, calibrated, averaged; saved and loaded with its calibrator."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from datasets import Dataset
from scipy.special import expit
from sklearn.exceptions import NotFittedError

from ..calibrators import Calibrator, PlattCalibrator, load_calibrator
from ..json_io import load_json, save_json
from .comparisons import Comparisons, read_comparisons


logger = logging.getLogger(__name__)

CONFIG_FILE = "correctness.json"
CALIBRATOR_FILE = "calibrator.json"

# Standard deviation of probabilities below which a weight made from them is a constant for all purposes
NEARLY_CONSTANT = 0.01

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
        calibrator ([`~trl_ext.reliability.calibrators.Calibrator`], *optional*):
            From a score to a probability. Fitted by [`~CorrectnessModel.calibrate`] if not given.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models: the TRUE model. Its column
          `TRUE_probability_correct` is such a mean, over five models too (see [`CorrectnessEnsemble`]).
    """

    def __init__(self, scorer: Scorer, calibrator: Calibrator | None = None):
        self.scorer = scorer
        self.calibrator = calibrator

    def scores(self, dataset: Table, *, columns: dict[str, str] | None = None, progress: bool = False) -> np.ndarray:
        """Log-odds before calibration in both orders, float64 of shape `(2, N)`."""
        comparisons = read_comparisons(dataset, columns=columns)
        return self.scorer.score(comparisons.both_orders(), progress=progress).reshape(2, -1)

    def calibrate(
        self,
        dataset: Table,
        *,
        calibrator: Calibrator | None = None,
        fitted_on: str = "cal",
        columns: dict[str, str] | None = None,
        progress: bool = False,
    ) -> "CorrectnessModel":
        """
        Fits the calibrator on both orders of labelled comparisons.

        Args:
            dataset ([`~datasets.Dataset`], `pandas.DataFrame` or [`Comparisons`]):
                Rows that neither trained nor selected the model, and on which no figure is reported.
            calibrator ([`~trl_ext.reliability.calibrators.Calibrator`], *optional*):
                Calibrator to fit. Defaults to a new [`~trl_ext.reliability.calibrators.PlattCalibrator`] with
                `standardize=True`, so that the probabilities do not depend on the scale of the scores.
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
        calibrator = PlattCalibrator(standardize=True) if calibrator is None else calibrator
        self.calibrator = calibrator.fit(scores.reshape(-1), np.tile(comparisons.labels, 2), fitted_on=fitted_on)
        spread = self.average(scores).std()
        if spread < NEARLY_CONSTANT:
            logger.warning(
                "The calibrated probabilities are nearly the same for all rows (standard deviation %.2g; that of the scores "
                "is %.2g): weights made from them are a constant. Train longer; and if the calibrator is a "
                "PlattCalibrator, whose slope is penalised, let it be one with standardize=True.",
                spread,
                scores.std(),
            )
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

    def check_held_out(self, dataset: Table, scores: np.ndarray, *, split: str | None = None) -> None:
        """
        Raise a `ValueError` if figures on these rows would be those of rows the calibrator was fitted on.

        Args:
            dataset ([`~datasets.Dataset`], `pandas.DataFrame` or [`Comparisons`]): Labelled comparisons.
            scores (`numpy.ndarray` of shape `(2, N)`): Their [`~CorrectnessModel.scores`].
            split (`str`, *optional*): Name of the split they are from.
        """
        labels = np.tile(read_comparisons(dataset, need_correct=True).labels, 2)
        record = self.calibrator.fit_record
        same_name = split is not None and record is not None and record.fitted_on == split
        if same_name or self.calibrator.was_fitted_on(scores.reshape(-1), labels):
            raise ValueError(
                f"the calibrator was fitted on these rows (split {record.fitted_on!r}): its figures here would be too "
                "good. Fit it on the calibration split and judge it on another."
            )

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
        # the calibrator of other weights, if the directory has one, would be believed
        (path / CALIBRATOR_FILE).unlink(missing_ok=True)
        self.scorer.save(path)
        save_json(path / CONFIG_FILE, self.scorer.to_dict())
        if self.calibrator is not None:
            self.calibrator.save(path / CALIBRATOR_FILE)


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

    def predict(self, dataset: Table, *, columns: dict[str, str] | None = None, progress: bool = False) -> np.ndarray:
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
    return CorrectnessModel(scorer, load_calibrator(file) if file.is_file() else None)


def read_correctness_config(path: Path) -> dict[str, Any]:
    """`correctness.json` of a saved model, without loading the model."""
    if not (path / CONFIG_FILE).is_file():
        raise FileNotFoundError(
            f"no {CONFIG_FILE} in '{path}': a directory that CorrectnessModel.save (or tasks/rapl/train_true_model.py) "
            "wrote is needed"
        )
    return load_json(path / CONFIG_FILE)


def _with_column(model, dataset: Dataset, column: str, columns, progress: bool) -> Dataset:
    if not isinstance(dataset, Dataset):
        raise TypeError(f"a column is added to a datasets.Dataset, got {type(dataset).__name__}")
    if column in dataset.column_names:
        raise ValueError(f"the dataset has a column '{column}' already: give another `column`, or remove it first")
    return dataset.add_column(column, model.predict(dataset, columns=columns, progress=progress))
