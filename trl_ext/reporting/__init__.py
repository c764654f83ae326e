"""Plots of results, each with the numbers behind it as CSV. Needs matplotlib: `pip install trl_ext[report]`."""

from .contract_figures import plot_contract_gaps, plot_gaps_by_delta, plot_utility_profiles
from .monitoring_figures import (
    plot_error_lower_bounds,
    plot_incentives,
    plot_information_bounds,
    plot_monitor_errors,
    plot_probability_histograms,
)
from .payment_figures import plot_bonus_by_effort, plot_payments
from .reliability_diagram import plot_reliability_diagram


__all__ = [
    "plot_bonus_by_effort",
    "plot_contract_gaps",
    "plot_error_lower_bounds",
    "plot_gaps_by_delta",
    "plot_incentives",
    "plot_information_bounds",
    "plot_monitor_errors",
    "plot_payments",
    "plot_probability_histograms",
    "plot_reliability_diagram",
    "plot_utility_profiles",
]
