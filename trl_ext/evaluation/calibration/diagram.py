"""Reliability diagram: what was predicted against what happened, bin by bin."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..statistics import proportion_estimate, wilson_interval
from .scores import BinStrategy, as_predictions, bin_codes, bin_edges


@dataclass(frozen=True)
class ReliabilityDiagram:
    """
    Bins of predictions, K of them. Where a bin has no rows, all but its edges and `n` is `nan`.

    Args:
        edges (`numpy.ndarray` of shape `(K + 1,)`):
            Edges, from 0 to 1; bins are closed on the left.
        n (`numpy.ndarray` of shape `(K,)`):
            Number of rows.
        mean_predicted (`numpy.ndarray` of shape `(K,)`):
            Mean prediction.
        observed (`numpy.ndarray` of shape `(K,)`):
            Mean label.
        ci_low (`numpy.ndarray` of shape `(K,)`):
            Lower end of Wilson's interval of `observed`.
        ci_high (`numpy.ndarray` of shape `(K,)`):
            Upper end.
        level (`float`):
            Confidence level of each bin alone.
        method (`str`):
            How the bins and the intervals were made.
    """

    edges: np.ndarray
    n: np.ndarray
    mean_predicted: np.ndarray
    observed: np.ndarray
    ci_low: np.ndarray
    ci_high: np.ndarray
    level: float
    method: str

    def to_frame(self) -> pd.DataFrame:
        """One row per bin: `bin_low`, `bin_high`, `n`, `mean_predicted`, `observed`, `ci_low`, `ci_high`."""
        return pd.DataFrame(
            {
                "bin_low": self.edges[:-1],
                "bin_high": self.edges[1:],
                "n": self.n,
                "mean_predicted": self.mean_predicted,
                "observed": self.observed,
                "ci_low": self.ci_low,
                "ci_high": self.ci_high,
            }
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return {"level": self.level, "method": self.method, "bins": self.to_frame().to_dict("records")}


def reliability_diagram(
    probabilities: ArrayLike,
    labels: ArrayLike,
    *,
    n_bins: int = 10,
    strategy: BinStrategy = "uniform",
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> ReliabilityDiagram:
    """
    Mean prediction and mean label of each bin of the prediction.

    References:
        - DeGroot and Fienberg, The Comparison and Evaluation of Forecasters, 1983.

    Args:
        probabilities (`array_like` of shape `(N,)`):
            Predicted probabilities of the positive class.
        labels (`array_like` of shape `(N,)`):
            0 and 1, or soft labels in [0, 1].
        n_bins (`int`, *optional*, defaults to `10`):
            Number of bins; ties in `"quantile"` bins may leave fewer.
        strategy (`"uniform"` or `"quantile"`, *optional*, defaults to `"uniform"`):
            Bins of equal width, or of equal mass.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row. A bin with rows of one cluster only has a `nan` interval.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of each bin alone.

    Returns:
        [`ReliabilityDiagram`]

    Example:
        ```python
        >>> diagram = reliability_diagram([0.2, 0.2, 0.7, 0.9], [0, 1, 1, 1], n_bins=2)
        >>> diagram.n, diagram.observed
        (array([2, 2]), array([0.5, 1. ]))
        ```
    """
    p, y = as_predictions(probabilities, labels)
    edges = bin_edges(p, n_bins, strategy)
    codes = bin_codes(p, edges)
    labels_of_clusters = None if clusters is None else np.asarray(clusters)
    if labels_of_clusters is not None and labels_of_clusters.shape != p.shape:
        raise ValueError(f"clusters must have one label per row, shape {p.shape}, got {labels_of_clusters.shape}")
    bins = edges.size - 1
    n = np.bincount(codes, minlength=bins)
    columns = np.full((4, bins), np.nan)
    for code in np.flatnonzero(n):
        rows = codes == code
        if clusters is None:
            share = wilson_interval(y[rows].sum(), int(n[code]), level)
        else:
            share = proportion_estimate(y[rows], labels_of_clusters[rows], level)
        columns[:, code] = p[rows].mean(), share.value, share.ci_low, share.ci_high
    unit = "rows" if clusters is None else "clusters"
    method = f"{strategy} bins, Wilson interval of each bin ({unit}, {level:g} level)"
    return ReliabilityDiagram(edges, n, *columns, level=level, method=method)
