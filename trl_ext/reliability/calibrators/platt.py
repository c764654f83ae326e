"""Platt scaling: a logistic regression of one score."""

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from .base import Calibrator


class PlattCalibrator(Calibrator):
    r"""
    Platt scaling: \( P(\text{correct}) = \sigma(a \cdot \text{score} + b) \), a logistic regression with the L2 penalty
    `C=1` on `a` and none on `b`. For scores on any scale and labels 0 and 1.

    The slope may come out negative: the score then speaks against the annotator, and `coef` says so.

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
        >>> calibrator = PlattCalibrator().fit([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], fitted_on="calibration split")
        >>> PlattCalibrator.from_dict(calibrator.to_dict()).predict([0.5]).round(6)
        array([0.5])
        ```
    """

    kind = "platt"
    parameters = ("coef", "intercept")

    def __init__(self, coef: float | None = None, intercept: float | None = None):
        if (coef is None) != (intercept is None):
            raise ValueError(f"give both coef and intercept or neither, got coef={coef}, intercept={intercept}")
        self.coef = coef
        self.intercept = intercept

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        model = LogisticRegression(C=1.0).fit(scores[:, None], labels)
        self.coef, self.intercept = float(model.coef_[0, 0]), float(model.intercept_[0])

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return expit(self.coef * scores + self.intercept)
