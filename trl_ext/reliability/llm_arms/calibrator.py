"""From difficulty scores to the probability that the annotator is correct."""

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from .rubric import CRITERIA


logger = logging.getLogger(__name__)


class CriteriaCalibrator:
    r"""
    Logistic regression from the scores of one or several criteria to P(correct),
    \( \sigma(b + \sum_k a_k\,\text{score}_k) \), with the L2 penalty `C=1` on the slopes. With one criterion it is
    [`~trl_ext.reliability.calibrators.PlattCalibrator`].

    A hard pair is a less reliable one, so slopes should be negative. Several criteria are correlated, and a slope of the
    other sign may only correct for another criterion; for a single one it means that the scores speak against what they
    are to measure, and a warning says so.

    Fit it on rows whose correctness is known, and that are not those it is judged by.

    Args:
        criteria (`Sequence[str]`, *optional*, defaults to `("overall_difficulty",)`):
            Criteria to use, out of `CRITERIA`.

    Attributes:
        coef (`dict[str, float]` or `None`): Slope of each criterion, in logits per point.
        intercept (`float` or `None`): Intercept, in logits.
        fitted_on (`str` or `None`): What rows it was fitted on.
        n (`int` or `None`): Their number.

    Example:
        ```python
        >>> scores = {"overall_difficulty": [1, 2, 2, 4, 5, 5]}
        >>> calibrator = CriteriaCalibrator().fit(scores, [1, 1, 1, 0, 1, 0], fitted_on="six rows")
        >>> calibrator.predict({"overall_difficulty": [1, 5]}).round(2)
        array([0.92, 0.41])
        ```
    """

    kind = "criteria_logistic"

    def __init__(self, criteria: Sequence[str] = ("overall_difficulty",)):
        criteria = tuple(criteria)
        unknown = [name for name in criteria if name not in CRITERIA]
        if unknown or not criteria or len(set(criteria)) < len(criteria):
            raise ValueError(
                f"criteria must be one or more of {', '.join(CRITERIA)}, each once; got {', '.join(map(repr, criteria)) or 'none'}"
            )
        self.criteria = criteria
        self.coef: dict[str, float] | None = None
        self.intercept: float | None = None
        self.fitted_on: str | None = None
        self.n: int | None = None

    def fit(
        self, scores: Mapping[str, ArrayLike] | pd.DataFrame, correct: ArrayLike, *, fitted_on: str
    ) -> "CriteriaCalibrator":
        """
        Fits slopes and intercept.

        Args:
            scores (`Mapping` or `pandas.DataFrame`):
                Criterion -> scores of shape `(N,)` in [1, 5] (means of several answers need not be whole).
            correct (`array_like` of shape `(N,)`):
                Whether the annotator was correct: booleans, or 0 and 1, with both present.
            fitted_on (`str`):
                What rows these are, for the record.

        Returns:
            The calibrator itself.
        """
        features = self._features(scores)
        labels = np.asarray(correct, dtype=np.float64)
        if labels.shape != (len(features),):
            raise ValueError(f"correct must have shape ({len(features)},) like the scores, got {labels.shape}")
        bad = np.flatnonzero((labels != 0) & (labels != 1))
        if bad.size:
            raise ValueError(
                f"correct must be 0 or 1; {bad.size} values are not, first: row {bad[0]}, value {labels[bad[0]]}"
            )
        if np.unique(labels).size < 2:
            raise ValueError("correct needs at least one 0 and one 1 to fit a calibrator")
        model = LogisticRegression(C=1.0).fit(features, labels)
        self.coef = dict(zip(self.criteria, map(float, model.coef_[0]), strict=True))
        self.intercept, self.fitted_on, self.n = float(model.intercept_[0]), fitted_on, len(labels)
        if len(self.criteria) == 1 and self.coef[self.criteria[0]] > 0:
            logger.warning(
                "%s: annotators were more often right on pairs that were scored harder (slope %.3g, fitted on %s): the "
                "scores don't measure what they are to measure, or the rows are too few.",
                *(self.criteria[0], self.coef[self.criteria[0]], fitted_on),
            )
        return self

    def predict(self, scores: Mapping[str, ArrayLike] | pd.DataFrame) -> np.ndarray:
        """P(correct) of shape `(N,)` in float64."""
        if self.coef is None:
            raise NotFittedError("call fit(scores, correct, fitted_on=...) before predict")
        return expit(self._features(scores) @ np.array([self.coef[name] for name in self.criteria]) + self.intercept)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        if self.coef is None:
            raise NotFittedError("call fit(scores, correct, fitted_on=...) before to_dict")
        return {
            "kind": self.kind,
            "coef": self.coef,
            "intercept": self.intercept,
            "fitted_on": self.fitted_on,
            "n": self.n,
        }

    @classmethod
    def from_dict(cls, config: Mapping[str, Any]) -> "CriteriaCalibrator":
        """Rebuilds what [`~CriteriaCalibrator.to_dict`] wrote."""
        if config.get("kind") != cls.kind:
            raise ValueError(f"expected a calibrator of kind '{cls.kind}', got {config.get('kind')!r}")
        calibrator = cls(tuple(config["coef"]))
        calibrator.coef = {name: float(value) for name, value in config["coef"].items()}
        calibrator.intercept = float(config["intercept"])
        calibrator.fitted_on, calibrator.n = config.get("fitted_on"), config.get("n")
        return calibrator

    def save(self, path: str | Path) -> None:
        """Writes [`~CriteriaCalibrator.to_dict`] as JSON, in one step."""
        path = Path(path)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)

    def _features(self, scores: Mapping[str, ArrayLike] | pd.DataFrame) -> np.ndarray:
        missing = [name for name in self.criteria if name not in scores]
        if missing:
            raise ValueError(f"scores lacks the criteria {', '.join(missing)}")
        columns = [np.asarray(scores[name], dtype=np.float64) for name in self.criteria]
        for name, column in zip(self.criteria, columns, strict=True):
            if column.ndim != 1 or column.shape != columns[0].shape:
                raise ValueError(f"scores of {name} must have shape (N,), the same for all; got {column.shape}")
            bad = np.flatnonzero(~((column >= 1) & (column <= 5)))  # negated, so that NaN is refused
            if bad.size:
                raise ValueError(
                    f"scores of {name} must lie in [1, 5]; {bad.size} do not, first: row {bad[0]}, value {column[bad[0]]}. "
                    "Rows without a score can't be calibrated: ask again, or leave them out."
                )
        if not columns[0].size:
            raise ValueError("scores is empty")
        return np.stack(columns, axis=1)
