"""Calibration of an oracle's score differences, so that every pair gets a probability from rows other than its own."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trl_ext.annotators import expert_c_items
from trl_ext.evaluation import (
    CalibrationReport,
    Estimate,
    binary_scores,
    calibration_report,
    mean_estimate,
    paired_difference,
    rms_calibration_error,
)
from trl_ext.reliability.calibrators import Calibrator, fit_calibrator


CALIBRATIONS = ("platt", "histogram", "platt_histogram", "isotonic", "temperature", "none")


@dataclass(frozen=True)
class CrossFit:
    """
    Calibrated probabilities of pairs.

    Args:
        probabilities (`np.ndarray` of shape `(N,)`):
            P(chosen is preferred), by the calibrator that was fitted on the other half.
        swapped (`np.ndarray` of shape `(N,)`):
            Whether the pair was turned round for calibration, so that its label is 0.
        fold (`np.ndarray` of shape `(N,)`):
            Half, 0 or 1, that the pair is in.
        by_fold (`tuple[Calibrator, Calibrator]`):
            The calibrator that was applied to each half, fitted on the other.
        calibrator ([`~trl_ext.reliability.calibrators.Calibrator`]):
            Fitted on all pairs: for new data.
    """

    probabilities: np.ndarray
    swapped: np.ndarray
    fold: np.ndarray
    by_fold: tuple[Calibrator, Calibrator]
    calibrator: Calibrator


def swap_pairs(size: int, seed: int) -> np.ndarray:
    """Which of `size` pairs are turned round: half of them on average. Unswapped, all labels would say the same."""
    return np.random.default_rng([seed, 1]).random(size) < 0.5


def split_clusters(clusters: np.ndarray, seed: int) -> np.ndarray:
    """Half, 0 or 1, of every pair; pairs of a cluster are in the same half."""
    unique, codes = np.unique(clusters, return_inverse=True)
    if unique.size < 2:
        raise ValueError(
            "all pairs share a prompt, so that they can't be divided for calibration: set calibration=none"
        )
    order = np.random.default_rng([seed, 2]).permutation(unique.size)
    return (order >= (unique.size + 1) // 2).astype(np.int64)[codes]


def cross_fit(
    differences: np.ndarray,
    clusters: np.ndarray,
    kind: str,
    settings: dict[str, Any],
    *,
    both_orders: bool = True,
    seed: int = 0,
) -> CrossFit:
    """
    Calibrate score differences against the label that chosen is preferred.

    Each pair is turned round with probability one half, whereby its difference changes sign and its label becomes 0. A
    calibrator is fitted on one half of the clusters and applied to the other, and vice versa. To be fitted, it sees pairs in
    both orders, so that P(a preferred to b) and P(b preferred to a) add up to 1, whatever was turned round; or, as in the
    paper, in the order drawn.

    Args:
        differences (`np.ndarray` of shape `(N,)`):
            Score of chosen minus score of rejected.
        clusters (`np.ndarray` of shape `(N,)`):
            Prompt of every pair.
        kind (`str`):
            Kind of calibrator, one of [`CALIBRATIONS`] but `none`.
        settings (`dict`):
            Arguments of its constructor.
        both_orders (`bool`, *optional*, defaults to `True`):
            Whether it sees both orders.
        seed (`int`):
            Of the swaps and of the halves.

    Returns:
        [`CrossFit`]

    Raises:
        ValueError: Nothing could be learned, because the differences order every pair as the label does.
    """
    informative = differences != 0
    if informative.any() and (differences[informative] > 0).all():
        raise ValueError(
            f"the oracle scores chosen above rejected in all {informative.sum()} pairs that it does not tie: the labels were "
            "made of these scores, or there are too few pairs. No probability can be learned from that: set "
            "calibration=none."
        )
    swapped = swap_pairs(differences.size, seed)
    scores, labels = np.where(swapped, -differences, differences), 1.0 - swapped
    fold = split_clusters(clusters, seed)

    def fit(rows: np.ndarray, name: str) -> Calibrator:
        if both_orders:
            d = differences[rows]
            x, y = np.concatenate([d, -d]), np.repeat([1.0, 0.0], d.size)
            return fit_calibrator(kind, x, y, fitted_on=f"{name}, both orders", **settings)
        return fit_calibrator(kind, scores[rows], labels[rows], fitted_on=name, **settings)

    by_fold = tuple(fit(fold != half, f"half {1 - half}") for half in (0, 1))
    probabilities = np.empty(differences.size)
    for half, calibrator in enumerate(by_fold):
        probabilities[fold == half] = calibrator.predict(scores[fold == half])
    return CrossFit(
        np.where(swapped, 1 - probabilities, probabilities),
        swapped,
        fold,
        by_fold,
        fit(np.full(differences.size, True), "all pairs"),
    )


def calibrator_settings(kind: str, n_bins: int, smoothing: float) -> dict[str, Any]:
    """Arguments of a kind's constructor. Platt scaling is not penalised: the penalty would depend on the oracle's scale."""
    return {
        "platt": {"C": 1e10},
        "histogram": {"n_bins": n_bins, "smoothing": smoothing},
        "platt_histogram": {"n_bins": n_bins, "C": 1e10},
    }.get(kind, {})


def turned(probabilities: np.ndarray, swapped: np.ndarray) -> np.ndarray:
    """P(the first response of the pair as calibrated is preferred), of P(chosen is preferred)."""
    return np.where(swapped, 1 - probabilities, probabilities)


def calibration_figures(
    probabilities: np.ndarray, swapped: np.ndarray, clusters: np.ndarray, *, level: float, resamples: int, seed: int
) -> tuple[CalibrationReport, dict[str, Any]]:
    """
    The calibration report of P(chosen is preferred), and all figures for JSON: with the root mean square calibration error
    and precision, recall and F1.
    """
    p, labels = turned(probabilities, swapped), 1.0 - swapped
    options = {"level": level, "resamples": resamples, "seed": seed}
    report = calibration_report(p, labels, clusters, **options)
    figures = report.to_dict() | {
        "rms_calibration_error": rms_calibration_error(p, labels, clusters=clusters, **options).to_dict(),
        "at_one_half": binary_scores(p, labels, clusters, **options).to_dict(),
    }
    return report, figures


def brier_gain(raw: np.ndarray, calibrated: np.ndarray, clusters: np.ndarray, level: float) -> Estimate:
    """Brier score of raw minus that of calibrated P(chosen is preferred), whose label is 1: positive is better."""
    return paired_difference((1 - raw) ** 2, (1 - calibrated) ** 2, clusters, level)


def expert_information(probabilities: np.ndarray, clusters: np.ndarray, level: float) -> Estimate:
    """c̄ of an expert without doubt: how much an agreement with him tells about an annotator."""
    return mean_estimate(expert_c_items(probabilities), clusters, level)
