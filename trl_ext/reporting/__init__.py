"""Plots of results, each with the numbers behind it as CSV. Needs matplotlib: `pip install trl_ext[report]`."""

from .monitoring_figures import (
    plot_error_lower_bounds,
    plot_incentives,
    plot_information_bounds,
    plot_monitor_errors,
    plot_probability_histograms,
)
from .reliability_diagram import plot_reliability_diagram


__all__ = [
    "plot_error_lower_bounds",
    "plot_incentives",
    "plot_information_bounds",
    "plot_monitor_errors",
    "plot_probability_histograms",
    "plot_reliability_diagram",
]
