"""Precision, recall and F1 of predicted probabilities beside the scores that need no threshold."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import precision_recall_curve

from ..calibration.scores import as_predictions, brier_score, log_loss
from ..statistics import Estimate, area_under_curve, cluster_bootstrap, proportion_estimate


@dataclass(frozen=True)
class BinaryScores:
    """
    Scores of predicted probabilities against labels 0 and 1.

    Args:
        auc ([`Estimate`]):
            [`area_under_curve`].
        precision ([`Estimate`]):
            Share of positives among the rows predicted positive, `n` of them; `nan` without any.
        recall ([`Estimate`]):
            Share of predicted positives among the `n` positives.
        f1 ([`Estimate`]):
            Harmonic mean of both, with a bootstrap interval.
        log_loss ([`Estimate`] or `None`):
            [`log_loss`]; `None` when it is infinite.
        brier ([`Estimate`]):
            [`brier_score`].
        threshold (`float`):
            Rows of at least this probability are predicted positive.
    """

    auc: Estimate
    precision: Estimate
    recall: Estimate
    f1: Estimate
    log_loss: Estimate | None
    brier: Estimate
    threshold: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in values.items()}


def binary_scores(
    probabilities: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    threshold: float | Literal["best_f1"] = 0.5,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> BinaryScores:
    """
    AUC, precision, recall, F1, log-loss and Brier score.

    References:
        - The summary of How Humans Help LLMs, whose threshold is `"best_f1"`.

    Args:
        probabilities (`array_like` of shape `(N,)`):
            Predicted probabilities of the positive class.
        labels (`array_like` of shape `(N,)`):
            0 and 1, both present.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster (question, annotator) of every row.
        threshold (`float` or `"best_f1"`, *optional*, defaults to `0.5`):
            From where on a row is predicted positive. `"best_f1"` takes the prediction with the highest F1 on these very
            rows: precision, recall and F1 are then too good, and their intervals do not know it.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.

    Returns:
        [`BinaryScores`]

    Example:
        ```python
        >>> scores = binary_scores([0.9, 0.7, 0.6, 0.2], [1, 1, 0, 1])
        >>> [round(estimate.value, 4) for estimate in (scores.precision, scores.recall, scores.f1)]
        [0.6667, 0.6667, 0.6667]
        ```
    """
    p, y = as_predictions(probabilities, labels)
    auc = area_under_curve(p, y, clusters, level=level, resamples=resamples, seed=seed)  # refuses other labels
    if threshold == "best_f1":
        threshold = _best_f1_threshold(p, y)
    elif not 0 <= threshold <= 1:
        raise ValueError(f'threshold must lie in [0, 1] or be "best_f1", got {threshold}')
    predicted, positive = p >= threshold, y == 1
    units = np.arange(p.size) if clusters is None else np.asarray(clusters)

    def share(hits: np.ndarray, rows: np.ndarray) -> Estimate:
        if not rows.any():
            return Estimate(np.nan, np.nan, np.nan, np.nan, 0, "no rows are predicted positive")
        return proportion_estimate(hits[rows], None if clusters is None else units[rows], level)

    def f1_of(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):  # a resample without positives has none
            return 2 * (weights @ (predicted & positive)) / (weights @ (1.0 * predicted + positive))

    infinite = bool(np.any((p == 0) & positive | (p == 1) & ~positive))
    f1 = cluster_bootstrap(f1_of, units, resamples=resamples, seed=seed, level=level)
    return BinaryScores(
        auc=auc,
        precision=share(positive, predicted),
        recall=share(predicted, positive),
        f1=f1,
        log_loss=None if infinite else log_loss(p, y, clusters, level),
        brier=brier_score(p, y, clusters, level),
        threshold=float(threshold),
    )


def _best_f1_threshold(p: np.ndarray, y: np.ndarray) -> float:
    precision, recall, thresholds = precision_recall_curve(y, p)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    return float(thresholds[np.argmax(f1[:-1])])
