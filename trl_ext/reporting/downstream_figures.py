"""What reward models learn from the labels that a contract buys."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure


if TYPE_CHECKING:
    from matplotlib.axes import Axes


METHOD_STYLES = {"plain": (COLOURS[0], "o", "plain"), "forward": (COLOURS[1], "s", "noise-aware")}
OTHER_STYLES = ((COLOURS[2], "^"), (COLOURS[3], "D"), (COLOURS[4], "v"))
_SHIFT = 0.02  # between methods, as a share of the range of wages
_LABEL = 0.1  # width of the label of an effort, as a share of the range of wages
FIGURE_LABELS = {"cross_entropy": "oracle cross-entropy (nats)", "accuracy": "oracle accuracy"}


def plot_scenarios(table: pd.DataFrame, entropy: Mapping[str, float], path: str | Path) -> tuple[Path, Path]:
    """
    Oracle cross-entropy and accuracy of the reward models of every scenario, with 95 % intervals.

    Args:
        table (`pandas.DataFrame`):
            Columns `dataset`, `condition`, `name`, `reason`, `method`, `figure` (`cross_entropy`, `accuracy`), `value`,
            `ci_low`, `ci_high`. A row with a `reason` (neither missing nor empty) is a scenario without a contract.
        entropy (`Mapping[str, float]`):
            Entropy of the oracle by dataset, in nats; none of a dataset without a finished training.
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
            if not part["value"].notna().any():
                axes[row][column].set_yticks([])
                axes[row][column].text(0.5, 0.5, "no training has finished", ha="center", va="center", color="grey",
                                       transform=axes[row][column].transAxes)  # fmt: skip
            axes[row][column].set_ylabel(FIGURE_LABELS[name])
            axes[row][column].grid(axis="y", alpha=0.3)
        _draw_entropy(axes[0][column], entropy.get(dataset))
        axes[0][column].set_title(dataset)
        axes[1][column].set_xticks(range(len(names)), [_wrap(name) for name in names], rotation=30, ha="right")
        axes[1][column].set_xlim(-0.5, len(names) - 0.5)
    add_legend(figure, loc="outside upper center", max_columns=3)
    return save_figure(figure, shown, path)


def plot_budget_curve(table: pd.DataFrame, entropy: Mapping[str, float], path: str | Path) -> tuple[Path, Path]:
    """
    Oracle cross-entropy and accuracy against the expected wage that buys the labels: money in, quality out.

    Args:
        table (`pandas.DataFrame`):
            As for [`plot_scenarios`], with the columns `wage` and `effort`; the rows of the condition `budget` are drawn,
            those of `clean` for comparison.
        entropy (`Mapping[str, float]`):
            Entropy of the oracle by dataset, in nats; none of a dataset without a finished training.
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
    methods = _methods(paid)
    for column, dataset in enumerate(datasets):
        for row, name in enumerate(FIGURE_LABELS):
            panel, part = axes[row][column], paid[(paid["dataset"] == dataset) & (paid["figure"] == name)]
            step = _SHIFT * _span(part["wage"])  # intervals of methods beside each other
            for index, (method, (colour, marker, label)) in enumerate(methods.items()):
                own = part[part["method"] == method].sort_values("wage")
                panel.errorbar(
                    own["wage"] + step * (index - (len(methods) - 1) / 2), own["value"], yerr=_errors(own),
                    color=colour, marker=marker, capsize=3, label=label,
                )  # fmt: skip
            clean = shown[(shown["dataset"] == dataset) & (shown["condition"] == "clean") & (shown["figure"] == name)]
            for value in clean["value"]:
                panel.axhline(value, color="black", linestyle=":", label="every label meant (η = 1)")
            panel.set_ylabel(FIGURE_LABELS[name])
            panel.grid(alpha=0.3)
        _draw_entropy(axes[0][column], entropy.get(dataset))
        axes[0][column].set_title(dataset)
        axes[1][column].set_xlabel("expected wage (units of the contract problem)")
        efforts = _apart(paid[paid["dataset"] == dataset].drop_duplicates("wage").sort_values("wage"))
        top = axes[0][column].secondary_xaxis("top")
        top.set_xticks(efforts["wage"], [f"{effort:.2f}" for effort in efforts["effort"]])
        top.set_xlabel("effort η it buys")
    add_legend(figure, max_columns=2)
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
    # a table read from a file has NaN where there is no reason
    for name in rows.loc[rows["reason"].fillna("") != "", "name"].unique():
        axes.text(names.index(name), 0.5, "no contract", rotation=90, ha="center", va="center", color="grey",
                  transform=axes.get_xaxis_transform())  # fmt: skip


def _draw_entropy(axes: "Axes", entropy: float | None) -> None:
    if entropy is not None:
        axes.axhline(entropy, color="grey", linestyle="--", label="entropy of the oracle")


def _span(wages: pd.Series) -> float:
    """Range of wages; 1 where there is none."""
    return float(wages.max() - wages.min()) or 1.0 if len(wages) else 1.0


def _apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Of rows sorted by wage those whose labels do not run into each other, the last one included."""
    least, kept = _LABEL * _span(rows["wage"]), []
    for position, wage in reversed(list(enumerate(rows["wage"]))):
        if not kept or rows["wage"].iloc[kept[-1]] - wage >= least:
            kept.append(position)
    return rows.iloc[sorted(kept)]


def _errors(rows: pd.DataFrame) -> np.ndarray:
    """Lengths of the error bars; none where a single run leaves the interval undetermined."""
    errors = np.array([rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]], dtype=float)
    return np.nan_to_num(errors, nan=0.0)


def _wrap(name: str) -> str:
    return name.replace("_", " ")
