"""Estimates with intervals below one another: annotators, figures, effects, differences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure
from .leaderboard_figures import check_columns
from .model_names import short_names, text_width


if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "^", "D", "v", "P")
_LINE = 0.25  # inches of a line of text
_STEP = 0.42  # lines between the series of a row
_ELSE = 0.75  # inches of the axis and of a line of the legend
_CHARACTER = 0.07  # inches, at most, of a character of a label
# Lines of the grid are not to strike texts through
_PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


def draw_forest(
    table: pd.DataFrame,
    *,
    width: float,
    narrow: bool | None = None,
    reference: float | None = None,
    band: tuple[float, float] | None = None,
    xlabel: str = "",
    limits: tuple[float, float] | None = None,
    digits: int = 2,
    reference_label: str | None = None,
    band_label: str | None = None,
    colours: dict[str, str] | None = None,
) -> "Figure":
    """
    A row for every label, with an interval for every series, the values beside it.

    In a narrow figure, labels and values are above the intervals instead of beside them.

    Args:
        table (`pandas.DataFrame`):
            `label`, `value`, `ci_low`, `ci_high` (missing: the point is hollow), optionally `series`, of which every one
            has a colour and a marker, and `group`, that stands above its rows.
        width (`float`):
            Inches.
        narrow (`bool`, *optional*):
            Whether labels are above intervals. By default below 5 inches.
        reference (`float`, *optional*):
            A vertical line, such as at chance.
        band (`tuple[float, float]`, *optional*):
            A shaded range.
        xlabel (`str`, *optional*):
            Label of the axis.
        limits (`tuple[float, float]`, *optional*):
            Ends of the axis.
        digits (`int`, *optional*, defaults to `2`):
            Of the values beside the rows.
        reference_label, band_label (`str`, *optional*):
            What they are, for the legend.
        colours (`dict[str, str]`, *optional*):
            By series.

    Returns:
        `matplotlib.figure.Figure`
    """
    check_columns(table, ("label", "value", "ci_low", "ci_high"))
    narrow = width < 5 if narrow is None else narrow
    table = table.assign(
        series=table["series"].astype(str) if "series" in table else "",
        group=table["group"].astype(str) if "group" in table else "",
    )
    series = list(dict.fromkeys(table["series"]))
    notes = {key: _note(own.iloc[-1], digits) for key, own in table.groupby(["group", "label"], sort=False)}
    room = max(map(len, notes.values())) * _CHARACTER
    whole = int((width - 0.1) / _CHARACTER)
    limit = whole - int(room / _CHARACTER) - 3 if narrow else int(0.34 * width / _CHARACTER)
    labels = _labels(table["label"].astype(str), max(12, limit), whole if narrow else max(12, limit))
    # a label that can't be told from others in the room that its value leaves has a line of its own
    below = narrow and max(text_width(label) for label in labels.values()) > limit
    lines = _lines(table, narrow, below)
    figure = new_figure(width, _LINE * (lines["bottom"] - lines["top"]) + _ELSE)
    axes = figure.subplots()
    ends = limits or _ends(table, reference, band)
    axes.set_xlim(*ends)
    if band is not None:
        axes.axvspan(*band, color="#999999", alpha=0.2, linewidth=0, label=band_label, zorder=0)
    if reference is not None:
        axes.axvline(reference, color="#777777", linewidth=1, linestyle=(0, (4, 3)), label=reference_label, zorder=1)
    for name, y in lines["groups"]:
        axes.annotate(name, (0, y), xycoords=("axes fraction", "data"), fontweight="bold", va="center",
                      annotation_clip=False, xytext=(0, 0), textcoords="offset points", bbox=_PAPER, zorder=4)  # fmt: skip
    if len(series) > 1 or series[0]:
        for index, name in enumerate(series):  # entries of the legend, whether or not a point of theirs is in sight
            axes.plot([], [], _MARKERS[index % 6], color=(colours or {}).get(name) or COLOURS[index % 6], markersize=5, label=name)  # fmt: skip
    ticks = []
    for (group, label), own in table.groupby(["group", "label"], sort=False):
        y = lines["rows"][group, label]
        if narrow:
            top = lines["labels"][group, label]
            place = {"transform": axes.get_yaxis_transform(), "va": "center", "bbox": _PAPER, "zorder": 4}
            axes.text(0, top, labels[label], **place)
            axes.text(1, top + (0.95 if below else 0.0), notes[group, label], ha="right", color="#666666", **place)
        ticks.append((y, labels[label], notes[group, label]))
        for place, row in enumerate(own.itertuples()):
            index = series.index(row.series)
            colour = (colours or {}).get(row.series) or COLOURS[index % 6]
            at = y + (place - (len(own) - 1) / 2) * _STEP
            _draw_row(axes, row, at, colour, _MARKERS[index % 6], ends)
    axes.set_ylim(lines["bottom"], lines["top"])
    if narrow:
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    else:
        axes.set_yticks([y for y, _, _ in ticks], [label for _, label, _ in ticks])
        axes.tick_params(axis="y", length=0)
        beside = axes.secondary_yaxis("right")
        beside.set_yticks([y for y, _, _ in ticks], [note for _, _, note in ticks])
        beside.tick_params(length=0, labelcolor="#666666")
        for side in ("left", "right"):
            axes.spines[side].set_visible(False)
        beside.spines["right"].set_visible(False)
    axes.set_xlabel(xlabel)
    axes.locator_params(axis="x", nbins=5 if narrow else 7)
    axes.grid(axis="x", zorder=0)
    axes.set_axisbelow(True)
    entries = [label for label in axes.get_legend_handles_labels()[1] if label]
    if entries:
        add_legend(figure, max_columns=2 if narrow else 4)
    return figure


def _labels(names: pd.Series, limit: int, whole: int) -> dict[str, str]:
    """Names that fit into a line: those that would have to be longer to be told apart have the number of their row."""
    readable = {name: " ".join(name.split()) or "(no name)" for name in dict.fromkeys(names)}
    short = short_names(dict.fromkeys(readable.values()), limit)
    places = {name: f"{place}. " for place, name in enumerate(readable, 1)}
    wide = any(text_width(label) > whole for label in short.values()) or len(short) < len(readable)
    if not wide:
        return {name: short[text] for name, text in readable.items()}
    return {name: places[name] + _fitting(text, whole - len(places[name])) for name, text in readable.items()}


def _fitting(text: str, width: int) -> str:
    """The longest shortening of a text that is no wider than so many ordinary characters."""
    size = width
    while size > 5 and text_width(short_names([text], size)[text]) > width:
        size -= 1
    return short_names([text], size)[text]


def _lines(table: pd.DataFrame, narrow: bool, below: bool) -> dict:
    """Where rows, their labels and headings of groups are, in lines from the top."""
    y, rows, labels, groups = 0.0, {}, {}, []
    crowd = table.groupby(["group", "label"], sort=False).size()
    for (group, label), count in crowd.items():
        if group and (not groups or groups[-1][0] != group):
            y += 0.5 if rows else 0.0
            groups.append((group, y))
            y += 1.1
        spread = _STEP * (count - 1)
        if narrow:
            labels[group, label] = y
            rows[group, label] = y + 0.85 + below * 0.9 + spread / 2
            y += 2.0 + below * 0.9 + spread
        else:
            rows[group, label] = y + spread / 2
            y += 1.0 + spread
    return {"rows": rows, "labels": labels, "groups": groups, "top": -0.75, "bottom": y - (0.55 if narrow else 0.25)}


def _draw_row(axes, row, y: float, colour: str, marker: str, ends: Sequence[float]) -> None:
    known = np.isfinite(row.value)
    low, high = float(row.ci_low), float(row.ci_high)
    has = not (np.isnan(low) or np.isnan(high))
    if has:
        axes.hlines(y, *np.clip([low, high], *ends), color=colour, linewidth=1.8, zorder=2)
        for bound, at, arrow in ((low, ends[0], "<"), (high, ends[1], ">")):
            if (bound < at) if arrow == "<" else (bound > at):  # it goes on
                axes.plot(at, y, arrow, color=colour, markersize=4, clip_on=False, zorder=2)
    if known and ends[0] <= row.value <= ends[1]:
        axes.plot(row.value, y, marker, color=colour, markerfacecolor=colour if has else "white", markersize=5,
                  zorder=3, clip_on=False)  # fmt: skip


def _ends(table: pd.DataFrame, reference: float | None, band: tuple[float, float] | None) -> tuple[float, float]:
    values = np.concatenate(
        [table[["value", "ci_low", "ci_high"]].to_numpy(dtype=float).ravel(), [*(band or ()), reference or 0.0]]
    )
    if reference is None and band is None:
        values = values[:-1]
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    margin = 0.05 * (values.max() - values.min()) or 0.5
    return float(values.min() - margin), float(values.max() + margin)


def _note(row: pd.Series, digits: int) -> str:
    """The figure beside a row: that of its last series."""

    def number(value: float) -> str:
        return f"{value:.{digits}f}".replace("-", "−").replace("inf", "∞")

    value, low, high = (float(row[name]) for name in ("value", "ci_low", "ci_high"))
    if np.isnan(value):
        return "no estimate"
    return number(value) + ("" if np.isnan(low) or np.isnan(high) else f" [{number(low)}, {number(high)}]")
