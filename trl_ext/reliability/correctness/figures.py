"""How well predicted probabilities of being correct fit what annotators did: figures with intervals."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlogy

from ...evaluation.statistics import Estimate, cluster_bootstrap, mean_estimate, paired_difference, proportion_estimate


def weighted_auc(scores: np.ndarray, correct: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """
    Area under the ROC curve of weighted rows: P(score of a correct row > score of a wrong one), ties half.

    Args:
        scores (`numpy.ndarray` of shape `(N,)`): Scores.
        correct (`numpy.ndarray` of shape `(N,)`): Labels 0 and 1.
        weights (`numpy.ndarray` of shape `(B, N)`): Weights of the rows in B resamples.

    Returns:
        `numpy.ndarray` of shape `(B,)`: `nan` where a resample lacks one of the labels.
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(scores[order]) > 0])
    positive = np.add.reduceat((weights * correct)[:, order], starts, axis=1)
    negative = np.add.reduceat((weights * (1 - correct))[:, order], starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))


def auc_estimate(
    scores: ArrayLike, correct: ArrayLike, clusters: ArrayLike, *, resamples: int = 2000, seed: int = 0
) -> Estimate:
    """
    Area under the ROC curve with a bootstrap interval over clusters; 0.5 is chance.

    Example:
        ```python
        >>> auc_estimate([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], clusters=range(4)).value
        0.75
        ```
    """
    scores, correct = np.asarray(scores, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    return cluster_bootstrap(
        lambda w: weighted_auc(scores, correct, w), np.asarray(clusters), resamples=resamples, seed=seed
    )


def _binned_gap(probabilities: np.ndarray, correct: np.ndarray, bins: int):
    """Statistic: mean over rows of |mean probability − share correct| of the row's bin; bins of equal numbers of rows."""
    edges = np.unique(np.quantile(probabilities, np.linspace(0, 1, bins + 1)[1:-1]))
    member = np.eye(edges.size + 1)[np.searchsorted(edges, probabilities, side="left")]
    gaps = (probabilities - correct)[:, None] * member
    return lambda w: np.abs(w @ gaps).sum(axis=1) / w.sum(axis=1)


def correctness_figures(
    probabilities: ArrayLike,
    correct: ArrayLike,
    clusters: ArrayLike,
    *,
    base_rate: float,
    bins: int = 10,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """
    Figures of predicted probabilities that the annotator is correct, beside the predictor that always says `base_rate`.

    Args:
        probabilities (`array_like` of shape `(N,)`):
            Predictions in [0, 1].
        correct (`array_like` of shape `(N,)`):
            Labels 0 and 1.
        clusters (`array_like` of shape `(N,)`):
            Label of the question of every row.
        base_rate (`float`):
            Share of correct annotators in rows other than these: what to beat.
        bins (`int`, *optional*, defaults to `10`):
            Bins of equal numbers of rows for the expected calibration error, which is biased upwards in few rows: a
            calibrated predictor gets about sqrt(2/π · bins/N · p(1−p)).
        resamples (`int`, *optional*, defaults to `2000`):
            Bootstrap resamples of questions, for `auc` and `ece`.
        seed (`int`, *optional*, defaults to `0`):
            Their seed.

    Returns:
        `dict[str, Estimate]`: `auc`, `brier`, `log_loss` (nats), `ece`, `accuracy` (of the prediction "correct" from 0.5
        on), `mean_probability`, `share_correct`; `brier_base_rate`, `log_loss_base_rate`, `ece_base_rate`,
        `accuracy_base_rate`; and the differences `brier_minus_base_rate`, `log_loss_minus_base_rate` (below 0: the model
        is better).

    Example:
        ```python
        >>> figures = correctness_figures([0.9, 0.8, 0.4, 0.7], [1, 1, 0, 0], clusters=range(4), base_rate=0.5)
        >>> round(figures["brier"].value, 4), figures["auc"].value, figures["accuracy"].value
        (0.175, 1.0, 0.75)
        ```
    """
    p, y = np.asarray(probabilities, dtype=np.float64), np.asarray(correct, dtype=np.float64)
    if p.ndim != 1 or p.shape != y.shape:
        raise ValueError(f"probabilities and correct must have the same shape (N,), got {p.shape} and {y.shape}")
    bad = np.flatnonzero(~((p >= 0) & (p <= 1)))
    if bad.size:
        raise ValueError(f"{bad.size} probabilities lie outside [0, 1]; first: row {bad[0]}, value {p[bad[0]]}")
    if not 0 < base_rate < 1:
        raise ValueError(f"base_rate must lie strictly between 0 and 1, got {base_rate}")
    clusters = np.asarray(clusters)
    boot = {"clusters": clusters, "resamples": resamples, "seed": seed}
    figures = {
        "auc": auc_estimate(p, y, **boot),
        "share_correct": proportion_estimate(y, clusters),
        "mean_probability": mean_estimate(p, clusters),
    }
    losses = {}
    for suffix, prediction in (("", p), ("_base_rate", np.full_like(p, base_rate))):
        losses[f"brier{suffix}"] = (prediction - y) ** 2
        with np.errstate(divide="ignore"):
            losses[f"log_loss{suffix}"] = -(xlogy(y, prediction) + xlogy(1 - y, 1 - prediction))
        figures[f"brier{suffix}"] = mean_estimate(losses[f"brier{suffix}"], clusters)
        figures[f"log_loss{suffix}"] = _mean_or_infinite(losses[f"log_loss{suffix}"], clusters)
        figures[f"ece{suffix}"] = cluster_bootstrap(_binned_gap(prediction, y, bins), **boot)
        figures[f"accuracy{suffix}"] = proportion_estimate((prediction >= 0.5) == (y == 1), clusters)
    for name in ("brier", "log_loss"):
        if np.isfinite(losses[name]).all():
            figures[f"{name}_minus_base_rate"] = paired_difference(losses[name], losses[f"{name}_base_rate"], clusters)
    return figures


def _mean_or_infinite(losses: np.ndarray, clusters: np.ndarray) -> Estimate:
    if np.isfinite(losses).all():
        return mean_estimate(losses, clusters)
    return Estimate(np.inf, np.nan, np.nan, np.inf, losses.size, "mean, infinite: a probability of 0 or 1 was wrong")
