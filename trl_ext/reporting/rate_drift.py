"""What rewrites change besides the attribute."""

from pathlib import Path

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .rate_style import GREY, concept_labels, draw_interval, estimates, fit_titles, limits, panels_across


# direction -> label, colour, marker, shift from the middle of its row
_DIRECTIONS = {
    "to_1": ("rewrites that add the attribute", COLOURS[0], "o", -0.22),
    "to_0": ("rewrites that remove it", COLOURS[1], "s", 0.0),
    "asymmetry": ("asymmetry: biases RATE if it is paid for", COLOURS[6], "D", 0.22),
}


def plot_drift(
    table: pd.DataFrame, path: str | Path, *, unit: str = "sd of the feature over all texts", title: str | None = None
) -> tuple[Path, Path]:
    """
    How far rewrites move features of a text that they should leave alone, by their direction: a panel per attribute and data
    set, a row per feature. A change that both directions share cancels out in RATE; their difference does not.

    Args:
        table (`pandas.DataFrame`):
            Columns `dataset, attribute, feature, direction` (`to_1`, `to_0` or `asymmetry`), `value, ci_low, ci_high`.
        path (`str` or `pathlib.Path`):
            The PNG file.
        unit (`str`, *optional*, defaults to `"sd of the feature over all texts"`):
            Of the values.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.

    Raises:
        ValueError: A column is missing, or a direction has another name.
    """
    check_columns(table, ("dataset", "attribute", "feature", "direction"))
    other = sorted({str(name) for name in table["direction"]} - set(_DIRECTIONS))
    if other:
        raise ValueError(f"column 'direction' must be one of {', '.join(_DIRECTIONS)}; it has {', '.join(other)}")
    shown = estimates(table)
    panels = list(shown.assign(panel=concept_labels(shown)).groupby("panel", sort=False))
    most = max(own["feature"].nunique() for _, own in panels)
    across = panels_across(len(panels), 2)
    down = -(-len(panels) // across)
    figure = new_figure(max(5.0 * across, 6.5), down * (0.42 * most + 0.6) + 1.0)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    titles = [figure.suptitle(title)] if title else []
    for index, (name, own) in enumerate(panels):
        axes, features = grid.flat[index], list(dict.fromkeys(own["feature"]))
        ends = limits(own[["value", "ci_low", "ci_high"]].to_numpy().ravel())
        axes.axvline(0, color="black", linewidth=0.8, zorder=1)
        for entry in own.itertuples():
            _, colour, marker, shift = _DIRECTIONS[entry.direction]
            row = features.index(entry.feature) + shift
            draw_interval(axes, entry.ci_low, entry.ci_high, row, ends, colour=colour)
            if np.isfinite(entry.value):
                axes.plot(entry.value, row, marker, color=colour, markersize=4.5, zorder=3)
            else:
                axes.text(0, row, "–", ha="center", va="center", color=GREY)
        axes.set_yticks(range(len(features)), [str(feature).replace("_", " ") for feature in features], fontsize=9)
        axes.set_ylim(len(features) - 0.5, -0.5)
        axes.set_xlim(*ends)
        axes.locator_params(axis="x", nbins=6)
        titles.append(axes.set_title(name, fontsize=10, loc="left", fontweight="bold"))
        axes.grid(axis="x", alpha=0.3)
        axes.hlines(np.arange(len(features) - 1) + 0.5, *ends, color="#EEEEEE", linewidth=0.8, zorder=0)
        axes.set_xlabel(f"change ({unit})" if index + across >= len(panels) else "", fontsize=9)
    from matplotlib.lines import Line2D

    used = [look for name, look in _DIRECTIONS.items() if (shown["direction"] == name).any()]
    handles = [Line2D([], [], color=colour, marker=marker, label=label) for label, colour, marker, _ in used]
    add_legend(figure, handles, max_columns=3)
    fit_titles(figure, titles)
    return save_figure(figure, table.assign(unit=unit), path)
