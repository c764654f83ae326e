"""Isotonic regression: the best rising step function."""

import numpy as np
from sklearn.isotonic import IsotonicRegression

from .base import Calibrator


class IsotonicCalibrator(Calibrator):
    """
    Isotonic regression: the rising function closest to the labels, linear between its steps and constant outside the
    fitted scores. For scores on any scale and soft labels in [0, 1]. The original code takes it where labels are soft.

    A score that speaks against the annotator gives a constant: turn it first. Few rows at the ends may give exactly 0 or
    1, which no weight survives (P(correct) = 0 has weight 0); see the report of evaluation before using it.

    References:
        - Zadrozny and Elkan, Transforming Classifier Scores into Accurate Multiclass Probability Estimates, 2002.

    Args:
        thresholds (`list` of `float`, *optional*):
            Scores at which the function is known, ascending, of a calibrator fitted before.
        probabilities (`list` of `float`, *optional*):
            Its values there, not falling, in [0, 1].

    Example:
        ```python
        >>> calibrator = IsotonicCalibrator().fit([1.0, 2.0, 3.0, 4.0], [0.0, 0.75, 0.25, 1.0])
        >>> calibrator.predict([0.0, 2.0, 3.5])
        array([0.  , 0.5 , 0.75])
        ```
    """

    kind = "isotonic"
    parameters = ("thresholds", "probabilities")
    soft_labels = True

    def __init__(self, thresholds: list[float] | None = None, probabilities: list[float] | None = None):
        if (thresholds is None) != (probabilities is None) or len(thresholds or ()) != len(probabilities or ()):
            raise ValueError("give thresholds and probabilities of the same length, or neither")
        if thresholds is not None:
            levels = np.asarray(probabilities)
            if (np.diff(thresholds) < 0).any() or (np.diff(levels) < 0).any() or levels[0] < 0 or levels[-1] > 1:
                raise ValueError("thresholds and probabilities must not fall, and probabilities must lie in [0, 1]")
        self.thresholds = thresholds
        self.probabilities = probabilities

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        model = IsotonicRegression(increasing=True, out_of_bounds="clip").fit(scores, labels)
        self.thresholds = model.X_thresholds_.tolist()
        # means of labels in [0, 1], up to rounding
        self.probabilities = np.clip(model.y_thresholds_, 0.0, 1.0).tolist()

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return np.interp(scores, self.thresholds, self.probabilities)
