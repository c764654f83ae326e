"""Platt scaling: a logistic regression of one score."""

from typing import Any, Self

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from .base import Calibrator


# Scores that differ by less than this share of the largest differ by rounding only, in float32
_ROUNDING = 1e-6


class PlattCalibrator(Calibrator):
    r"""
    Platt scaling: \( P(\text{correct}) = \sigma(a \cdot \text{score} + b) \), a logistic regression with the L2 penalty
    `C=1` on `a` and none on `b`. For scores on any scale and labels 0 and 1.

    The penalty depends on the scale of the scores: it holds the slope near 0 where they are small. With `standardize=True`
    it does not: the regression is one of \( (\text{score} - m) / s \), with mean `m` and standard deviation `s` of the rows
    fitted on, which are kept with it.

    The slope may come out negative: the score then speaks against the annotator, and `coef` says so.

    References:
        - Platt, Probabilistic Outputs for Support Vector Machines, 1999.
        - The `TRUE_calibrated_*` columns of the LIE dataset of Reliability-Aware Preference Learning are this, not
          standardised, fitted on the TRUE calibration split.

    Args:
        coef (`float`, *optional*):
            Slope `a`, of a calibrator fitted before.
        intercept (`float`, *optional*):
            Intercept `b`, likewise.
        standardize (`bool`, *optional*, defaults to `False`):
            Whether slope and intercept are those of standardised scores.
        mean (`float`, *optional*, defaults to `0.0`):
            Mean `m`, of a standardising calibrator fitted before.
        sd (`float`, *optional*, defaults to `1.0`):
            Standard deviation `s`, likewise.

    Example:
        ```python
        >>> calibrator = PlattCalibrator().fit([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], fitted_on="calibration split")
        >>> PlattCalibrator.from_dict(calibrator.to_dict()).predict([0.5]).round(6)
        array([0.5])
        ```
    """

    kind = "platt"
    parameters = ("coef", "intercept")

    def __init__(
        self,
        coef: float | None = None,
        intercept: float | None = None,
        *,
        standardize: bool = False,
        mean: float = 0.0,
        sd: float = 1.0,
    ):
        if (coef is None) != (intercept is None):
            raise ValueError(f"give both coef and intercept or neither, got coef={coef}, intercept={intercept}")
        if not sd > 0:
            raise ValueError(f"sd must be positive, got {sd}")
        if not standardize and (mean, sd) != (0.0, 1.0):
            raise ValueError(f"mean and sd are those of standardize=True, got mean={mean}, sd={sd}")
        self.coef = coef
        self.intercept = intercept
        self.standardize = standardize
        self.mean = mean
        self.sd = sd

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        content = super().to_dict()
        return content | {"standardize": True, "mean": self.mean, "sd": self.sd} if self.standardize else content

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Rebuilds what `to_dict` wrote."""
        calibrator = super().from_dict(config)
        if config.get("standardize"):
            if missing := [name for name in ("mean", "sd") if name not in config]:
                raise ValueError(f"the standardising platt calibrator lacks {missing}; it has {sorted(config)}")
            record = calibrator.fit_record
            calibrator = cls(
                calibrator.coef, calibrator.intercept, standardize=True, mean=config["mean"], sd=config["sd"]
            )
            calibrator.fit_record = record
        return calibrator

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        if self.standardize:
            sd = float(scores.std())
            self.mean = float(scores.mean())
            self.sd = sd if sd > _ROUNDING * np.abs(scores).max() else 1.0  # scores without any spread stay so
        model = LogisticRegression(C=1.0).fit(self._standardized(scores)[:, None], labels)
        self.coef, self.intercept = float(model.coef_[0, 0]), float(model.intercept_[0])

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return expit(self.coef * self._standardized(scores) + self.intercept)

    def _standardized(self, scores: np.ndarray) -> np.ndarray:
        return (scores - self.mean) / self.sd if self.standardize else scores
