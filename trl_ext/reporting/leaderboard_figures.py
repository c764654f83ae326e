"""Reward models beside one another: figures with intervals, accuracies by subset, correlations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .model_names import label_width, short_names


_ROW = 0.3  # inches of a model or a subset
_ELSE = 1.6  # inches of title, axis and margins


def check_columns(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise a `ValueError` if a table has no rows, or lacks one of the columns."""
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"table has no column {', '.join(missing)}: it has {', '.join(map(str, table))}")
    if table.empty:
        raise ValueError("table has no rows: there is nothing to draw")


def plot_leaderboard(
    table: pd.DataFrame, path: str | Path, *, figure_name: str = "accuracy", title: str | None = None
) -> tuple[Path, Path]:
    """
    Forest plot of a leaderboard: a row per model with its figure and confidence interval, the best on top.

    Args:
        table (`pandas.DataFrame`):
            Columns `model`, `value`, `ci_low`, `ci_high` (missing: no interval is drawn, the point is hollow), and
            optionally `tie_group`: models of one group have one colour, and letters say which.
        path (`str` or `pathlib.Path`):
            The PNG file.
        figure_name (`str`, *optional*, defaults to `"accuracy"`):
            Label of the axis.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("model", "value", "ci_low", "ci_high"))
    shown = table.sort_values("value", ascending=False, kind="stable", ignore_index=True)
    labels = short_names(shown["model"])
    figure = new_figure(5.5 + label_width(labels.values()), _ROW * len(shown) + _ELSE)
    axes = figure.subplots()
    groups = shown["tie_group"].astype(str) if "tie_group" in shown else pd.Series("", index=shown.index)
    colours = {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(dict.fromkeys(groups))}
    for row, (entry, group) in enumerate(zip(shown.itertuples(), groups, strict=True)):
        colour, known = colours[group], np.isfinite(entry.ci_low) and np.isfinite(entry.ci_high)
        if known:
            axes.hlines(row, entry.ci_low, entry.ci_high, color=colour, linewidth=2)
        axes.plot(entry.value, row, "o", color=colour, markerfacecolor=colour if known else "white")
    axes.set_yticks(range(len(shown)), [labels[name] for name in shown["model"]])
    axes.set_ylim(len(shown) - 0.4, -0.6)
    if "tie_group" in shown:
        beside = axes.secondary_yaxis("right")
        beside.set_yticks(range(len(shown)), groups)
        beside.tick_params(length=0)
        beside.set_ylabel("tie group")
    bare = ~np.isfinite(shown["ci_low"].to_numpy(dtype=float))
    axes.set(xlabel=figure_name + (" (hollow: no interval known)" if bare.any() else ""), title=title)
    axes.grid(axis="x", alpha=0.3)
    return save_figure(figure, shown, path)


def plot_subset_distributions(
    table: pd.DataFrame, path: str | Path, *, chance: float | None = None, title: str | None = None
) -> tuple[Path, Path]:
    """
    Accuracy on each subset over models: a violin, its median, and a point per model.

    Args:
        table (`pandas.DataFrame`):
            Columns `model`, `subset`, `accuracy`. Subsets are drawn in their order of appearance.
        path (`str` or `pathlib.Path`):
            The PNG file.
        chance (`float`, *optional*):
            Accuracy of guessing, drawn as a line.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("model", "subset", "accuracy"))
    shown = table[table["accuracy"].notna()]
    check_columns(shown, ())
    subsets = list(dict.fromkeys(shown["subset"]))
    labels = short_names(subsets)
    figure = new_figure(5.5 + label_width(labels.values()), 0.38 * len(subsets) + _ELSE)
    axes = figure.subplots()
    for row, subset in enumerate(subsets):
        values = np.sort(shown.loc[shown["subset"] == subset, "accuracy"].to_numpy(dtype=float))
        # a density of few or of equal values tells nothing
        if len(values) >= 5 and np.ptp(values) > 0:
            violin = axes.violinplot(values, [row], orientation="horizontal", widths=0.8, showextrema=False)
            for body in violin["bodies"]:
                body.set(facecolor=COLOURS[5], alpha=0.4)
        axes.plot(values, row + _spread(values), "o", color=COLOURS[0], markersize=3.5, alpha=0.8)
        axes.vlines(np.median(values), row - 0.3, row + 0.3, color=COLOURS[1], linewidth=2)
    if chance is not None:
        axes.axvline(chance, color="grey", linestyle="--", linewidth=1, label="guessing")
    axes.plot([], [], "o", color=COLOURS[0], markersize=3.5, label="a model")
    axes.plot([], [], color=COLOURS[1], linewidth=2, label="median of the models")
    axes.set_yticks(range(len(subsets)), [labels[name] for name in subsets])
    axes.set_ylim(len(subsets) - 0.4, -0.6)
    axes.set(xlabel="accuracy", title=title)
    axes.grid(axis="x", alpha=0.3)
    add_legend(figure)
    return save_figure(figure, shown, path)


def plot_model_correlations(
    correlations: pd.DataFrame, path: str | Path, *, figure_name: str = "correlation", title: str | None = None
) -> tuple[Path, Path]:
    """
    Heat map of the correlations between models, with their values.

    Args:
        correlations (`pandas.DataFrame`):
            Square, with the models' names as index and as columns; values in [-1, 1], `nan` where there are too few
            common rows.
        path (`str` or `pathlib.Path`):
            The PNG file.
        figure_name (`str`, *optional*, defaults to `"correlation"`):
            Label of the colours.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    if list(correlations.index) != list(correlations.columns) or correlations.empty:
        raise ValueError(
            f"correlations must have the same names as rows and columns, got {list(correlations.index)} and "
            f"{list(correlations.columns)}"
        )
    labels = short_names(correlations.index, 32)
    count, margin = len(correlations), label_width(labels.values())
    size = max(0.5 * count, 2.0)
    figure = new_figure(size + margin + 1.8, size + margin + 0.8)
    axes = figure.subplots()
    values = correlations.to_numpy(dtype=float)
    image = axes.imshow(values, vmin=-1, vmax=1, cmap="RdBu_r")
    write_values(axes, values, np.abs(values) > 0.6)
    names = [labels[name] for name in correlations.index]
    axes.set_xticks(range(count), names, rotation=90)
    axes.set_yticks(range(count), names)
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label=figure_name, shrink=0.8)
    return save_figure(figure, correlations.rename_axis("model").reset_index(), path)


def write_values(axes, values: np.ndarray, white: np.ndarray) -> None:
    """Write the numbers of a heat map into its cells, white where the colour is dark."""
    for row, column in np.ndindex(values.shape):
        text = "–" if np.isnan(values[row, column]) else f"{values[row, column]:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8,
                  color="white" if white[row, column] else "black")  # fmt: skip


def _spread(values: np.ndarray) -> np.ndarray:
    """Shifts across the axis that keep equal values apart: 0, up, down, further up, …"""
    _, codes, counts = np.unique(np.round(values, 2), return_inverse=True, return_counts=True)
    rank = np.concatenate([np.arange(count) for count in counts]) if len(values) else np.zeros(0)
    steps = (rank + 1) // 2 * np.where(rank % 2, 1.0, -1.0)
    return steps * np.minimum(0.1, 0.6 / np.maximum(counts[codes], 1))
