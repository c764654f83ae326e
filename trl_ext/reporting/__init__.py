"""
Evidence for readers: the HTML report of a run, what it reads of a run's folder, and plots of results, each with the numbers
behind it as CSV. Drawing needs matplotlib: `pip install trl_ext[report]`.
"""

from .calibration_figures import plot_mismatch_change, plot_reward_drift
from .contract_figures import plot_contract_gaps, plot_gaps_by_delta, plot_utility_profiles
from .data_health import data_health
from .html_report import write_report
from .leaderboard_figures import plot_leaderboard, plot_model_correlations, plot_subset_distributions
from .mislabel_figures import plot_precision_at_k
from .mismatch_figures import plot_mismatch, plot_reward_against_rating
from .monitoring_figures import (
    plot_error_lower_bounds,
    plot_incentives,
    plot_information_bounds,
    plot_monitor_errors,
    plot_probability_histograms,
)
from .payment_figures import plot_bonus_by_effort, plot_payments
from .rate_bars import plot_naive_vs_rate, plot_rewrite_bias
from .rate_drift import plot_drift
from .rate_examples import rewrite_examples
from .rate_figures import plot_contrasts, plot_effects
from .rate_lines import plot_audit, plot_power, plot_sweep
from .rate_scores import plot_scores
from .reliability_diagram import plot_reliability_diagram
from .reward_figures import plot_accuracy_by_length, plot_best_of_k, plot_reward_distributions
from .run_files import DamagedEvidence
from .run_folder import RunEvidence, read_run
from .style_matrix import plot_style_matrices


__all__ = [
    "DamagedEvidence",
    "RunEvidence",
    "data_health",
    "plot_accuracy_by_length",
    "plot_audit",
    "plot_best_of_k",
    "plot_bonus_by_effort",
    "plot_contract_gaps",
    "plot_contrasts",
    "plot_drift",
    "plot_effects",
    "plot_error_lower_bounds",
    "plot_gaps_by_delta",
    "plot_incentives",
    "plot_information_bounds",
    "plot_leaderboard",
    "plot_mismatch",
    "plot_mismatch_change",
    "plot_model_correlations",
    "plot_monitor_errors",
    "plot_naive_vs_rate",
    "plot_payments",
    "plot_power",
    "plot_precision_at_k",
    "plot_probability_histograms",
    "plot_reliability_diagram",
    "plot_reward_against_rating",
    "plot_reward_distributions",
    "plot_reward_drift",
    "plot_rewrite_bias",
    "plot_scores",
    "plot_style_matrices",
    "plot_subset_distributions",
    "plot_sweep",
    "plot_utility_profiles",
    "read_run",
    "rewrite_examples",
    "write_report",
]
