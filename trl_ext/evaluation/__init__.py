"""Evaluation of reward models: figures with an uncertainty."""

from .attribute_bias import AttributeBias, attribute_bias, rewards_of_a_and_b
from .auc import area_under_curve
from .best_of_n import BestOfKCurve, Selection, best_of_k_curve, rank_candidates, select_best
from .binary_scores import BinaryScores, binary_scores
from .calibrated_log_loss import held_out_calibrated_log_loss, held_out_true_metrics
from .calibration import brier_score, ece_if_calibrated, expected_calibration_error, log_loss, rms_calibration_error
from .calibration_report import CalibrationReport, calibration_report, held_out_calibration_report
from .comparison import ModelComparisons, PairedComparison, compare_many, compare_paired
from .correlations import RewardCorrelations, reward_correlations
from .length_bias import LengthBias, length_bias
from .lie import LIEWeights, lie_weights
from .metrics import metric_path
from .oracle import OracleScores, oracle_scores
from .paired_tests import mcnemar_p_values, minimum_detectable_effect, sign_flip_p_value
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
from .stratified import stratified_estimate
from .tie_band import RewardTieBand, TieBand, reward_noise, reward_tie_band, tie_band
from .truth import TruthScores, truth_scores


__all__ = [
    "AttributeBias",
    "BestOfKCurve",
    "BinaryScores",
    "CalibrationReport",
    "Estimate",
    "LIEWeights",
    "LengthBias",
    "ModelComparisons",
    "OracleScores",
    "PairedComparison",
    "RMBenchAccuracy",
    "ReliabilityDiagram",
    "RewardBenchScores",
    "RewardCorrelations",
    "RewardTieBand",
    "Selection",
    "StyleAccuracy",
    "TieBand",
    "TruthScores",
    "area_under_curve",
    "attribute_bias",
    "best_of_k_curve",
    "binary_scores",
    "brier_score",
    "calibration_report",
    "cluster_bootstrap",
    "compare_many",
    "compare_paired",
    "ece_if_calibrated",
    "expected_calibration_error",
    "held_out_calibrated_log_loss",
    "held_out_calibration_report",
    "held_out_true_metrics",
    "length_bias",
    "lie_weights",
    "log_loss",
    "mcnemar_p_values",
    "mean_estimate",
    "metric_path",
    "minimum_detectable_effect",
    "oracle_scores",
    "paired_difference",
    "proportion_estimate",
    "rank_candidates",
    "ratio_estimate",
    "reliability_diagram",
    "reward_correlations",
    "reward_noise",
    "reward_tie_band",
    "rewardbench_section_scores",
    "rewards_of_a_and_b",
    "rm_bench_accuracy",
    "rm_bench_rewards",
    "rms_calibration_error",
    "select_best",
    "sign_flip_p_value",
    "stratified_estimate",
    "tie_band",
    "truth_scores",
    "weighted_average",
    "wilson_interval",
]
