"""Evaluation of reward models: figures with an uncertainty."""

from typing import TYPE_CHECKING

from ..lazy_exports import lazy_exports
from .accuracy.best_of_n import BestOfKCurve, Selection, best_of_k_curve, rank_candidates, select_best
from .accuracy.binary_scores import BinaryScores, binary_scores
from .accuracy.oracle import OracleScores, oracle_scores
from .accuracy.truth import TruthScores, truth_scores
from .benchmarks.rewardbench import (
    RewardBenchScores,
    rewardbench_overall,
    rewardbench_prior_sets,
    rewardbench_section_scores,
    rewardbench_sections_of_accuracies,
)
from .benchmarks.rewardbench2_ties import TiesScore, rewardbench2_ties_score
from .benchmarks.rm_bench import RMBenchAccuracy, StyleAccuracy, rm_bench_accuracy, rm_bench_rewards
from .biases.attribute_bias import AttributeBias, attribute_bias, rewards_of_a_and_b
from .biases.length_bias import LengthBias, length_bias
from .biases.lie import LIEWeights, lie_weights
from .calibration import brier_score, ece_if_calibrated, expected_calibration_error, log_loss, rms_calibration_error
from .calibration.calibrated_log_loss import held_out_calibrated_log_loss, held_out_true_metrics
from .calibration.diagram import ReliabilityDiagram, reliability_diagram
from .calibration.report import CalibrationReport, calibration_report, held_out_calibration_report
from .comparison.comparison import ModelComparisons, PairedComparison, compare_many, compare_paired
from .comparison.correlations import RewardCorrelations, reward_correlations
from .comparison.tie_band import RewardTieBand, TieBand, reward_noise, reward_tie_band, tie_band
from .metrics import metric_path
from .statistics import (
    Estimate,
    area_under_curve,
    cluster_bootstrap,
    cluster_bootstraps,
    mcnemar_p_values,
    mean_estimate,
    minimum_detectable_effect,
    paired_difference,
    proportion_estimate,
    ratio_estimate,
    sign_flip_p_value,
    stratified_estimate,
    weighted_average,
    wilson_interval,
)


if TYPE_CHECKING:
    from .benchmarks.base import Benchmark as Benchmark
    from .benchmarks.base import BenchmarkResult as BenchmarkResult
    from .benchmarks.preference_benchmark import PreferenceBenchmark as PreferenceBenchmark
    from .benchmarks.preference_test_sets import PreferenceTestSets as PreferenceTestSets
    from .benchmarks.registry import BENCHMARKS as BENCHMARKS
    from .benchmarks.registry import get_benchmark as get_benchmark
    from .benchmarks.rewardbench2 import RewardBench2 as RewardBench2
    from .benchmarks.rewardbench2 import rewardbench2_best_of_n as rewardbench2_best_of_n
    from .benchmarks.rewardbench_benchmark import RewardBench as RewardBench
    from .benchmarks.rm_bench_benchmark import RMBench as RMBench
    from .benchmarks.run import evaluate_benchmark as evaluate_benchmark
    from .benchmarks.subsample import stratified_subsample as stratified_subsample
    from .leaderboards.comparisons import compare_models as compare_models
    from .results.collected_results import collect_results as collect_results
    from .results.model_result import ModelResult as ModelResult
    from .training.callbacks import RewardBenchmarkCallback as RewardBenchmarkCallback

# Public name -> module, of what needs `datasets`: resolved on first use
_BENCHMARK_EXPORTS = {
    "BENCHMARKS": "benchmarks.registry",
    "Benchmark": "benchmarks.base",
    "BenchmarkResult": "benchmarks.base",
    "ModelResult": "results.model_result",
    "PreferenceBenchmark": "benchmarks.preference_benchmark",
    "PreferenceTestSets": "benchmarks.preference_test_sets",
    "RMBench": "benchmarks.rm_bench_benchmark",
    "RewardBench": "benchmarks.rewardbench_benchmark",
    "RewardBench2": "benchmarks.rewardbench2",
    "collect_results": "results.collected_results",
    "compare_models": "leaderboards.comparisons",
    "RewardBenchmarkCallback": "training.callbacks",
    "evaluate_benchmark": "benchmarks.run",
    "get_benchmark": "benchmarks.registry",
    "rewardbench2_best_of_n": "benchmarks.rewardbench2",
    "stratified_subsample": "benchmarks.subsample",
}

__all__ = [
    "AttributeBias",
    "BENCHMARKS",
    "Benchmark",
    "BenchmarkResult",
    "BestOfKCurve",
    "BinaryScores",
    "CalibrationReport",
    "Estimate",
    "LIEWeights",
    "LengthBias",
    "ModelComparisons",
    "ModelResult",
    "OracleScores",
    "PairedComparison",
    "PreferenceBenchmark",
    "PreferenceTestSets",
    "RMBench",
    "RMBenchAccuracy",
    "ReliabilityDiagram",
    "RewardBench",
    "RewardBench2",
    "RewardBenchScores",
    "RewardBenchmarkCallback",
    "RewardCorrelations",
    "RewardTieBand",
    "Selection",
    "StyleAccuracy",
    "TieBand",
    "TiesScore",
    "TruthScores",
    "area_under_curve",
    "attribute_bias",
    "best_of_k_curve",
    "binary_scores",
    "brier_score",
    "calibration_report",
    "cluster_bootstrap",
    "cluster_bootstraps",
    "collect_results",
    "compare_many",
    "compare_models",
    "compare_paired",
    "ece_if_calibrated",
    "evaluate_benchmark",
    "expected_calibration_error",
    "get_benchmark",
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
    "rewardbench2_best_of_n",
    "rewardbench2_ties_score",
    "rewardbench_overall",
    "rewardbench_prior_sets",
    "rewardbench_section_scores",
    "rewardbench_sections_of_accuracies",
    "rewards_of_a_and_b",
    "rm_bench_accuracy",
    "rm_bench_rewards",
    "rms_calibration_error",
    "select_best",
    "sign_flip_p_value",
    "stratified_estimate",
    "stratified_subsample",
    "tie_band",
    "truth_scores",
    "weighted_average",
    "wilson_interval",
]

__getattr__, __dir__ = lazy_exports(__name__, _BENCHMARK_EXPORTS)
