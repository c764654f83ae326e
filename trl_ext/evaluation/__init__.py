"""Evaluation of reward models: figures with an uncertainty."""

from .attribute_bias import AttributeBias, attribute_bias, rewards_of_a_and_b
from .lie import LIEWeights, lie_weights
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
    "Estimate",
    "LIEWeights",
    "RMBenchAccuracy",
    "RewardBenchScores",
    "StyleAccuracy",
    "TruthScores",
    "attribute_bias",
    "cluster_bootstrap",
    "lie_weights",
    "mean_estimate",
    "paired_difference",
    "proportion_estimate",
    "ratio_estimate",
    "rewardbench_section_scores",
    "rewards_of_a_and_b",
    "rm_bench_accuracy",
    "rm_bench_rewards",
    "truth_scores",
    "weighted_average",
    "wilson_interval",
]
