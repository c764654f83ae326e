"""What the figures of effects share: a colour and a marker for every reward model, and estimates that may be missing."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import pandas as pd

from .figures import COLOURS
from .leaderboard_figures import check_columns


# black is the truth's and the axes'
_PALETTE = COLOURS[:6]
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
GREY = "#BBBBBB"

# estimator -> (label, colour, marker)
ESTIMATORS = {
    "naive": ("naive", COLOURS[1], "s"),
    "single_rewrite": ("single rewrite", COLOURS[4], "^"),
    "rate": ("RATE", COLOURS[0], "o"),
    "wald": ("RATE / compliance", COLOURS[3], "D"),
    "feature_adjusted": ("RATE, feature-adjusted", COLOURS[2], "v"),
    "symmetric": ("RATE, symmetric", COLOURS[5], "P"),
    "aipw": ("AIPW, no rewrites", "#777777", "X"),
}


def model_styles(models: Iterable[str], order: Sequence[str] | None = None) -> dict[str, tuple[str, str]]:
    """
    Colour and marker of every reward model: the first six differ in colour, 60 in colour or marker.

    Args:
        models (`Iterable[str]`): Those that are drawn.
        order (`Sequence[str]`, *optional*):
            All models of a report, so that a model looks the same in all of its figures. By default those drawn.

    Returns:
        `dict[str, tuple[str, str]]`: By model, in the order given.

    Example:
        ```python
        >>> model_styles(["b"], order=["a", "b"])
        {'b': ('#D55E00', 's')}

        ```
    """
    drawn = list(dict.fromkeys(models))
    order = list(dict.fromkeys([*(order or ()), *drawn]))
    # markers change with the colour, and are shifted by one in every further round: all 60 pairs are different
    looks = [(_PALETTE[i], _MARKERS[(i + turn) % len(_MARKERS)]) for turn, i in product(range(10), range(6))]
    styles = {model: looks[index % len(looks)] for index, model in enumerate(order)}
    return {model: styles[model] for model in order if model in set(drawn)}


def estimates(table: pd.DataFrame, columns: Sequence[str] = ("value", "ci_low", "ci_high")) -> pd.DataFrame:
    """
    The table with these columns as floats, `nan` where there is no estimate.

    Raises:
        ValueError: A column is missing or is no number, or an interval does not contain its value. The row is named.
    """
    check_columns(table, columns)
    table = table.copy()
    for name in columns:
        numbers = pd.to_numeric(table[name], errors="coerce")
        wrong = np.flatnonzero((numbers.isna() & table[name].notna()).to_numpy())
        if wrong.size:
            raise ValueError(
                f"column {name!r} must be numbers, or empty; first other: row {wrong[0]}, value {table[name].iloc[wrong[0]]!r}"
            )
        table[name] = numbers.astype(float)
    value, low, high = (table[name].to_numpy() for name in columns[:3])
    slack = 1e-9 * np.maximum(1.0, np.abs(value))
    outside = np.flatnonzero((low > value + slack) | (high < value - slack))
    if outside.size:
        row = outside[0]
        raise ValueError(
            f"{columns[1]!r} and {columns[2]!r} must enclose {columns[0]!r}; first that do not: row {row}, "
            f"[{low[row]:g}, {high[row]:g}] and {value[row]:g}"
        )
    return table


def choose_scale(table: pd.DataFrame, normalised: bool) -> tuple[pd.DataFrame, str]:
    """
    The table with `value, se, ci_low, ci_high, method, mde` in the wanted unit, which is in column `unit`, and its label.

    Args:
        table (`pandas.DataFrame`): Effects of a report.
        normalised (`bool`): In standard deviations of the rewards of originals, or as they are.
    """
    names = {"normalised": "value", **{f"normalised_{name}": name for name in ("ci_low", "ci_high", "se", "method")}}
    names["mde_normalised"] = "mde"
    if normalised:
        check_columns(table, list(names)[:3])
    unit = "sd of reward" if normalised else "reward"
    other = [name for name in (names.values() if normalised else names) if name in table]
    return estimates(table.drop(columns=other).rename(columns=names)).assign(unit=unit), unit


def limits(values: Iterable[float], include: Sequence[float] = (0.0,)) -> tuple[float, float]:
    """Ends of an axis that shows all finite values, with a margin."""
    array = np.array([*values, *include], dtype=float)
    array = array[np.isfinite(array)]
    low, high = array.min(), array.max()
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def draw_interval(axes, low: float, high: float, y: float, ends: tuple[float, float], *, colour: str,
                  linewidth: float = 1.6) -> None:  # fmt: skip
    """A horizontal interval; where it has no end, or leaves the axis, an arrow says so."""
    if np.isnan(low) or np.isnan(high):
        return
    shown = np.clip([low, high], *ends)
    axes.hlines(y, *shown, color=colour, linewidth=linewidth, zorder=2)
    for bound, at, marker in ((low, ends[0], "<"), (high, ends[1], ">")):
        if (bound < at) if marker == "<" else (bound > at):
            axes.plot(at, y, marker, color=colour, markersize=5, clip_on=False, zorder=2)
        else:
            axes.plot(bound, y, "|", color=colour, markersize=7, zorder=2)


def errors(table: pd.DataFrame, span: float) -> np.ndarray:
    """Lengths of error bars `(2, N)`: none where there is no interval, and `span` where it has no end."""
    low, high = table["value"] - table["ci_low"], table["ci_high"] - table["value"]
    return np.nan_to_num(np.array([low, high], dtype=float), nan=0.0, posinf=span).clip(0)


def concept_labels(table: pd.DataFrame, separator: str = " · ") -> pd.Series:
    """Attribute and data set of every row as one label; the attribute alone where there is one data set."""
    attribute = table["attribute"].astype(str).str.replace("_", " ")
    if table["dataset"].nunique() < 2:
        return attribute
    return attribute + separator + table["dataset"].astype(str)


def label_below(axes, index: int, across: int, count: int, label: str | None = None) -> None:
    """Ticks, and the name of the axis, below the last panel of a column of a grid whose last row may not be full."""
    last = index + across >= count
    axes.tick_params(axis="x", which="both", labelbottom=last)
    if label is not None:
        axes.set_xlabel(label if last else "")


def fit_titles(figure, titles: Sequence) -> None:
    """
    Break titles of panels that are wider than their panels, and that of the figure, into lines.

    Args:
        figure (`matplotlib.figure.Figure`): With all that takes room drawn.
        titles (`Sequence[matplotlib.text.Text]`): Of its panels, and of the figure.
    """
    figure.draw_without_rendering()  # the layout says how wide panels are
    widths = [(one.axes or figure).bbox.width for one in titles]
    for text, width in zip(titles, widths, strict=True):
        whole, now = text.get_text(), text.get_window_extent().width
        size = min(len(whole), int(1.1 * len(whole) * width / now) + 1) if now else 0
        while size > 8 and text.get_window_extent().width > width:
            size -= 1
            text.set_text("\n".join(textwrap.wrap(whole, size)))


def panels_across(count: int, most: int) -> int:
    """Panels beside one another: as many as fit, or fewer if that leaves no gap in the last row and few rows."""
    most = max(1, min(most, count))
    return next((across for across in range(most, 0, -1) if count % across == 0 and count // across <= 3), most)
