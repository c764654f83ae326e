"""Which models a reward model over-values: mismatch degrees of all pairs, and mean reward against rating."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ..arena.mismatch.pair_choice import significant_pairs
from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .model_names import label_width, short_names


if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..arena.mismatch.agreement import RatingAgreement


_CELL = 0.5  # inches
_STRONGEST = 0.65  # opacity of the largest: dark and light text can be read on it
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")


def plot_mismatch(
    table: pd.DataFrame, path: str | Path, *, level: float = 0.95, title: str | None = None
) -> tuple[Path, Path]:
    """
    Heat map of the mismatch degrees of all pairs: red rows are over-valued models, blue rows under-valued ones.

    Models are in the order of their mean mismatch degree, the most over-valued on top. Framed, bold cells are significant
    with all pairs taken together ([`~trl_ext.arena.significant_pairs`]).

    Args:
        table (`pandas.DataFrame`):
            Of [`~trl_ext.arena.mismatch_table`].
        path (`str` or `pathlib.Path`):
            The PNG file. The CSV file has the table with the columns `p_adjusted` and `significant`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level for all pairs together.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    verdicts = significant_pairs(table, level=level)
    names = list(dict.fromkeys([*table["model"], *table["reference"]]))
    labels = short_names(names, 32)
    margin, size = label_width(labels.values()), max(_CELL * len(names), 2.0)
    figure = new_figure(size + margin + 1.0, size + margin + 1.2)
    axes = figure.subplots()
    order = draw_mismatch(table.assign(**verdicts), axes)
    texts = [labels[name] for name in order]
    axes.set_xticks(range(len(order)), texts, rotation=90)
    axes.set_yticks(range(len(order)), texts)
    axes.set(
        xlabel=f"reference\n\nabove 0 (orange): over-valued\nframed: significant at level {level:g}",
        ylabel="model",
        title=title,
    )
    return save_figure(figure, table.assign(**verdicts), path)


def draw_mismatch(
    table: pd.DataFrame, axes: "Axes", *, numbers: bool = True, size: float = 8, largest: float | None = None
) -> list[str]:
    """
    Draw a heat map of mismatch degrees on a panel.

    The darker a cell, the larger the mismatch; cells are transparent, so that it suits any background.

    Args:
        table (`pandas.DataFrame`):
            Of [`~trl_ext.arena.mismatch_table`], with the column `significant`.
        axes (`matplotlib.axes.Axes`):
            The panel. Its ticks are for the caller to set, at 0, 1, …
        numbers (`bool`, *optional*, defaults to `True`):
            Whether cells say their number.
        size (`float`, *optional*, defaults to `8`):
            Of these, in points.
        largest (`float`, *optional*):
            What the darkest shade means, by default the largest of the table: the same for maps that are compared.

    Returns:
        `list[str]`: Models in the order of rows and columns: the most over-valued first.
    """
    names = list(dict.fromkeys([*table["model"], *table["reference"]]))
    of_first = table.groupby("model")["mismatch"].mean().reindex(names)
    order = list(of_first.sort_values(ascending=False, kind="stable").index)
    cells = table.set_index(["model", "reference"])
    every = pd.MultiIndex.from_product([order, order])
    values = cells["mismatch"].reindex(every).to_numpy(dtype=float).reshape(len(order), -1)
    significant = cells["significant"].astype(float).reindex(every).fillna(0.0).to_numpy().reshape(values.shape) > 0
    largest = max(np.nanmax(np.abs(values), initial=0.0), 0.05) if largest is None else largest
    colours = np.zeros((*values.shape, 4))
    for colour, cells_of in ((COLOURS[1], values > 0), (COLOURS[0], values < 0)):
        colours[cells_of, :3] = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    colours[..., 3] = np.nan_to_num(_STRONGEST * np.abs(values) / largest)
    edges = np.arange(len(order) + 1) - 0.5
    axes.pcolormesh(edges, edges, colours, edgecolors="none")
    for row, column in np.argwhere(np.isfinite(values)):
        _write(axes, row, column, values[row, column] if numbers else None, significant[row, column], size)
    axes.set(xlim=(-0.5, len(order) - 0.5), ylim=(len(order) - 0.5, -0.5), aspect="equal")
    return order


def mismatch_colours(largest: float) -> list[tuple[str, tuple[str, float]]]:
    """Shades of [`draw_mismatch`] for a legend: what they mean, and colour and opacity."""
    steps = [(-1.0, COLOURS[0]), (-0.5, COLOURS[0]), (0.5, COLOURS[1]), (1.0, COLOURS[1])]
    return [(f"{step * largest:+.2f}".replace("-", "−"), (colour, abs(step) * _STRONGEST)) for step, colour in steps]


def _write(axes, row: int, column: int, value: float | None, significant: bool, size: float) -> None:
    from matplotlib.patches import Rectangle

    if value is not None:
        # two digits and no leading zero: a cell is half an inch wide
        text = f"{round(value, 2) + 0.0:+.2f}".replace("0.", ".", 1).replace("-", "−")
        axes.text(column, row, text, ha="center", va="center", fontsize=size,
                  fontweight="bold" if significant else "normal")  # fmt: skip
    if significant:
        box = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor="black", linewidth=1.0)
        axes.add_patch(box)


def plot_reward_against_rating(
    agreement: "RatingAgreement", path: str | Path, *, title: str | None = None
) -> tuple[Path, Path]:
    """
    Mean reward against published rating, a point per model with both intervals, with Spearman's correlation in the title.

    Intervals of the reward leave out what all models share, such as hard prompts: they are for comparing models.

    Args:
        agreement ([`~trl_ext.arena.RatingAgreement`]):
            Of [`~trl_ext.arena.rating_agreement`].
        path (`str` or `pathlib.Path`):
            The PNG file. The CSV file has the table of `agreement`.
        title (`str`, *optional*):
            First line of the title.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    table = agreement.table.sort_values("rating", ascending=False, kind="stable")
    check_columns(table, ("model", "mean_reward", "reward_low", "reward_high", "rating", "rating_low", "rating_high"))
    labels = short_names(table["model"], 34)
    figure = new_figure(6.0 + label_width(labels.values()), 4.8)
    axes = figure.subplots()
    for index, row in enumerate(table.to_dict("records")):
        axes.errorbar(
            row["rating"], row["mean_reward"], xerr=_errors(row, "rating", "rating"),
            yerr=_errors(row, "mean_reward", "reward"), color=COLOURS[index % len(COLOURS)],
            marker=_MARKERS[index % len(_MARKERS)], markersize=6, linestyle="none", linewidth=1, capsize=2,
            label=labels[row["model"]],
        )  # fmt: skip
    axes.set(xlabel="published rating (Elo points)", ylabel="mean reward (interval: against the mean of all models)")
    axes.grid(alpha=0.3)
    spearman = agreement.spearman
    found = (
        f"no rank correlation: {spearman.method.rsplit(': ', 1)[-1]}"
        if np.isnan(spearman.value)
        else f"Spearman {spearman.value:.2f} [{spearman.ci_low:.2f}, {spearman.ci_high:.2f}]"
    )
    axes.set_title(f"{title}\n{found}" if title else found, fontsize=11)
    add_legend(figure, loc="outside right center")
    return save_figure(figure, table, path)


def _errors(row: dict, value: str, prefix: str) -> np.ndarray | None:
    """Distances to both ends of an interval, as matplotlib takes them; `None` where there is none."""
    errors = np.array([[row[value] - row[f"{prefix}_low"]], [row[f"{prefix}_high"] - row[value]]], dtype=float)
    return errors.clip(0) if np.isfinite(errors).all() else None
