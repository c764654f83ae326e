"""Figures as files."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd


if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    path.parent.mkdir(parents=True, exist_ok=True)
    table = path.with_suffix(".csv")
    for target in (table, path):
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{target.name}.", delete=False) as file:
            try:
                if target == path:
                    figure.savefig(file, format="png", dpi=150)
                else:
                    numbers.to_csv(file, index=False)
                file.flush()
                os.fsync(file.fileno())
                os.replace(file.name, target)
            except BaseException:
                os.unlink(file.name)
                raise
    return path, table
