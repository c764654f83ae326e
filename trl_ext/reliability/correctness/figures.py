"""How well predicted probabilities of being correct fit what annotators did, beside a predictor that knows nothing."""

import numpy as np
from numpy.typing import ArrayLike

from ...evaluation.calibration.report import calibration_report
from ...evaluation.statistics import Estimate, paired_difference, proportion_estimate


def correctness_figures(
    probabilities: ArrayLike,
    correct: ArrayLike,
    clusters: ArrayLike,
    *,
    base_rate: float,
    n_bins: int = 10,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Estimate]:
    """
    Figures of predicted probabilities that the annotator is correct, and of the predictor that always says `base_rate`.

    Args:
        probabilities (`array_like` of shape `(N,)`):
            Predictions in [0, 1].
        correct (`array_like` of shape `(N,)`):
            Labels 0 and 1.
        clusters (`array_like` of shape `(N,)`):
            Label of the question of every row.
        base_rate (`float`):
            Share of correct annotators in rows other than these: what to beat.
        n_bins (`int`, *optional*, defaults to `10`):
            Bins of equal mass for the expected calibration error.
        resamples (`int`, *optional*, defaults to `2000`):
            Bootstrap resamples of questions for `auc` and `ece`, and simulations for `ece_if_calibrated`.
        seed (`int`, *optional*, defaults to `0`):
            Their seed.

    Returns:
        `dict[str, Estimate]`: `auc`, `brier`, `log_loss` (nats; missing when infinite), `ece`, `ece_if_calibrated` (what
        calibrated predictions would get on these rows), `bias` (mean prediction − share correct), `share_correct`,
        `accuracy` (of saying "correct" from 0.5 on); `brier_base_rate`, `log_loss_base_rate`, `ece_base_rate`,
        `accuracy_base_rate`; `brier_minus_base_rate` and `log_loss_minus_base_rate` (below 0: better than the base rate).

    Example:
        ```python
        >>> figures = correctness_figures([0.9, 0.8, 0.4, 0.7], [1, 1, 0, 0], clusters=range(4), base_rate=0.5)
        >>> round(figures["brier"].value, 4), figures["auc"].value, figures["accuracy"].value
        (0.175, 1.0, 0.75)
        ```
    """
    p, y, clusters = np.asarray(probabilities, dtype=float), np.asarray(correct, dtype=float), np.asarray(clusters)
    if not 0 < base_rate < 1:
        raise ValueError(f"base_rate must lie strictly between 0 and 1, got {base_rate}")
    constant = np.full_like(p, base_rate)
    options = {"n_bins": n_bins, "strategy": "quantile", "resamples": resamples, "seed": seed}
    model, base = (calibration_report(q, y, clusters, **options) for q in (p, constant))
    figures = {
        "auc": model.auc,
        "brier": model.brier,
        "log_loss": model.log_loss,
        "ece": model.ece,
        "ece_if_calibrated": model.ece_if_calibrated,
        "bias": model.bias,
        "share_correct": model.base_rate,
        "accuracy": proportion_estimate((p >= 0.5) == (y == 1), clusters),
        "brier_base_rate": base.brier,
        "log_loss_base_rate": base.log_loss,
        "ece_base_rate": base.ece,
        "accuracy_base_rate": proportion_estimate((constant >= 0.5) == (y == 1), clusters),
        "brier_minus_base_rate": paired_difference((p - y) ** 2, (constant - y) ** 2, clusters),
    }
    if model.log_loss is not None:
        # labels are 0 or 1: the loss is that of the probability of what happened
        losses = [-np.log(np.where(y == 1, q, 1 - q)) for q in (p, constant)]
        figures["log_loss_minus_base_rate"] = paired_difference(*losses, clusters)
    return {name: estimate for name, estimate in figures.items() if estimate is not None}
