"""Calibrators: from a reliability score to the probability that the annotator is correct."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression


def _as_scores(scores: ArrayLike) -> np.ndarray:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"scores must have shape (N,), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"scores has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array


class PlattCalibrator:
    r"""
    Platt scaling: \( P(\text{correct}) = \sigma(a \cdot \text{score} + b) \), a logistic regression with the L2 penalty
    `C=1` on `a` and none on `b`.

    Fit it on rows that neither trained nor selected the model behind the scores. The slope may come out negative: the
    score then speaks against the annotator, and `coef` says so.

    References:
        - Platt, Probabilistic Outputs for Support Vector Machines, 1999.
        - The `TRUE_calibrated_*` columns of the LIE dataset of Reliability-Aware Preference Learning are this, fitted on
          the TRUE calibration split.

    Args:
        coef (`float`, *optional*):
            Slope `a`, of a calibrator fitted before.
        intercept (`float`, *optional*):
            Intercept `b`, likewise.

    Example:
        ```python
        >>> calibrator = PlattCalibrator().fit([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
        >>> PlattCalibrator.from_dict(calibrator.to_dict()).predict([0.5]).round(6)
        array([0.5])
        ```
    """

    kind = "platt"

    def __init__(self, coef: float | None = None, intercept: float | None = None):
        if (coef is None) != (intercept is None):
            raise ValueError(f"give both coef and intercept or neither, got coef={coef}, intercept={intercept}")
        self.coef = coef
        self.intercept = intercept

    def fit(self, scores: ArrayLike, correct: ArrayLike) -> "PlattCalibrator":
        """
        Fits slope and intercept.

        Args:
            scores (`array_like` of shape `(N,)`):
                Finite scores, on any scale.
            correct (`array_like` of shape `(N,)`):
                Whether the annotator was correct: booleans, or 0 and 1, with both present.

        Returns:
            The calibrator itself.
        """
        scores = _as_scores(scores)
        labels = np.asarray(correct, dtype=np.float64)
        if labels.shape != scores.shape:
            raise ValueError(
                f"scores and correct must have the same shape (N,), got {scores.shape} and {labels.shape}"
            )
        bad = np.flatnonzero((labels != 0) & (labels != 1))
        if bad.size:
            raise ValueError(
                f"correct must be 0 or 1; {bad.size} values are not, first: row {bad[0]}, value {labels[bad[0]]}"
            )
        if np.unique(labels).size < 2:
            raise ValueError("correct needs at least one 0 and one 1 to fit a calibrator")
        model = LogisticRegression(C=1.0).fit(scores[:, None], labels)
        self.coef, self.intercept = float(model.coef_[0, 0]), float(model.intercept_[0])
        return self

    def predict(self, scores: ArrayLike) -> np.ndarray:
        """P(correct) of shape `(N,)` in float64."""
        if self.coef is None:
            raise NotFittedError("call fit(scores, correct) before predict")
        return expit(self.coef * _as_scores(scores) + self.intercept)

    def to_dict(self) -> dict[str, str | float]:
        """Plain Python types, for JSON."""
        if self.coef is None:
            raise NotFittedError("call fit(scores, correct) before to_dict")
        return {"kind": self.kind, "coef": self.coef, "intercept": self.intercept}

    @classmethod
    def from_dict(cls, config: dict[str, str | float]) -> "PlattCalibrator":
        """Rebuilds what [`~PlattCalibrator.to_dict`] wrote."""
        if config.get("kind") != cls.kind:
            raise ValueError(f"expected a calibrator of kind '{cls.kind}', got {config.get('kind')!r}")
        return cls(float(config["coef"]), float(config["intercept"]))
