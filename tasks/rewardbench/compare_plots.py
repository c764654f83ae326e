"""Plots of a comparison: those that the results have the numbers for."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from tasks.atomic_files import remove_stale
from trl_ext import reporting
from trl_ext.evaluation.leaderboards.leaderboard import ModelResult
from trl_ext.evaluation.leaderboards.tables import (
    accuracies_by_length,
    accuracies_by_subset,
    margin_correlations,
    rewards_of_responses,
    style_cells,
)


PLOT_FILES = {
    "leaderboard": "leaderboard_plot",
    "subsets": "subset_distributions",
    "rewards": "reward_distributions",
    "correlations": "margin_correlations",
    "length": "accuracy_by_length",
    "styles": "style_matrices",
}


def draw_plots(
    results: Sequence[ModelResult], table: pd.DataFrame, folder: Path, plots: Sequence[str], level: float
) -> dict[str, str]:
    """
    Draw plots into a folder. One that can't be drawn leaves nothing there, and does not keep the others from being drawn.

    Returns:
        `dict[str, str]`: for each plot its file, or why it was not drawn.
    """
    drawn = {}
    for name in plots:
        path = folder / f"{PLOT_FILES[name]}.png"
        try:
            numbers, draw = _PLOTS[name](results, table, level)
            if numbers is None or not len(numbers):
                drawn[name] = "not drawn: the results lack the numbers for it"
                continue
            png, _ = draw(numbers, path)
        except (ValueError, TypeError, ArithmeticError) as error:
            remove_stale(folder, path.name, path.with_suffix(".csv").name)
            drawn[name] = f"not drawn: {error}"
            continue
        drawn[name] = png.name
    return drawn


def stored_level(table: pd.DataFrame) -> str:
    """The level of a leaderboard's intervals, in words: that of the evaluations, which may differ."""
    levels = dict.fromkeys(re.findall(r"([\d.]+) level", table.attrs["method"]))
    return " or ".join(f"{float(level) * 100:g}%" for level in levels) or "stored"


Plot = tuple[pd.DataFrame | None, Callable[[pd.DataFrame, Path], tuple[Path, Path]]]


def _leaderboard(results: Sequence[ModelResult], table: pd.DataFrame, level: float) -> Plot:
    shown = table[table["value"].notna()].drop(columns=[] if (table["tie_group"] != "").any() else ["tie_group"])
    name = f"{table.attrs['benchmark']}: {table.attrs['figure']}, {stored_level(table)} intervals"
    return shown, lambda numbers, path: reporting.plot_leaderboard(numbers, path, figure_name=name)


def _subsets(results: Sequence[ModelResult], table: pd.DataFrame, level: float) -> Plot:
    return accuracies_by_subset(results), reporting.plot_subset_distributions


def _rewards(results: Sequence[ModelResult], table: pd.DataFrame, level: float) -> Plot:
    return rewards_of_responses(results), reporting.plot_reward_distributions


def _correlations(results: Sequence[ModelResult], table: pd.DataFrame, level: float) -> Plot:
    return margin_correlations(results), lambda numbers, path: reporting.plot_model_correlations(
        numbers, path, figure_name="Spearman correlation of margins"
    )


def _length(results: Sequence[ModelResult], table: pd.DataFrame, level: float) -> Plot:
    return accuracies_by_length(results, level=level), reporting.plot_accuracy_by_length


def _styles(results: Sequence[ModelResult], table: pd.DataFrame, level: float) -> Plot:
    return style_cells(results), reporting.plot_style_matrices


_PLOTS: dict[str, Callable[[Sequence[ModelResult], pd.DataFrame, float], Plot]] = {
    "leaderboard": _leaderboard,
    "subsets": _subsets,
    "rewards": _rewards,
    "correlations": _correlations,
    "length": _length,
    "styles": _styles,
}
