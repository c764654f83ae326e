"""Evaluation of reward models: figures with an uncertainty."""

from .auc import area_under_curve
from .calibrated_log_loss import held_out_calibrated_log_loss, held_out_true_metrics
from .calibration import brier_score, ece_if_calibrated, expected_calibration_error, log_loss
from .calibration_report import CalibrationReport, calibration_report, held_out_calibration_report
from .lie import LIEWeights, lie_weights
from .reliability_diagram import ReliabilityDiagram, reliability_diagram
from .statistics import (
    Estimate,
    cluster_bootstrap,
    mean_estimate,
    paired_difference,
    proportion_estimate,
    ratio_estimate,
    wilson_interval,
)


__all__ = [
    "CalibrationReport",
    "Estimate",
    "LIEWeights",
    "ReliabilityDiagram",
    "area_under_curve",
    "brier_score",
    "calibration_report",
    "cluster_bootstrap",
    "ece_if_calibrated",
    "expected_calibration_error",
    "held_out_calibrated_log_loss",
    "held_out_calibration_report",
    "held_out_true_metrics",
    "lie_weights",
    "log_loss",
    "mean_estimate",
    "paired_difference",
    "proportion_estimate",
    "ratio_estimate",
    "reliability_diagram",
    "wilson_interval",
]
