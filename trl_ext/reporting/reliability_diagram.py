"""Plot of a reliability diagram."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..evaluation.calibration.diagram import ReliabilityDiagram
from .figures import COLOURS, add_legend, new_figure, save_figure


if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_reliability_diagram(
    diagram: ReliabilityDiagram, path: str | Path, *, title: str | None = None, event: str = "correct"
) -> tuple[Path, Path]:
    """
    Draws observed shares against predictions, with Wilson intervals, the diagonal of perfect calibration, and below it
    how many rows each bin has. Bins too small for an interval are small and hollow.

    Args:
        diagram ([`~trl_ext.evaluation.ReliabilityDiagram`]):
            Bins, of [`~trl_ext.evaluation.reliability_diagram`].
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the plot.
        event (`str`, *optional*, defaults to `"correct"`):
            What is predicted.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        ```python
        >>> import tempfile
        >>> from trl_ext.evaluation import reliability_diagram
        >>> diagram = reliability_diagram([0.2, 0.3, 0.8], [0, 1, 1], n_bins=2)
        >>> [path.name for path in plot_reliability_diagram(diagram, tempfile.mkdtemp() + "/model.png")]
        ['model.png', 'model.csv']
        ```
    """
    figure = new_figure(5, 6)
    shares, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
    draw_reliability_diagram(diagram, shares, counts, title=title, event=event)
    # below the panels: the interval of a small bin may reach anywhere
    add_legend(figure, max_columns=2)
    return save_figure(figure, diagram.to_frame(), path)


def draw_reliability_diagram(
    diagram: ReliabilityDiagram,
    shares: "Axes",
    counts: "Axes",
    *,
    title: str | None = None,
    event: str = "correct",
    colour: str = COLOURS[0],
) -> None:
    """
    Draw a reliability diagram on panels of a figure.

    Args:
        diagram ([`~trl_ext.evaluation.ReliabilityDiagram`]):
            Bins.
        shares, counts (`matplotlib.axes.Axes`):
            Panels of the observed shares, and of the number of rows.
        title (`str`, *optional*):
            Title of the first.
        event (`str`, *optional*, defaults to `"correct"`):
            What is predicted.
        colour (`str`, *optional*):
            Of the bins.
    """
    shares.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="calibrated")
    filled = diagram.n > 0
    # a bin of a single cluster has no interval
    known = filled & np.isfinite(diagram.ci_low) & np.isfinite(diagram.ci_high)
    shares.vlines(diagram.mean_predicted[known], diagram.ci_low[known], diagram.ci_high[known], color=colour)
    label = f"observed, {diagram.level:.0%} interval"
    shares.plot(diagram.mean_predicted[known], diagram.observed[known], "o", color=colour, label=label, clip_on=False)
    bare = filled & ~known
    if bare.any():
        points = diagram.mean_predicted[bare], diagram.observed[bare]
        shares.plot(
            *points,
            "o",
            color=colour,
            markerfacecolor="white",
            markersize=4,
            label="too few for an interval",
            clip_on=False,
        )
    shares.set(ylabel=f"share: {event}" if " " in event else f"share {event}", xlim=(0, 1), ylim=(0, 1), title=title)
    widths = np.diff(diagram.edges)
    counts.bar(diagram.edges[:-1], diagram.n, width=widths, align="edge", color=colour, edgecolor="white")
    counts.set(xlabel=f"predicted P({event})", ylabel="rows")
