"""Figures as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..atomic_files import atomic_path


if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

_MARGIN = 0.1  # inches

# Okabe and Ito's colours, which people with colour blindness can tell apart: blue, vermilion, green, purple, orange,
# light blue, black
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def new_figure(width: float, height: float) -> "Figure":
    """
    A matplotlib figure without a window, so that no display is needed.

    Args:
        width (`float`):
            In inches.
        height (`float`):
            In inches.

    Returns:
        `matplotlib.figure.Figure`

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("plots need matplotlib: pip install trl_ext[report]") from error
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: "Figure", numbers: pd.DataFrame, path: str | Path) -> tuple[Path, Path]:
    """
    Writes a PNG file, and its numbers as CSV beside it. Each file is complete or absent.

    Args:
        figure (`matplotlib.figure.Figure`):
            The plot.
        numbers (`pandas.DataFrame`):
            What it shows.
        path (`str` or `pathlib.Path`):
            The PNG file; its folder is made if need be.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    path = Path(path)
    if path.suffix != ".png":
        raise ValueError(f"path must end with .png, got '{path}'")
    table = path.with_suffix(".csv")
    with atomic_path(table) as temporary:
        numbers.to_csv(temporary, index=False)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)
    return path, table


def add_legend(
    figure: "Figure",
    handles: Sequence["Artist"] | None = None,
    labels: Sequence[str] | None = None,
    *,
    loc: str = "outside lower center",
    max_columns: int = 6,
) -> "Legend":
    """
    A legend outside the panels with as many columns as fit into the figure, which grows if one column does not fit.

    A legend above or below the panels takes no room from them: the figure gets higher by all its rows but the first.

    Args:
        figure (`matplotlib.figure.Figure`):
            The figure, with its panels drawn.
        handles (`Sequence[matplotlib.artist.Artist]`, *optional*):
            Entries. By default those of all panels, each label once.
        labels (`Sequence[str]`, *optional*):
            Their labels, by default their own.
        loc (`str`, *optional*, defaults to `"outside lower center"`):
            As matplotlib takes it; beside the panels, there is one column.
        max_columns (`int`, *optional*, defaults to `6`):
            At most.

    Returns:
        `matplotlib.legend.Legend`

    Raises:
        ValueError: Nothing has a label.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    if handles is None:
        entries: dict[str, Artist] = {}
        for axes in figure.axes:
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
                entries.setdefault(label, handle)
        handles, labels = list(entries.values()), list(entries)
    elif labels is None:
        labels = [handle.get_label() for handle in handles]
    renderer = FigureCanvasAgg(figure).get_renderer()
    beside = "right" in loc or "left" in loc
    count = len(handles)
    if not count:
        raise ValueError("nothing that is drawn has a label: there is no legend")
    wanted = [1] if beside else range(min(max_columns, count), 0, -1)
    # of several numbers of columns with as many rows, the smallest: no row is nearly empty
    for columns in dict.fromkeys(-(-count // -(-count // wish)) for wish in wanted):
        legend = figure.legend(handles, labels, loc=loc, ncols=columns, frameon=False)
        width, height = _inches(legend, renderer)
        if width <= figure.get_figwidth() or columns == 1:
            break
        legend.remove()
    if beside:
        figure.set_figheight(max(figure.get_figheight(), height + _MARGIN))
    else:
        figure.set_figwidth(max(figure.get_figwidth(), width))
        rows = -(-count // columns)
        figure.set_figheight(figure.get_figheight() + height * (rows - 1) / rows)
    return legend


def _inches(legend: "Legend", renderer) -> tuple[float, float]:
    """Width and height, with a margin beside it."""
    box = legend.get_window_extent(renderer)
    return box.width / legend.figure.dpi + _MARGIN, box.height / legend.figure.dpi
