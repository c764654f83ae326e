"""Figures of monitoring: how clear pairs are, what no test can beat, what tests reach, and what they make of effort."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure


if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINES = ("-", "--", ":", "-.")


def _check(rows: pd.DataFrame, columns: list[str]) -> None:
    missing = [name for name in columns if name not in rows]
    if missing:
        raise ValueError(f"rows have no column '{missing[0]}'; columns are {', '.join(map(repr, rows))}")
    if rows.empty:
        raise ValueError("rows are empty: nothing to plot")


def _levels(column: pd.Series) -> list[Any]:
    return list(dict.fromkeys(column.dropna()))


def _error_axis(axes: "Axes") -> None:
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.25)


def plot_probability_histograms(
    rows: pd.DataFrame, path: str | Path, *, title: str | None = None
) -> tuple[Path, Path]:
    """
    Draws the density of folded preference probabilities, a panel per dataset, and their mean.

    Args:
        rows (`pandas.DataFrame`):
            Columns `dataset`, `bin_low`, `bin_high`, `density`, `mean` (of the dataset).
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.

    Example:
        ```python
        >>> import tempfile
        >>> rows = pd.DataFrame({"dataset": "demo", "bin_low": [0.5, 0.75], "bin_high": [0.75, 1.0], "density": [1.0, 3.0]})
        >>> [path.name for path in plot_probability_histograms(rows.assign(mean=0.8), tempfile.mkdtemp() + "/p.png")]
        ['p.png', 'p.csv']
        ```
    """
    _check(rows, ["dataset", "bin_low", "bin_high", "density", "mean"])
    datasets = _levels(rows["dataset"])
    figure = new_figure(0.6 + 2.7 * len(datasets), 3)
    panels = figure.subplots(1, len(datasets), sharey=False, squeeze=False)[0]
    for axes, dataset in zip(panels, datasets, strict=True):
        group = rows[rows["dataset"] == dataset]
        widths = group["bin_high"] - group["bin_low"]
        axes.bar(group["bin_low"], group["density"], width=widths, align="edge", color=COLOURS[0], edgecolor="white")
        mean = group["mean"].iloc[0]
        axes.axvline(mean, color=COLOURS[1], linestyle="--", label="mean")
        axes.set(xlabel="max(p, 1 − p)", xlim=(0.5, 1))
        axes.set_title(f"{dataset} (mean {mean:.3f})", fontsize="medium")
    panels[0].set_ylabel("density")
    add_legend(figure)
    if title:
        figure.suptitle(title)
    return save_figure(figure, rows, path)


def plot_error_lower_bounds(
    rows: pd.DataFrame, path: str | Path, *, level: float | None = 0.2, title: str | None = None
) -> tuple[Path, Path]:
    """
    Draws the lower bound on the sum of both errors against the number of samples: a column of panels per dataset, a row per
    η1, a line per η0.

    Args:
        rows (`pandas.DataFrame`):
            Columns `dataset`, `eta0`, `eta1`, `n`, `lower_bound`.
        path (`str` or `pathlib.Path`):
            PNG file to write.
        level (`float`, *optional*, defaults to `0.2`):
            Sum of errors to mark by a horizontal line.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.

    Example:
        ```python
        >>> import tempfile
        >>> rows = pd.DataFrame({"dataset": "demo", "eta0": 0.8, "eta1": 1.0, "n": [10, 20], "lower_bound": [0.8, 0.6]})
        >>> [path.name for path in plot_error_lower_bounds(rows, tempfile.mkdtemp() + "/bounds.png")]
        ['bounds.png', 'bounds.csv']
        ```
    """
    _check(rows, ["dataset", "eta0", "eta1", "n", "lower_bound"])
    datasets, rights, lefts = (_levels(rows[name]) for name in ("dataset", "eta1", "eta0"))
    figure = new_figure(1.2 + 2.7 * len(datasets), 0.9 + 2.2 * len(rights))
    panels = figure.subplots(len(rights), len(datasets), sharex=True, sharey=True, squeeze=False)
    for row, eta1 in enumerate(rights):
        for column, dataset in enumerate(datasets):
            axes = panels[row, column]
            for index, eta0 in enumerate(lefts):
                group = rows[(rows["dataset"] == dataset) & (rows["eta1"] == eta1) & (rows["eta0"] == eta0)]
                axes.plot(
                    group["n"],
                    group["lower_bound"],
                    color=COLOURS[index % len(COLOURS)],
                    linestyle=_LINES[index % len(_LINES)],
                    label=f"η₀ = {eta0:g}",
                )
            if level is not None:
                axes.axhline(level, color="grey", linewidth=0.8, label=f"{level:g}")
            _error_axis(axes)
            axes.set_title(f"{dataset}, η₁ = {eta1:g}", fontsize="medium")
        panels[row, 0].set_ylabel("type I + type II error\nat least")
    for axes in panels[-1]:
        axes.set_xlabel("monitored samples n")
    add_legend(figure)
    if title:
        figure.suptitle(title)
    return save_figure(figure, rows, path)


def plot_monitor_errors(rows: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Draws the sum of both errors of the self-consistency monitor, a line per δ, against the lower bounds of expert monitors, a
    dashed line per dataset. A panel per pair of hypotheses.

    Args:
        rows (`pandas.DataFrame`):
            Columns `monitor` (`self` or `expert bound`), `dataset` (of `expert bound`), `delta` (of `self`), `eta0`, `eta1`,
            `n`, `error_sum`.
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.

    Example:
        ```python
        >>> import tempfile
        >>> shared = {"eta0": 0.8, "eta1": 1.0, "n": 10}
        >>> rows = pd.DataFrame([{"monitor": "self", "dataset": None, "delta": 0.1, "error_sum": 0.6} | shared])
        >>> [path.name for path in plot_monitor_errors(rows, tempfile.mkdtemp() + "/errors.png")]
        ['errors.png', 'errors.csv']
        ```
    """
    _check(rows, ["monitor", "dataset", "delta", "eta0", "eta1", "n", "error_sum"])
    lefts, rights = _levels(rows["eta0"]), _levels(rows["eta1"])
    figure = new_figure(1.2 + 3.6 * len(rights), 1.2 + 2.6 * len(lefts))
    panels = figure.subplots(len(lefts), len(rights), sharex=True, sharey=True, squeeze=False)
    deltas, datasets = _levels(rows["delta"]), _levels(rows["dataset"])
    for row, eta0 in enumerate(lefts):
        for column, eta1 in enumerate(rights):
            axes = panels[row, column]
            here = rows[(rows["eta0"] == eta0) & (rows["eta1"] == eta1)]
            for index, delta in enumerate(deltas):
                group = here[(here["monitor"] == "self") & (here["delta"] == delta)]
                colour = COLOURS[index % len(COLOURS)]
                axes.plot(group["n"], group["error_sum"], color=colour, label=f"self, δ = {delta:g}")
            for index, dataset in enumerate(datasets):
                group = here[(here["monitor"] != "self") & (here["dataset"] == dataset)]
                marker = "os^Dv<>"[index % 7]
                axes.plot(
                    group["n"],
                    group["error_sum"],
                    color="0.35",
                    linestyle="--",
                    linewidth=1,
                    marker=marker,
                    markersize=4,
                    markerfacecolor="white",
                    markevery=max(1, len(group) // 8),
                    label=f"any expert test, {dataset}",
                )
            _error_axis(axes)
            axes.set_title(f"η₀ = {eta0:g}, η₁ = {eta1:g}", fontsize="medium")
        panels[row, 0].set_ylabel("type I + type II error")
    for axes in panels[-1]:
        axes.set_xlabel("monitored samples n")
    add_legend(figure, max_columns=3)
    if title:
        figure.suptitle(title)
    return save_figure(figure, rows, path)


def plot_incentives(rows: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Draws how fast the probability of passing grows with commitment, a panel per monitor and dataset, a line per η.

    Args:
        rows (`pandas.DataFrame`):
            Columns `monitor` (`self` or `expert`), `dataset` (of `expert`), `c`, `eta`, `n`, `incentive` (per unit of η).
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.

    Example:
        ```python
        >>> import tempfile
        >>> rows = pd.DataFrame({"monitor": "self", "dataset": None, "c": 1.0, "eta": 0.9, "n": [10, 30], "incentive": [3, 5]})
        >>> [path.name for path in plot_incentives(rows, tempfile.mkdtemp() + "/incentives.png")]
        ['incentives.png', 'incentives.csv']
        ```
    """
    _check(rows, ["monitor", "dataset", "c", "eta", "n", "incentive"])
    from matplotlib import colormaps

    monitors = list(dict.fromkeys(zip(rows["monitor"], rows["dataset"].fillna(""), rows["c"], strict=True)))
    etas = sorted(_levels(rows["eta"]))
    columns = min(3, len(monitors))
    lines = -(-len(monitors) // columns)
    figure = new_figure(1.6 + 2.9 * columns, 0.6 + 2.6 * lines)
    grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    panels = grid.ravel()
    for axes in panels[len(monitors) :]:
        axes.axis("off")
    names = rows["dataset"].fillna("")
    for axes, (monitor, dataset, c) in zip(panels, monitors, strict=False):
        for index, eta in enumerate(etas):
            group = rows[(rows["monitor"] == monitor) & (names == dataset) & (rows["eta"] == eta)]
            colour = colormaps["viridis"](0.92 * index / max(len(etas) - 1, 1))
            axes.plot(group["n"], group["incentive"], color=colour, linewidth=1.2, label=f"η = {eta:g}")
        axes.set(yscale="log")
        axes.tick_params(labelbottom=True)
        axes.set_title(f"{monitor}{', ' if dataset else ''}{dataset} (c = {c:.2f})", fontsize="medium")
        axes.grid(alpha=0.25, which="both")
    positive = rows.loc[rows["incentive"] > 0, "incentive"]
    if not positive.empty:
        ticks = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 2, 5)]
        ticks = [tick for tick in ticks if positive.min() / 2 < tick < positive.max() * 2]
        panels[0].set_yticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        panels[0].set_yticks([], minor=True)
    figure.supylabel("d P(pass) / dη, per unit of η", fontsize="medium")
    figure.supxlabel("monitored samples n", fontsize="medium")
    add_legend(figure, loc="outside right center")
    if title:
        figure.suptitle(title)
    return save_figure(figure, rows, path)


def plot_information_bounds(rows: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Draws Fano's bound on the probability of missing an annotator's commitment: a column of panels per dataset, a row per
    distance of the commitments, a line per kind of expert.

    Args:
        rows (`pandas.DataFrame`):
            Columns `dataset`, `expert`, `separation`, `n`, `bound`.
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.

    Example:
        ```python
        >>> import tempfile
        >>> rows = pd.DataFrame({"dataset": "demo", "expert": "certain", "separation": 0.1, "n": [1, 9], "bound": [0.7, 0.6]})
        >>> [path.name for path in plot_information_bounds(rows, tempfile.mkdtemp() + "/fano.png")]
        ['fano.png', 'fano.csv']
        ```
    """
    _check(rows, ["dataset", "expert", "separation", "n", "bound"])
    datasets, separations, experts = (_levels(rows[name]) for name in ("dataset", "separation", "expert"))
    figure = new_figure(1.2 + 2.7 * len(datasets), 0.9 + 2.2 * len(separations))
    panels = figure.subplots(len(separations), len(datasets), sharex=True, sharey=True, squeeze=False)
    for row, separation in enumerate(separations):
        for column, dataset in enumerate(datasets):
            axes = panels[row, column]
            for index, expert in enumerate(experts):
                group = rows[
                    (rows["dataset"] == dataset) & (rows["separation"] == separation) & (rows["expert"] == expert)
                ]
                axes.plot(
                    group["n"],
                    group["bound"],
                    color=COLOURS[index % len(COLOURS)],
                    linestyle=_LINES[index % len(_LINES)],
                    label=f"{expert} expert",
                )
            _error_axis(axes)
            axes.set_title(f"{dataset}, ε = {separation:g}", fontsize="medium")
        panels[row, 0].set_ylabel("P(miss η by ε/2)\nat least")
    for axes in panels[-1]:
        axes.set_xlabel("monitored samples n")
    add_legend(figure, max_columns=4)
    if title:
        figure.suptitle(title)
    return save_figure(figure, rows, path)
