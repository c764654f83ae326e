"""Evaluation of reward models: figures with an uncertainty."""

from .attribute_bias import AttributeBias, attribute_bias, rewards_of_a_and_b
from .auc import area_under_curve
from .binary_scores import BinaryScores, binary_scores
from .calibrated_log_loss import held_out_calibrated_log_loss, held_out_true_metrics
from .calibration import brier_score, ece_if_calibrated, expected_calibration_error, log_loss, rms_calibration_error
from .calibration_report import CalibrationReport, calibration_report, held_out_calibration_report
from .lie import LIEWeights, lie_weights
from .oracle import OracleScores, oracle_scores
from .reliability_diagram import ReliabilityDiagram, reliability_diagram
from .rewardbench import RewardBenchScores, rewardbench_section_scores
from .rm_bench import RMBenchAccuracy, StyleAccuracy, rm_bench_accuracy, rm_bench_rewards
from .statistics import (
    Estimate,
    cluster_bootstrap,
    mean_estimate,
    paired_difference,
    proportion_estimate,
    ratio_estimate,
    weighted_average,
    wilson_interval,
)
from .truth import TruthScores, truth_scores


__all__ = [
    "AttributeBias",
    "BinaryScores",
    "CalibrationReport",
    "Estimate",
    "LIEWeights",
    "OracleScores",
    "RMBenchAccuracy",
    "ReliabilityDiagram",
    "RewardBenchScores",
    "StyleAccuracy",
    "TruthScores",
    "area_under_curve",
    "attribute_bias",
    "binary_scores",
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
    "oracle_scores",
    "paired_difference",
    "proportion_estimate",
    "ratio_estimate",
    "reliability_diagram",
    "rewardbench_section_scores",
    "rewards_of_a_and_b",
    "rm_bench_accuracy",
    "rm_bench_rewards",
    "rms_calibration_error",
    "truth_scores",
    "weighted_average",
    "wilson_interval",
]
