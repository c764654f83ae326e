"""Plots of results, each with the numbers behind it as CSV. Needs matplotlib: `pip install trl_ext[report]`."""

from .reliability_diagram import plot_reliability_diagram


__all__ = ["plot_reliability_diagram"]
