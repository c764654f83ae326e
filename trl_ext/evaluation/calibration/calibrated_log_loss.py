"""Log-loss of a model after calibration: as the original code of Reliability-Aware Preference Learning computes it, for
comparison with its figures, and on held-out rows."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit

from ...reliability.calibrators import Calibrator, PlattCalibrator, fit_calibrator, logit_difference
from ..statistics import Estimate, mean_estimate
from .scores import as_predictions, log_loss


def pairwise_rows(differences: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """
    Reward differences as rows of a binary classifier: each pair as (d, 1) and, with its answers exchanged, as (−d, 0).

    Args:
        differences (`array_like` of shape `(N,)`):
            reward_chosen − reward_rejected.

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: scores and labels of shape `(2N,)`; the two rows of pair i are i and N + i.
    """
    differences = np.asarray(differences, dtype=np.float64)
    if differences.ndim != 1 or not differences.size:
        raise ValueError(f"differences must have shape (N,) with N > 0, got {differences.shape}")
    ones = np.ones_like(differences)
    return np.concatenate([differences, -differences]), np.concatenate([ones, 1 - ones])


def in_sample_calibrated_log_loss(differences: ArrayLike) -> float:
    r"""
    The `calibrated_loss` of the original reward trainer: Platt scaling of ±d **fitted and scored on the same rows**.

    Too good by construction, and never above log 2; kept to compare with published figures. For a figure to report, take
    [`held_out_calibrated_log_loss`]. Both rows of a pair have the same loss, so the intercept is 0 and this is the mean of
    \( -\log \sigma(a d) \).

    Args:
        differences (`array_like` of shape `(N,)`):
            reward_chosen − reward_rejected of the evaluated pairs.

    Returns:
        `float`: in nats.

    Example:
        ```python
        >>> round(in_sample_calibrated_log_loss([2.0, 1.0, -1.0, 3.0]), 4)
        0.4592
        ```
    """
    scores, labels = pairwise_rows(differences)
    return log_loss(PlattCalibrator().fit(scores, labels).predict(scores), labels).value


def held_out_calibrated_log_loss(
    calibration_differences: ArrayLike, differences: ArrayLike, clusters: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """
    Log-loss of pairs after Platt scaling of ±d fitted on **other** pairs.

    Args:
        calibration_differences (`array_like` of shape `(M,)`):
            reward_chosen − reward_rejected of the calibration split.
        differences (`array_like` of shape `(N,)`):
            Those of the held-out split, which is scored.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every held-out pair.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Estimate`]: in nats, over N pairs.

    Raises:
        ValueError: both are the same pairs.

    Example:
        ```python
        >>> estimate = held_out_calibrated_log_loss([2.0, 1.0, -1.0, 3.0], [1.5, -0.5, 2.0])
        >>> round(estimate.value, 4), estimate.n
        (0.4655, 3)
        ```
    """
    calibrator = PlattCalibrator().fit(*pairwise_rows(calibration_differences), fitted_on="calibration")
    if calibrator.was_fitted_on(*pairwise_rows(differences)):
        raise ValueError(
            "calibration_differences and differences are the same pairs; in_sample_calibrated_log_loss is the figure of "
            "the original code for that"
        )
    differences = np.asarray(differences, dtype=np.float64)
    return log_loss(calibrator.predict(differences), np.ones(differences.shape), clusters, level)


def original_true_metrics(logits: ArrayLike, labels: ArrayLike, *, use_calibration: bool = True) -> dict[str, float]:
    """
    The metrics of the original model of P(annotator correct): the **first half of the rows fits the calibrator, the
    second half is scored**.

    The original concatenates [validation, calibration], so that the validation split calibrates and the calibration split
    is scored: swapped, and cut in the wrong place when a length filter drops rows. Kept to compare with published figures;
    [`held_out_true_metrics`] takes the two splits by name.

    Args:
        logits (`array_like` of shape `(N,)`, `(N, 1)` or `(N, 2)`):
            Outputs of the head.
        labels (`array_like` of shape `(N,)`):
            Whether the annotator was correct; soft labels are calibrated by isotonic regression.
        use_calibration (`bool`, *optional*, defaults to `True`):
            Without it, all rows are scored.

    Returns:
        `dict[str, float]`: `loss` and `accuracy` of the uncalibrated logits on the scored rows; with calibration also
        `calibration_val_loss`, the loss of the calibrated probabilities there, and, for labels 0 and 1,
        `calibration_scale` and `calibration_bias`, slope and intercept.

    Raises:
        ValueError: isotonic regression gave 0 or 1 to a scored row that is not so. The original bounds the loss of such a
            row at 100.
    """
    logits, labels = logit_difference(logits), np.asarray(labels, dtype=np.float64)
    metrics = {}
    if use_calibration:
        middle = len(logits) // 2
        calibrator = fit_calibrator("rapl", logits[:middle], labels[:middle])
        logits, labels = logits[middle:], labels[middle:]
        metrics["calibration_val_loss"] = log_loss(calibrator.predict(logits), labels).value
        if calibrator.kind == "platt":
            metrics |= {"calibration_scale": calibrator.coef, "calibration_bias": calibrator.intercept}
    probabilities, labels = as_predictions(expit(logits), labels)
    return {
        **metrics,
        # of the logits, as the sigmoid of a large one rounds to 1
        "loss": float(np.mean(np.logaddexp(0, logits) - labels * logits)),
        "accuracy": float(np.mean((probabilities > 0.5) == labels)),
    }


def held_out_true_metrics(
    calibration_logits: ArrayLike,
    calibration_labels: ArrayLike,
    logits: ArrayLike,
    labels: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    kind: str = "rapl",
    level: float = 0.95,
) -> tuple[dict[str, Estimate], Calibrator]:
    """
    Log-loss of a model of P(annotator correct), after a calibrator was fitted on the calibration split, on held-out rows.

    Args:
        calibration_logits (`array_like` of shape `(M,)`, `(M, 1)` or `(M, 2)`):
            Outputs of the head on the calibration split.
        calibration_labels (`array_like` of shape `(M,)`):
            Its labels.
        logits (`array_like` of shape `(N,)`, `(N, 1)` or `(N, 2)`):
            Outputs on the held-out split, which is scored.
        labels (`array_like` of shape `(N,)`):
            Its labels.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every held-out row, such as the item of both orders.
        kind (`str`, *optional*, defaults to `"rapl"`):
            Kind of calibrator, see [`~trl_ext.reliability.calibrators.fit_calibrator`].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        `tuple[dict[str, Estimate], Calibrator]`: `loss` before and `calibrated_loss` after calibration, on the held-out
        split; and the calibrator.

    Raises:
        ValueError: both splits have exactly the same rows.
    """
    calibrator = fit_calibrator(
        kind, logit_difference(calibration_logits), calibration_labels, fitted_on="calibration"
    )
    logits = logit_difference(logits)
    if calibrator.was_fitted_on(logits, labels):
        raise ValueError("the held-out split has exactly the rows of the calibration split")
    _, targets = as_predictions(expit(logits), labels)
    metrics = {
        # of the logits, as the sigmoid of a large one rounds to 1
        "loss": mean_estimate(np.logaddexp(0, logits) - targets * logits, clusters, level),
        "calibrated_loss": log_loss(calibrator.predict(logits), labels, clusters, level),
    }
    return metrics, calibrator
