"""What reward models learn from the labels that a contract buys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .figures import COLOURS, new_figure, save_figure


if TYPE_CHECKING:
    from matplotlib.axes import Axes


METHOD_STYLES = {"plain": (COLOURS[0], "o", "plain"), "forward": (COLOURS[1], "s", "noise-aware")}
OTHER_STYLES = ((COLOURS[2], "^"), (COLOURS[3], "D"), (COLOURS[4], "v"))
FIGURE_LABELS = {"cross_entropy": "oracle cross-entropy (nats)", "accuracy": "oracle accuracy"}


def plot_scenarios(table: pd.DataFrame, entropy: Mapping[str, float], path: str | Path) -> tuple[Path, Path]:
    """
    Oracle cross-entropy and accuracy of the reward models of every scenario, with 95 % intervals.

    Args:
        table (`pandas.DataFrame`):
            Columns `dataset`, `condition`, `name`, `reason`, `method`, `figure` (`cross_entropy`, `accuracy`), `value`,
            `ci_low`, `ci_high`. A row with a `reason` is a scenario without a contract.
        entropy (`Mapping[str, float]`):
            Entropy of the oracle by dataset, in nats.
        path (`str` or `pathlib.Path`):
            The PNG file.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    shown = table[table["condition"] != "budget"]
    datasets = list(dict.fromkeys(shown["dataset"]))
    names = list(dict.fromkeys(shown["name"]))
    figure = new_figure(max(4.5, 0.9 * len(names) + 1.5) * len(datasets), 7)
    axes = figure.subplots(2, len(datasets), squeeze=False, sharex=True)
    methods = _methods(shown)
    for column, dataset in enumerate(datasets):
        part = shown[shown["dataset"] == dataset]
        for row, name in enumerate(FIGURE_LABELS):
            _draw_points(axes[row][column], part[part["figure"] == name], names, methods)
            _mark_missing(axes[row][column], part, names)
            axes[row][column].set_ylabel(FIGURE_LABELS[name])
            axes[row][column].grid(axis="y", alpha=0.3)
        axes[0][column].axhline(entropy[dataset], color="grey", linestyle="--", label="entropy of the oracle")
        axes[0][column].set_title(dataset)
        axes[1][column].set_xticks(range(len(names)), [_wrap(name) for name in names], rotation=30, ha="right")
        axes[1][column].set_xlim(-0.5, len(names) - 0.5)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return save_figure(figure, shown, path)


def plot_budget_curve(table: pd.DataFrame, entropy: Mapping[str, float], path: str | Path) -> tuple[Path, Path]:
    """
    Oracle cross-entropy and accuracy against the expected wage that buys the labels: money in, quality out.

    Args:
        table (`pandas.DataFrame`):
            As for [`plot_scenarios`], with the columns `wage` and `effort`; the rows of the condition `budget` are drawn,
            those of `clean` for comparison.
        entropy (`Mapping[str, float]`):
            Entropy of the oracle by dataset, in nats.
        path (`str` or `pathlib.Path`):
            The PNG file.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    shown = table[table["condition"].isin(["budget", "clean"]) & table["value"].notna()]
    datasets = list(dict.fromkeys(shown["dataset"]))
    figure = new_figure(5.5 * len(datasets), 7)
    axes = figure.subplots(2, len(datasets), squeeze=False, sharex="col")
    paid = shown[shown["condition"] == "budget"]
    for column, dataset in enumerate(datasets):
        for row, name in enumerate(FIGURE_LABELS):
            panel, part = axes[row][column], paid[(paid["dataset"] == dataset) & (paid["figure"] == name)]
            for method, (colour, marker, label) in _methods(paid).items():
                own = part[part["method"] == method].sort_values("wage")
                panel.errorbar(
                    own["wage"], own["value"], yerr=_errors(own),
                    color=colour, marker=marker, capsize=3, label=label,
                )  # fmt: skip
            clean = shown[(shown["dataset"] == dataset) & (shown["condition"] == "clean") & (shown["figure"] == name)]
            for value in clean["value"]:
                panel.axhline(value, color="black", linestyle=":", label="every label meant (η = 1)")
            panel.set_ylabel(FIGURE_LABELS[name])
            panel.grid(alpha=0.3)
        axes[0][column].axhline(entropy[dataset], color="grey", linestyle="--", label="entropy of the oracle")
        axes[0][column].set_title(dataset)
        axes[1][column].set_xlabel("expected wage (units of the contract problem)")
        efforts = paid[paid["dataset"] == dataset].drop_duplicates("wage").sort_values("wage")
        top = axes[0][column].secondary_xaxis("top")
        top.set_xticks(efforts["wage"], [f"{effort:.2f}" for effort in efforts["effort"]])
        top.set_xlabel("effort η it buys")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    return save_figure(figure, shown, path)


def _methods(table: pd.DataFrame) -> dict[str, tuple[str, str, str]]:
    """Colour, marker and label of every method in the table."""
    styles, others = {}, iter(OTHER_STYLES)
    for method in dict.fromkeys(table["method"].dropna()):
        styles[method] = METHOD_STYLES.get(method) or (*next(others), method)
    return styles


def _draw_points(axes: "Axes", rows: pd.DataFrame, names: Sequence[str], methods: Mapping) -> None:
    for index, (method, (colour, marker, label)) in enumerate(methods.items()):
        own = rows[rows["method"] == method]
        shift = 0.18 * (index - (len(methods) - 1) / 2)
        axes.errorbar(
            [names.index(name) + shift for name in own["name"]], own["value"], yerr=_errors(own),
            color=colour, marker=marker, linestyle="none", capsize=3, label=label,
        )  # fmt: skip


def _mark_missing(axes: "Axes", rows: pd.DataFrame, names: Sequence[str]) -> None:
    for name in rows.loc[rows["reason"] != "", "name"].unique():
        axes.text(names.index(name), 0.5, "no contract", rotation=90, ha="center", va="center", color="grey",
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _errors(rows: pd.DataFrame) -> np.ndarray | None:
    """Lengths of the error bars; none where a single run leaves the interval undetermined."""
    errors = np.array([rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]], dtype=float)
    return np.nan_to_num(errors, nan=0.0)


def _wrap(name: str) -> str:
    return name.replace("_", " ")
