"""Temperature scaling: one number that makes a model less, or more, sure."""

import logging
from typing import Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit

from .base import Calibrator
from .inputs import as_probabilities


logger = logging.getLogger(__name__)

# A model is not made more than this many times less or more sure
_LARGEST = 1e4


class TemperatureCalibrator(Calibrator):
    r"""
    Temperature scaling: \( P(\text{correct}) = \sigma(z / T) \), with the T > 0 that minimises the log-loss. For logits of
    a model, or for probabilities, which are turned into logits. Takes soft labels in [0, 1].

    Keeps the order of the scores and the side of one half they lie on. T > 1: the model was too sure. The log-loss is
    convex in 1/T, so its derivative has at most one zero; where it has none within [1e-4, 1e4] (scores that tell nothing,
    or that separate the labels), T is the end of that range and a warning is logged.

    References:
        - Guo et al., On Calibration of Modern Neural Networks, 2017.

    Args:
        inputs (`"logits"` or `"probabilities"`, *optional*, defaults to `"logits"`):
            What the scores are. Of a head with two logits take [`logit_difference`] first.
        temperature (`float`, *optional*):
            T, of a calibrator fitted before.

    Example:
        ```python
        >>> # 3 of 4 right at logits of size 3: sigma(3 / T) = 0.75, T = 3 / log 3
        >>> calibrator = TemperatureCalibrator().fit([3.0, 3.0, 3.0, 3.0], [1, 1, 1, 0])
        >>> round(calibrator.temperature, 4)
        2.7307
        ```
    """

    kind = "temperature"
    settings = ("inputs",)
    parameters = ("temperature",)
    soft_labels = True

    def __init__(self, inputs: Literal["logits", "probabilities"] = "logits", temperature: float | None = None):
        if inputs not in ("logits", "probabilities"):
            raise ValueError(f'inputs must be "logits" or "probabilities", got {inputs!r}')
        if temperature is not None and not 0 < temperature < np.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        self.inputs = inputs
        self.temperature = temperature

    def _logits(self, scores: np.ndarray) -> np.ndarray:
        return scores if self.inputs == "logits" else logit(as_probabilities(scores, self.kind))

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        logits = self._logits(scores)

        def slope(inverse_temperature: float) -> float:
            """Derivative of the log-loss by 1/T."""
            return float(np.mean((expit(inverse_temperature * logits) - labels) * logits))

        low, high = 1 / _LARGEST, _LARGEST
        if slope(low) < 0 < slope(high):
            self.temperature = 1 / brentq(slope, low, high, xtol=1e-13, rtol=1e-14)
            return
        self.temperature = _LARGEST if slope(low) >= 0 else 1 / _LARGEST
        logger.warning(
            "temperature: the log-loss has no minimum within [%g, %g], T is set to %g: %s",
            1 / _LARGEST,
            _LARGEST,
            self.temperature,
            "the scores tell nothing about the labels" if slope(low) >= 0 else "the scores separate the labels",
        )

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return expit(self._logits(scores) / self.temperature)
