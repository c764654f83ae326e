"""Whether the uncertainty of reward differences tells right pairs from wrong ones."""

import numpy as np

from ...evaluation.statistics import area_under_curve


def spread_metrics(rewards: np.ndarray, sd: np.ndarray) -> dict[str, float]:
    """
    Mean standard deviation of the reward differences, and the area under the ROC curve of confidence |d|/sd for pairs
    that are ordered as the labels say, with its 95 % interval (DeLong; pairs of one prompt count as independent).

    Args:
        rewards (`np.ndarray` of shape `(N, 2)`):
            Rewards of chosen and rejected.
        sd (`np.ndarray` of shape `(N,)`):
            Standard deviations of their differences.

    Returns:
        `dict[str, float]`: `mean_difference_sd` and, if there are right and wrong pairs, `confidence_auroc` with `_ci_low`
        and `_ci_high`.
    """
    difference = rewards[:, 0] - rewards[:, 1]
    metrics = {"mean_difference_sd": float(sd.mean())}
    right = difference > 0
    confidence = np.abs(difference) / np.where(sd > 0, sd, np.finfo(float).tiny)
    if right.any() and not right.all() and np.isfinite(confidence).all():
        area = area_under_curve(confidence, right)
        metrics |= {
            "confidence_auroc": area.value,
            "confidence_auroc_ci_low": area.ci_low,
            "confidence_auroc_ci_high": area.ci_high,
        }
    return metrics
