"""Histogram binning: the share of correct rows among those with similar scores."""

import logging
from typing import Literal

import numpy as np

from .base import Calibrator
from .inputs import equal_mass_starts


logger = logging.getLogger(__name__)


class HistogramCalibrator(Calibrator):
    r"""
    Histogram binning: all scores in a bin get the bin's share of correct rows, \( (\sum y + \alpha)/(n + 2\alpha) \). For
    scores on any scale and soft labels in [0, 1]. Assumes no shape, so it need not rise with the score.

    Bins are closed on the left, and the first and last reach to infinity. With equal mass, sorted rows are cut into bins
    whose sizes differ by one at most, and edges are halfway between the scores on both sides; ties make fewer bins, and
    the number of those that remain is logged. With equal width, the range of the fitted scores is divided; a bin without
    rows gets the overall share of correct rows, smoothed likewise, and their number is logged.

    References:
        - Zadrozny and Elkan, Obtaining Calibrated Probability Estimates from Decision Trees and Naive Bayesian
          Classifiers, 2001.

    Args:
        n_bins (`int`, *optional*, defaults to `10`):
            Number of bins asked for.
        strategy (`"quantile"` or `"uniform"`, *optional*, defaults to `"quantile"`):
            Bins of equal mass or of equal width.
        smoothing (`float`, *optional*, defaults to `1.0`):
            α, rows added to each bin as correct and as incorrect: 1 is Laplace's rule, 0 the plain share.
        edges (`list` of `float`, *optional*):
            Inner edges, ascending, of a calibrator fitted before.
        probabilities (`list` of `float`, *optional*):
            Values of the bins, one more than edges.

    Example:
        ```python
        >>> calibrator = HistogramCalibrator(n_bins=2, smoothing=0.0).fit([0.1, 0.2, 0.8, 0.9], [0, 1, 1, 1])
        >>> calibrator.predict([0.0, 0.7])
        array([0.5, 1. ])
        ```
    """

    kind = "histogram"
    settings = ("n_bins", "strategy", "smoothing")
    parameters = ("edges", "probabilities")
    soft_labels = True

    def __init__(
        self,
        n_bins: int = 10,
        strategy: Literal["quantile", "uniform"] = "quantile",
        smoothing: float = 1.0,
        edges: list[float] | None = None,
        probabilities: list[float] | None = None,
    ):
        if n_bins < 1:
            raise ValueError(f"n_bins must be at least 1, got {n_bins}")
        if strategy not in ("quantile", "uniform"):
            raise ValueError(f'strategy must be "quantile" or "uniform", got {strategy!r}')
        if not 0 <= smoothing < np.inf:
            raise ValueError(f"smoothing must be a finite number of at least 0, got {smoothing}")
        if (edges is None) != (probabilities is None) or edges is not None and len(edges) + 1 != len(probabilities):
            raise ValueError("give edges and one more probabilities, or neither")
        self.n_bins = n_bins
        self.strategy = strategy
        self.smoothing = smoothing
        self.edges = edges
        self.probabilities = probabilities

    def _fit(self, scores: np.ndarray, labels: np.ndarray) -> None:
        if self.strategy == "quantile":
            edges = equal_mass_edges(scores, self.n_bins)
            if edges.size + 1 < self.n_bins:
                logger.warning("histogram: ties leave %d bins of the %d asked for", edges.size + 1, self.n_bins)
        else:
            edges = np.linspace(scores.min(), scores.max(), self.n_bins + 1)[1:-1]
        bins = np.searchsorted(edges, scores, side="right")
        counts = np.bincount(bins, minlength=edges.size + 1)
        hits = np.bincount(bins, weights=labels, minlength=edges.size + 1)
        empty = counts == 0
        if empty.any():
            logger.warning("histogram: %d of %d bins have no rows and get the overall share", empty.sum(), empty.size)
            counts[empty], hits[empty] = labels.size, labels.sum()
        self.edges = edges.tolist()
        self.probabilities = ((hits + self.smoothing) / (counts + 2 * self.smoothing)).tolist()

    def _predict(self, scores: np.ndarray) -> np.ndarray:
        return np.asarray(self.probabilities)[np.searchsorted(self.edges, scores, side="right")]


def equal_mass_edges(scores: np.ndarray, n_bins: int) -> np.ndarray:
    """Inner edges of bins of equal mass, halfway between the highest score of a bin and the lowest of the next."""
    unique = np.unique(scores)
    above = np.searchsorted(unique, equal_mass_starts(scores, n_bins))
    return (unique[above - 1] + unique[above]) / 2
