"""Do predicted probabilities mean what they say? Errors of calibration, reliability diagrams and reports of both."""

from .calibrated_log_loss import held_out_calibrated_log_loss, held_out_true_metrics
from .diagram import ReliabilityDiagram, reliability_diagram
from .pairs import (
    PreferenceCalibrationChange,
    pair_calibration,
    preference_calibration_change,
    preferred_orientation,
)
from .report import CalibrationReport, calibration_report, held_out_calibration_report
from .scores import brier_score, ece_if_calibrated, expected_calibration_error, log_loss, rms_calibration_error


__all__ = [
    "CalibrationReport",
    "PreferenceCalibrationChange",
    "ReliabilityDiagram",
    "brier_score",
    "calibration_report",
    "ece_if_calibrated",
    "expected_calibration_error",
    "held_out_calibrated_log_loss",
    "held_out_calibration_report",
    "held_out_true_metrics",
    "log_loss",
    "pair_calibration",
    "preference_calibration_change",
    "preferred_orientation",
    "reliability_diagram",
    "rms_calibration_error",
]
