"""How many of the labels at the top of a ranking are wrong."""

from pathlib import Path

import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns


_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_precision_at_k(
    table: pd.DataFrame, base_rate: float, path: str | Path, *, title: str | None = None
) -> tuple[Path, Path]:
    """
    Share of wrong labels among the most suspicious ones, with intervals, a line per kind of evidence.

    Args:
        table (`pandas.DataFrame`):
            Columns `evidence`, `share`, `k`, `value`, `ci_low`, `ci_high`: `curve` of a
            [`~trl_ext.mislabels.MislabelReport`]. The evidence that comes first is the one with an interval.
        base_rate (`float`):
            Share of wrong labels among all.
        path (`str` or `pathlib.Path`):
            The PNG file.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("evidence", "share", "k", "value", "ci_low", "ci_high"))
    figure = new_figure(6.5, 4.2)
    axes = figure.subplots()
    axes.axhline(base_rate, color="grey", linestyle="--", linewidth=1, label=f"all labels ({base_rate:.2f})")
    axes.axhline(min(3 * base_rate, 1), color="grey", linestyle=":", linewidth=1, label="three times as many")
    for index, (name, own) in enumerate(table.groupby("evidence", sort=False)):
        colour, marker = COLOURS[index % len(COLOURS)], _MARKERS[index % len(_MARKERS)]
        if index == 0:
            axes.fill_between(100 * own["share"], own["ci_low"], own["ci_high"], color=colour, alpha=0.15, linewidth=0)
        axes.plot(100 * own["share"], own["value"], color=colour, marker=marker, markersize=4, label=str(name))
    axes.set(xlabel="labels looked at, most suspicious first (%)", ylabel="share that is wrong", title=title)
    axes.set_ylim(0, 1.02)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    add_legend(figure, max_columns=3)
    return save_figure(figure, table, path)
