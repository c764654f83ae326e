"""Histograms that were counted where the data were, beside one another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .figures import COLOURS, new_figure


if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class HistogramPanel:
    """
    A panel.

    Args:
        title (`str`): Title.
        xlabel (`str`): What is counted.
        series (`dict[str, Mapping]`): By name `edges` (K + 1) and `counts` (K).
        counted (`str`, *optional*, defaults to `"pairs"`): What the bars count.
    """

    title: str
    xlabel: str
    series: Mapping[str, Mapping[str, Sequence[float]]]
    counted: str = "pairs"


def draw_histograms(panels: Sequence[HistogramPanel], *, width: float) -> "Figure":
    """
    Histograms: the first series of a panel filled, others as lines.

    Args:
        panels (`Sequence[HistogramPanel]`): What to draw.
        width (`float`): Inches: up to three panels beside one another, or one in a narrow figure.

    Returns:
        `matplotlib.figure.Figure`
    """
    across = 1 if width < 5 else 2 if len(panels) in (2, 4) else min(3, len(panels))
    down = -(-len(panels) // across)
    figure = new_figure(width, 1.95 * down + 0.45)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, panels, strict=False):
        for index, (name, counted) in enumerate(panel.series.items()):
            _draw(axes, counted, COLOURS[index % 6], filled=index == 0, label=name)
        axes.set_title(panel.title)
        axes.set_xlabel(panel.xlabel)
        axes.set_ylabel(panel.counted)
        if len(panel.series) > 1:  # beside its own bars: those of the other panels are something else
            axes.legend(frameon=False, handlelength=1.2)
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.locator_params(axis="both", nbins=5)
    return figure


def _draw(axes: Any, counted: Mapping[str, Sequence[float]], colour: str, *, filled: bool, label: str) -> None:
    edges, counts = np.asarray(counted["edges"], dtype=float), np.asarray(counted["counts"], dtype=float)
    if filled:
        axes.stairs(counts, edges, fill=True, color=colour, alpha=0.45, label=label or None)
    else:
        axes.stairs(counts, edges, color=colour, linewidth=1.6, label=label or None)
