"""All figures of calibration at once, and the calibrators they judge: fitted on one split, judged on another."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...reliability.calibrators import Calibrator
from ..statistics import Estimate, area_under_curve, mean_estimate, proportion_estimate
from .diagram import ReliabilityDiagram, reliability_diagram
from .scores import (
    BinStrategy,
    as_predictions,
    brier_score,
    ece_if_calibrated,
    expected_calibration_error,
    log_loss,
)


@dataclass(frozen=True)
class CalibrationReport:
    """
    How good predicted probabilities are.

    Args:
        brier ([`Estimate`]):
            [`brier_score`].
        log_loss ([`Estimate`] or `None`):
            [`log_loss`]; `None` when it is infinite, see `notes`.
        ece ([`Estimate`]):
            [`expected_calibration_error`].
        ece_if_calibrated ([`Estimate`]):
            ECE that calibrated predictions would get on as many rows.
        auc ([`Estimate`] or `None`):
            [`area_under_curve`]; `None` for soft labels or a single class, see `notes`.
        base_rate ([`Estimate`]):
            Mean label.
        bias ([`Estimate`]):
            Mean of prediction − label; 0 is calibrated in the large.
        diagram ([`ReliabilityDiagram`]):
            Bin by bin.
        n_rows (`int`):
            Number of rows.
        n_clusters (`int`):
            Number of clusters; `n_rows` when none were given.
        notes (`tuple` of `str`):
            Why a figure is missing.
    """

    brier: Estimate
    log_loss: Estimate | None
    ece: Estimate
    ece_if_calibrated: Estimate
    auc: Estimate | None
    base_rate: Estimate
    bias: Estimate
    diagram: ReliabilityDiagram
    n_rows: int
    n_clusters: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        plain = {name: value.to_dict() if hasattr(value, "to_dict") else value for name, value in values.items()}
        return {**plain, "notes": list(self.notes)}


def calibration_report(
    probabilities: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    n_bins: int = 10,
    strategy: BinStrategy = "uniform",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> CalibrationReport:
    """
    Every figure of calibration, with its interval.

    The rows must be held out: neither the model nor the calibrator may have seen them. For a calibrator,
    [`held_out_calibration_report`] checks what can be checked.

    Args:
        probabilities (`array_like` of shape `(N,)`):
            Predicted probabilities of the positive class.
        labels (`array_like` of shape `(N,)`):
            0 and 1, or soft labels in [0, 1].
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster (question, annotator) of every row.
        n_bins (`int`, *optional*, defaults to `10`):
            Number of bins of ECE and diagram.
        strategy (`"uniform"` or `"quantile"`, *optional*, defaults to `"uniform"`):
            Bins of equal width, or of equal mass.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples and of simulations.
        seed (`int`, *optional*, defaults to `0`):
            Seed of both.

    Returns:
        [`CalibrationReport`]

    Example:
        ```python
        >>> report = calibration_report([0.9, 0.8, 0.3, 0.6], [1, 1, 0, 0])
        >>> round(report.brier.value, 3), report.auc.value
        (0.125, 1.0)
        ```
    """
    p, y = as_predictions(probabilities, labels)
    notes = []
    certain = int(np.sum(((p == 0) & (y > 0)) | ((p == 1) & (y < 1))))
    if certain:
        notes.append(f"log_loss is infinite: {certain} rows were predicted with certainty and are not so")
    binary = bool(np.isin(y, [0, 1]).all() and 0 < y.mean() < 1)
    if not binary:
        notes.append("auc needs labels 0 and 1, both present")
    bins = {"n_bins": n_bins, "strategy": strategy, "level": level}
    draws = {"resamples": resamples, "seed": seed}
    return CalibrationReport(
        brier=brier_score(p, y, clusters, level),
        log_loss=None if certain else log_loss(p, y, clusters, level),
        ece=expected_calibration_error(p, y, clusters=clusters, **bins, **draws),
        ece_if_calibrated=ece_if_calibrated(p, **bins, simulations=resamples, seed=seed),
        auc=area_under_curve(p, y, clusters, level=level, **draws) if binary else None,
        base_rate=proportion_estimate(y, clusters, level),
        bias=mean_estimate(p - y, clusters, level),
        diagram=reliability_diagram(p, y, clusters=clusters, **bins),
        n_rows=p.size,
        n_clusters=p.size if clusters is None else np.unique(clusters).size,
        notes=tuple(notes),
    )


def held_out_calibration_report(
    calibrator: Calibrator,
    scores: ArrayLike,
    correct: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    split: str | None = None,
    **options: Any,
) -> CalibrationReport:
    """
    [`calibration_report`] of a fitted calibrator on rows it was not fitted on.

    Args:
        calibrator ([`~trl_ext.reliability.calibrators.Calibrator`]):
            Fitted calibrator.
        scores (`array_like` of shape `(N,)`):
            Scores of the held-out rows.
        correct (`array_like` of shape `(N,)`):
            Their labels.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row.
        split (`str`, *optional*):
            Name of the split the rows are from; it must not be the one the calibrator says it was fitted on.
        **options:
            Options of [`calibration_report`].

    Returns:
        [`CalibrationReport`]

    Raises:
        ValueError: the calibrator was fitted on exactly these rows (in any order), or on a split of this name. Rows that
            were fitted on *in part* go unnoticed unless they are named.

    Example:
        ```python
        >>> from trl_ext.reliability.calibrators import fit_calibrator
        >>> calibrator = fit_calibrator("platt", [0.1, 0.4, 0.6, 0.9], [0, 1, 0, 1], fitted_on="cal")
        >>> held_out_calibration_report(calibrator, [0.2, 0.7, 0.8], [0, 1, 0], split="val").n_rows
        3
        ```
    """
    record = calibrator.fit_record
    if split is not None and record is not None and record.fitted_on == split:
        raise ValueError(f"the calibrator was fitted on split {split!r}: judge it on another")
    if calibrator.was_fitted_on(scores, correct):
        raise ValueError(
            f"the calibrator was fitted on exactly these {record.n} rows (split {record.fitted_on!r}): its figures here "
            "would be too good. Judge it on held-out rows."
        )
    return calibration_report(calibrator.predict(scores), correct, clusters, **options)
