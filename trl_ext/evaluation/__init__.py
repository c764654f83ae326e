"""
Evaluation of reward models: figures with an uncertainty.

`statistics` has the estimates that every part of the package reports. `accuracy`, `calibration`, `biases` and `comparison`
take arrays of rewards; `benchmarks` take a scorer and bring their own data; `results` and `leaderboards` read what
benchmarks wrote, of many models; `training` evaluates while a model learns. `metrics`, `rewardbench_layout` and
`rewardbench_bridge` speak to the `evaluate` library and to RewardBench.
"""

from typing import TYPE_CHECKING

from ..lazy_exports import lazy_exports


_EXPORTS = {
    "AttributeBias": "biases.attribute_bias",
    "BENCHMARKS": "benchmarks.registry",
    "Benchmark": "benchmarks.base",
    "BenchmarkResult": "benchmarks.base",
    "BestOfKCurve": "accuracy.best_of_n",
    "BinaryScores": "accuracy.binary_scores",
    "CalibrationReport": "calibration.report",
    "Estimate": "statistics",
    "LIEWeights": "biases.lie",
    "LengthBias": "biases.length_bias",
    "ModelComparisons": "comparison.comparison",
    "ModelResult": "results.model_result",
    "OracleScores": "accuracy.oracle",
    "PairedComparison": "comparison.comparison",
    "PreferenceBenchmark": "benchmarks.preference_benchmark",
    "PreferenceCalibrationChange": "calibration.pairs",
    "PreferenceTestSets": "benchmarks.preference_test_sets",
    "RMBench": "benchmarks.rm_bench_benchmark",
    "RMBenchAccuracy": "benchmarks.rm_bench",
    "ReliabilityDiagram": "calibration.diagram",
    "RewardBench": "benchmarks.rewardbench_benchmark",
    "RewardBench2": "benchmarks.rewardbench2",
    "RewardBenchScores": "benchmarks.rewardbench",
    "RewardBenchmarkCallback": "training.callbacks",
    "RewardCorrelations": "comparison.correlations",
    "RewardTieBand": "comparison.tie_band",
    "Selection": "accuracy.best_of_n",
    "StyleAccuracy": "benchmarks.rm_bench",
    "TieBand": "comparison.tie_band",
    "TiesScore": "benchmarks.rewardbench2_ties",
    "TruthScores": "accuracy.truth",
    "area_under_curve": "statistics",
    "attribute_bias": "biases.attribute_bias",
    "best_of_k_curve": "accuracy.best_of_n",
    "binary_scores": "accuracy.binary_scores",
    "brier_score": "calibration",
    "calibration_report": "calibration.report",
    "cluster_bootstrap": "statistics",
    "cluster_bootstraps": "statistics",
    "collect_results": "results.collected_results",
    "compare_many": "comparison.comparison",
    "compare_models": "leaderboards.comparisons",
    "compare_paired": "comparison.comparison",
    "ece_if_calibrated": "calibration",
    "evaluate_benchmark": "benchmarks.run",
    "expected_calibration_error": "calibration",
    "get_benchmark": "benchmarks.registry",
    "held_out_calibrated_log_loss": "calibration.calibrated_log_loss",
    "held_out_calibration_report": "calibration.report",
    "held_out_true_metrics": "calibration.calibrated_log_loss",
    "length_bias": "biases.length_bias",
    "lie_weights": "biases.lie",
    "log_loss": "calibration",
    "mcnemar_p_values": "statistics",
    "mean_estimate": "statistics",
    "metric_path": "metrics",
    "minimum_detectable_effect": "statistics",
    "oracle_scores": "accuracy.oracle",
    "pair_calibration": "calibration.pairs",
    "paired_difference": "statistics",
    "preference_calibration_change": "calibration.pairs",
    "preferred_orientation": "calibration.pairs",
    "proportion_estimate": "statistics",
    "rank_candidates": "accuracy.best_of_n",
    "ratio_estimate": "statistics",
    "reliability_diagram": "calibration.diagram",
    "reward_correlations": "comparison.correlations",
    "reward_noise": "comparison.tie_band",
    "reward_tie_band": "comparison.tie_band",
    "rewardbench2_best_of_n": "benchmarks.rewardbench2",
    "rewardbench2_ties_score": "benchmarks.rewardbench2_ties",
    "rewardbench_overall": "benchmarks.rewardbench",
    "rewardbench_prior_sets": "benchmarks.rewardbench",
    "rewardbench_section_scores": "benchmarks.rewardbench",
    "rewardbench_sections_of_accuracies": "benchmarks.rewardbench",
    "rewards_of_a_and_b": "biases.attribute_bias",
    "rm_bench_accuracy": "benchmarks.rm_bench",
    "rm_bench_rewards": "benchmarks.rm_bench",
    "rms_calibration_error": "calibration",
    "select_best": "accuracy.best_of_n",
    "sign_flip_p_value": "statistics",
    "stratified_estimate": "statistics",
    "stratified_subsample": "benchmarks.subsample",
    "tie_band": "comparison.tie_band",
    "truth_scores": "accuracy.truth",
    "weighted_average": "statistics",
    "wilson_interval": "statistics",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .accuracy.best_of_n import BestOfKCurve as BestOfKCurve
    from .accuracy.best_of_n import Selection as Selection
    from .accuracy.best_of_n import best_of_k_curve as best_of_k_curve
    from .accuracy.best_of_n import rank_candidates as rank_candidates
    from .accuracy.best_of_n import select_best as select_best
    from .accuracy.binary_scores import BinaryScores as BinaryScores
    from .accuracy.binary_scores import binary_scores as binary_scores
    from .accuracy.oracle import OracleScores as OracleScores
    from .accuracy.oracle import oracle_scores as oracle_scores
    from .accuracy.truth import TruthScores as TruthScores
    from .accuracy.truth import truth_scores as truth_scores
    from .benchmarks.base import Benchmark as Benchmark
    from .benchmarks.base import BenchmarkResult as BenchmarkResult
    from .benchmarks.preference_benchmark import PreferenceBenchmark as PreferenceBenchmark
    from .benchmarks.preference_test_sets import PreferenceTestSets as PreferenceTestSets
    from .benchmarks.registry import BENCHMARKS as BENCHMARKS
    from .benchmarks.registry import get_benchmark as get_benchmark
    from .benchmarks.rewardbench import RewardBenchScores as RewardBenchScores
    from .benchmarks.rewardbench import rewardbench_overall as rewardbench_overall
    from .benchmarks.rewardbench import rewardbench_prior_sets as rewardbench_prior_sets
    from .benchmarks.rewardbench import rewardbench_section_scores as rewardbench_section_scores
    from .benchmarks.rewardbench import rewardbench_sections_of_accuracies as rewardbench_sections_of_accuracies
    from .benchmarks.rewardbench2 import RewardBench2 as RewardBench2
    from .benchmarks.rewardbench2 import rewardbench2_best_of_n as rewardbench2_best_of_n
    from .benchmarks.rewardbench2_ties import TiesScore as TiesScore
    from .benchmarks.rewardbench2_ties import rewardbench2_ties_score as rewardbench2_ties_score
    from .benchmarks.rewardbench_benchmark import RewardBench as RewardBench
    from .benchmarks.rm_bench import RMBenchAccuracy as RMBenchAccuracy
    from .benchmarks.rm_bench import StyleAccuracy as StyleAccuracy
    from .benchmarks.rm_bench import rm_bench_accuracy as rm_bench_accuracy
    from .benchmarks.rm_bench import rm_bench_rewards as rm_bench_rewards
    from .benchmarks.rm_bench_benchmark import RMBench as RMBench
    from .benchmarks.run import evaluate_benchmark as evaluate_benchmark
    from .benchmarks.subsample import stratified_subsample as stratified_subsample
    from .biases.attribute_bias import AttributeBias as AttributeBias
    from .biases.attribute_bias import attribute_bias as attribute_bias
    from .biases.attribute_bias import rewards_of_a_and_b as rewards_of_a_and_b
    from .biases.length_bias import LengthBias as LengthBias
    from .biases.length_bias import length_bias as length_bias
    from .biases.lie import LIEWeights as LIEWeights
    from .biases.lie import lie_weights as lie_weights
    from .calibration import brier_score as brier_score
    from .calibration import ece_if_calibrated as ece_if_calibrated
    from .calibration import expected_calibration_error as expected_calibration_error
    from .calibration import log_loss as log_loss
    from .calibration import rms_calibration_error as rms_calibration_error
    from .calibration.calibrated_log_loss import held_out_calibrated_log_loss as held_out_calibrated_log_loss
    from .calibration.calibrated_log_loss import held_out_true_metrics as held_out_true_metrics
    from .calibration.diagram import ReliabilityDiagram as ReliabilityDiagram
    from .calibration.diagram import reliability_diagram as reliability_diagram
    from .calibration.pairs import PreferenceCalibrationChange as PreferenceCalibrationChange
    from .calibration.pairs import pair_calibration as pair_calibration
    from .calibration.pairs import preference_calibration_change as preference_calibration_change
    from .calibration.pairs import preferred_orientation as preferred_orientation
    from .calibration.report import CalibrationReport as CalibrationReport
    from .calibration.report import calibration_report as calibration_report
    from .calibration.report import held_out_calibration_report as held_out_calibration_report
    from .comparison.comparison import ModelComparisons as ModelComparisons
    from .comparison.comparison import PairedComparison as PairedComparison
    from .comparison.comparison import compare_many as compare_many
    from .comparison.comparison import compare_paired as compare_paired
    from .comparison.correlations import RewardCorrelations as RewardCorrelations
    from .comparison.correlations import reward_correlations as reward_correlations
    from .comparison.tie_band import RewardTieBand as RewardTieBand
    from .comparison.tie_band import TieBand as TieBand
    from .comparison.tie_band import reward_noise as reward_noise
    from .comparison.tie_band import reward_tie_band as reward_tie_band
    from .comparison.tie_band import tie_band as tie_band
    from .leaderboards.comparisons import compare_models as compare_models
    from .metrics import metric_path as metric_path
    from .results.collected_results import collect_results as collect_results
    from .results.model_result import ModelResult as ModelResult
    from .statistics import Estimate as Estimate
    from .statistics import area_under_curve as area_under_curve
    from .statistics import cluster_bootstrap as cluster_bootstrap
    from .statistics import cluster_bootstraps as cluster_bootstraps
    from .statistics import mcnemar_p_values as mcnemar_p_values
    from .statistics import mean_estimate as mean_estimate
    from .statistics import minimum_detectable_effect as minimum_detectable_effect
    from .statistics import paired_difference as paired_difference
    from .statistics import proportion_estimate as proportion_estimate
    from .statistics import ratio_estimate as ratio_estimate
    from .statistics import sign_flip_p_value as sign_flip_p_value
    from .statistics import stratified_estimate as stratified_estimate
    from .statistics import weighted_average as weighted_average
    from .statistics import wilson_interval as wilson_interval
    from .training.callbacks import RewardBenchmarkCallback as RewardBenchmarkCallback

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
