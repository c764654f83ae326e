"""Do the scores tell anything about correctness?"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...evaluation.statistics import Estimate, cluster_bootstrap
from .rubric import CRITERIA


def difficulty_correlations(
    scores: Mapping[str, ArrayLike] | pd.DataFrame,
    correct: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """
    Correlation of each criterion with correctness: negative if annotators err more often on pairs that were scored harder.

    Only rows count on which the annotator could be right or wrong: leave out pairs of two right or of two wrong
    responses.

    Args:
        scores (`Mapping` or `pandas.DataFrame`):
            Criterion -> scores of shape `(N,)`; other columns are ignored.
        correct (`array_like` of shape `(N,)`):
            Whether the annotator was correct, 0 or 1.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Question of every row; by default rows are independent.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.

    Returns:
        `dict[str, Estimate]`: Pearson's correlation with a cluster bootstrap interval, for every criterion in `scores`;
        `nan` for a criterion whose scores are all equal.
    """
    y = np.asarray(correct, dtype=np.float64)
    if y.ndim != 1 or not np.isin(y, (0, 1)).all():
        raise ValueError("correct must have shape (N,) and hold 0 and 1 only")
    units = np.arange(y.size) if clusters is None else clusters
    estimates = {}
    for name in (name for name in CRITERIA if name in scores):
        x = np.asarray(scores[name], dtype=np.float64)
        if x.shape != y.shape or not np.isfinite(x).all():
            raise ValueError(f"scores of {name} must be finite numbers of shape {y.shape} like correct, got {x.shape}")
        estimates[name] = cluster_bootstrap(
            lambda w, x=x: _correlation(w, x, y), units, resamples=resamples, seed=seed, level=level
        )
    if not estimates:
        raise ValueError(f"scores has none of the criteria {', '.join(CRITERIA)}")
    return estimates


def _correlation(w: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y, w = x - x.mean(), y - y.mean(), w / w.sum(axis=1, keepdims=True)
    mean_x, mean_y = w @ x, w @ y
    var_x, var_y = w @ x**2 - mean_x**2, w @ y**2 - mean_y**2
    # what cancellation leaves of equal scores is no variance
    var_x = np.where(var_x > 1e-12, var_x, np.nan)
    var_y = np.where(var_y > 1e-12, var_y, np.nan)
    return (w @ (x * y) - mean_x * mean_y) / np.sqrt(var_x * var_y)
