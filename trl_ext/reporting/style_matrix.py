"""RM-Bench: accuracy by the styles of the right and the wrong answer."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..evaluation.benchmarks.rm_bench import STYLES
from .figures import new_figure, save_figure
from .leaderboard_figures import check_columns, write_values
from .model_names import short_names


_COLUMNS = 4  # panels in a row
_PANEL = 3.0  # inches


def plot_style_matrices(table: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Heat maps of RM-Bench's accuracies, a panel per model: style of the right answer by style of the wrong one. Above the
    diagonal, where the wrong answer has the richer style, are the hard comparisons.

    Args:
        table (`pandas.DataFrame`):
            Columns `model`, `right`, `wrong` (`concise`, `detailed`, `markdown`), `value`.
        path (`str` or `pathlib.Path`):
            The PNG file.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("model", "right", "wrong", "value"))
    labels = short_names(table["model"], 30)
    columns = min(len(labels), _COLUMNS)
    rows = -(-len(labels) // columns)
    figure = new_figure(_PANEL * columns + 1.6, (_PANEL + 0.35) * rows + 0.5)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(labels) :]:
        panel.set_axis_off()
    for index, (name, label) in enumerate(labels.items()):
        own, panel = table[table["model"] == name], panels.flat[index]
        if own.duplicated(["right", "wrong"]).any():
            raise ValueError(f"model {name!r} has several values for one cell")
        values = own.pivot(index="right", columns="wrong", values="value").reindex(index=STYLES, columns=STYLES)
        values = values.to_numpy(dtype=float)
        image = panel.imshow(values, vmin=0, vmax=1, cmap="viridis")
        write_values(panel, values, values < 0.6)
        panel.set_title(label, fontsize=9)
        panel.set_xticks(range(3), STYLES, fontsize=8)
        panel.set_yticks(range(3), STYLES if index % columns == 0 else [""] * 3, fontsize=8)
        panel.set_xlabel("style of the wrong answer", fontsize=8)
        if index % columns == 0:
            panel.set_ylabel("style of the right answer", fontsize=8)
        for cell in np.ndindex(3, 3):
            if cell[1] > cell[0]:
                _frame(panel, cell)
    figure.colorbar(image, ax=panels, label="accuracy (framed: hard)", shrink=0.8)
    if title:
        figure.suptitle(title)
    return save_figure(figure, table, path)


def _frame(panel, cell: tuple[int, int]) -> None:
    from matplotlib.patches import Rectangle

    row, column = cell
    panel.add_patch(Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor="#D55E00", linewidth=1.2))
