"""Platt scaling, then histogram binning of what it predicts."""

import logging
from typing import Literal

import numpy as np

from .base import Calibrator
from .histogram import equal_mass_edges
from .platt import PlattCalibrator


logger = logging.getLogger(__name__)


class PlattHistogramCalibrator(Calibrator):
    r"""
    Scaling-binning: Platt scaling, whose predictions are cut into bins of equal mass; all rows of a bin get its mean
    *prediction*, not its share of correct rows. For scores on any scale and labels 0 and 1.

    Takes finitely many values, so that its calibration error can be measured, with far less variance than plain histogram
    binning, because the parametric fit smooths over the bins. It inherits the shape of Platt scaling, though: where that is
    wrong, bins do not repair it.

    References:
        - Kumar, Liang and Ma, Verified Uncertainty Calibration, 2019, section 4. There, the bins are made on rows of their
          own; here, as in the code of How Humans Help LLMs, on those of the fit.

    Args:
        n_bins (`int`, *optional*, defaults to `10`):
            Number of bins asked for.
        C (`float`, *optional*, defaults to `1e10`):
            Inverse strength of Platt scaling's penalty.
        inputs (`"scores"` or `"probabilities"`, *optional*, defaults to `"scores"`):
            `"probabilities"`: scores in [0, 1], whose log-odds are regressed on.
        coef (`float`, *optional*):
            Slope of Platt scaling, of a calibrator fitted before.
        intercept (`float`, *optional*):
            Its intercept, likewise.
        edges (`list` of `float`, *optional*):
            Inner edges of the bins of its predictions, ascending, likewise.
        probabilities (`list` of `float`, *optional*):
            Values of the bins, one more than edges.

    Example:
        ```python
        >>> calibrator = PlattHistogramCalibrator(n_bins=2).fit([0.0, 1.0, 2.0, 3.0], [0, 1, 0, 1])
        >>> calibrator.predict([-5.0, 5.0]).round(4)
        array([0.2961, 0.7039])
        ```
    """

    kind = "platt_histogram"
    settings = ("n_bins", "C", "inputs")
    parameters = ("coef", "intercept", "edges", "probabilities")

    def __init__(
        self,
        n_bins: int = 10,
        C: float = 1e10,
        inputs: Literal["scores", "probabilities"] = "scores",
        coef: float | None = None,
        intercept: float | None = None,
        edges: list[float] | None = None,
        probabilities: list[float] | None = None,
    ):
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, got {n_bins}")
        if (edges is None) != (probabilities is None) or edges is not None and len(edges) + 1 != len(probabilities):
            raise ValueError("give edges and one more probabilities, or neither")
        self._platt = PlattCalibrator(coef, intercept, C=C, inputs=inputs)
        self.n_bins = n_bins
        self.C = C
        self.inputs = inputs
        self.edges = edges
        self.probabilities = probabilities

    @property
    def coef(self) -> float | None:
        """Slope of Platt scaling."""
        return self._platt.coef

    @property
    def intercept(self) -> float | None:
        """Intercept of Platt scaling."""
        return self._platt.intercept

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        predicted = self._platt.fit(scores, labels).predict(scores)
        edges = equal_mass_edges(predicted, self.n_bins)
        if edges.size + 1 < self.n_bins:
            logger.warning("platt_histogram: ties leave %d bins of the %d asked for", edges.size + 1, self.n_bins)
        bins = np.searchsorted(edges, predicted, side="right")
        self.edges = edges.tolist()
        self.probabilities = (np.bincount(bins, weights=predicted) / np.bincount(bins)).tolist()

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        bins = np.searchsorted(self.edges, self._platt.predict(scores), side="right")
        return np.asarray(self.probabilities)[bins]
