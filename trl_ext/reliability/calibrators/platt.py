"""Platt scaling: a logistic regression of one score."""

from typing import Any, Literal, Self

import numpy as np
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from .base import Calibrator
from .inputs import as_probabilities


# Scores that differ by less than this share of the largest differ by rounding only, in float32
_ROUNDING = 1e-6

# Options that a file names only where they differ, so that files of before they existed stay as they are
_DEFAULTS = {"C": 1.0, "inputs": "scores"}


class PlattCalibrator(Calibrator):
    r"""
    Platt scaling: \( P(\text{correct}) = \sigma(a \cdot \text{score} + b) \), a logistic regression with an L2 penalty on
    `a` and none on `b`. For scores on any scale and labels 0 and 1; probabilities can be taken by their log-odds.

    The penalty depends on the scale of the scores: it holds the slope near 0 where they are small. With `standardize=True`
    it does not: the regression is one of \( (\text{score} - m) / s \), with mean `m` and standard deviation `s` of the rows
    fitted on, which are kept with it.

    The slope may come out negative: the score then speaks against the annotator, and `coef` says so.

    References:
        - Platt, Probabilistic Outputs for Support Vector Machines, 1999.
        - The `TRUE_calibrated_*` columns of the LIE dataset of Reliability-Aware Preference Learning are this, not
          standardised, fitted on the TRUE calibration split.
        - How Humans Help LLMs has it of log-odds, with `C=1e10`.

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
        C (`float`, *optional*, defaults to `1.0`):
            Inverse strength of the penalty. `1e10` is as good as none.
        inputs (`"scores"` or `"probabilities"`, *optional*, defaults to `"scores"`):
            `"probabilities"`: scores in [0, 1], whose log-odds are regressed on.

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
        C: float = 1.0,
        inputs: Literal["scores", "probabilities"] = "scores",
    ):
        if (coef is None) != (intercept is None):
            raise ValueError(f"give both coef and intercept or neither, got coef={coef}, intercept={intercept}")
        if not sd > 0:
            raise ValueError(f"sd must be positive, got {sd}")
        if not standardize and (mean, sd) != (0.0, 1.0):
            raise ValueError(f"mean and sd are those of standardize=True, got mean={mean}, sd={sd}")
        if not C > 0:
            raise ValueError(f"C must be positive, got {C}")
        if inputs not in ("scores", "probabilities"):
            raise ValueError(f'inputs must be "scores" or "probabilities", got {inputs!r}')
        self.coef = coef
        self.intercept = intercept
        self.standardize = standardize
        self.mean = mean
        self.sd = sd
        self.C = C
        self.inputs = inputs

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        content = super().to_dict()
        if self.standardize:
            content |= {"standardize": True, "mean": self.mean, "sd": self.sd}
        return content | {name: value for name, value in self._options().items() if value != _DEFAULTS[name]}

    def _options(self) -> dict[str, Any]:
        return {"C": self.C, "inputs": self.inputs}

    @classmethod
    def from_dict(cls, config: dict[str, Any]) -> Self:
        """Rebuilds what `to_dict` wrote."""
        calibrator = super().from_dict(config)
        options = {name: config[name] for name in _DEFAULTS if name in config}
        if config.get("standardize"):
            if missing := [name for name in ("mean", "sd") if name not in config]:
                raise ValueError(f"the standardising platt calibrator lacks {missing}; it has {sorted(config)}")
            options |= {"standardize": True, "mean": config["mean"], "sd": config["sd"]}
        if options:
            record = calibrator.fit_record
            calibrator = cls(calibrator.coef, calibrator.intercept, **options)
            calibrator.fit_record = record
        return calibrator

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        scores = self._regressed(scores)
        if self.standardize:
            sd = float(scores.std())
            self.mean = float(scores.mean())
            self.sd = sd if sd > _ROUNDING * np.abs(scores).max() else 1.0  # scores without any spread stay so
        model = LogisticRegression(C=self.C).fit(self._standardized(scores)[:, None], labels)
        self.coef, self.intercept = float(model.coef_[0, 0]), float(model.intercept_[0])

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return expit(self.coef * self._standardized(self._regressed(scores)) + self.intercept)

    def _regressed(self, scores: np.ndarray) -> np.ndarray:
        return logit(as_probabilities(scores, self.kind)) if self.inputs == "probabilities" else scores

    def _standardized(self, scores: np.ndarray) -> np.ndarray:
        return (scores - self.mean) / self.sd if self.standardize else scores
