"""Beta calibration: for scores that are probabilities already, with a shape that logistic scaling lacks."""

import logging

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from .base import Calibrator
from .inputs import as_probabilities


logger = logging.getLogger(__name__)


class BetaCalibrator(Calibrator):
    r"""
    Beta calibration: \( P(\text{correct}) = \sigma(a \log s - b \log(1 - s) + c) \) with a, b ≥ 0, for scores s in [0, 1]
    and soft labels in [0, 1]. `a = b = 1, c = 0` changes nothing, which Platt scaling of a probability cannot do.

    Fitted as in the paper: an unpenalised logistic regression on \( \log s \) and \( -\log(1-s) \); if a slope comes out
    negative, it is set to 0 and the other is fitted alone. If that one is negative too, the scores speak against the
    annotator: only `c` is left, and a warning is logged.

    References:
        - Kull, Silva Filho and Flach, Beta calibration: a well-founded and easily implemented improvement on logistic
          calibration for binary classifiers, 2017, section 4.

    Args:
        a (`float`, *optional*):
            Slope of log s, of a calibrator fitted before.
        b (`float`, *optional*):
            Slope of −log(1 − s), likewise.
        c (`float`, *optional*):
            Intercept, likewise.

    Example:
        ```python
        >>> BetaCalibrator(a=1.0, b=1.0, c=0.0).predict([0.2, 0.7]).round(6)
        array([0.2, 0.7])
        ```
    """

    kind = "beta"
    parameters = ("a", "b", "c")
    soft_labels = True

    def __init__(self, a: float | None = None, b: float | None = None, c: float | None = None):
        given = [value is not None for value in (a, b, c)]
        if any(given) and not all(given):
            raise ValueError(f"give all of a, b and c or none, got a={a}, b={b}, c={c}")
        if all(given) and (a < 0 or b < 0):
            raise ValueError(f"a and b must not be negative, got a={a}, b={b}")
        self.a, self.b, self.c = a, b, c

    def _features(self, scores: np.ndarray) -> np.ndarray:
        s = as_probabilities(scores, self.kind)
        return np.stack([np.log(s), -np.log1p(-s)], axis=1)

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        if scores[labels < 1].max() < scores[labels > 0].min():
            raise ValueError(
                "the scores separate the labels, so that a and b have no finite value; use platt, isotonic or histogram"
            )
        features = self._features(scores)
        slopes, intercept = _logistic(features, labels)
        if (slopes < 0).any():
            kept = int(np.argmax(slopes))
            slope, intercept = _logistic(features[:, [kept]], labels)
            slopes = np.zeros(2)
            slopes[kept] = slope[0]
        if (slopes < 0).any():
            slopes = np.zeros(2)
            rate = labels.mean()
            intercept = np.log(rate) - np.log1p(-rate)
            logger.warning("beta: high scores go with incorrect rows; a = b = 0, all rows get P = %.4g", rate)
        (self.a, self.b), self.c = slopes.tolist(), float(intercept)

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return expit(self._features(scores) @ [self.a, self.b] + self.c)


def _logistic(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Slopes and intercept of an unpenalised logistic regression on soft labels."""
    # a row with label y is y rows of 1 and 1 - y rows of 0
    weights = np.concatenate([labels, 1 - labels])
    classes = np.repeat([1, 0], len(labels))
    model = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000)
    model.fit(np.tile(features, (2, 1))[weights > 0], classes[weights > 0], sample_weight=weights[weights > 0])
    return model.coef_[0], float(model.intercept_[0])
