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
    from ..arena.mismatch.agreement import RatingAgreement


_CELL = 0.5  # inches
_DARK = 0.6  # of the largest size: white text from here
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
    of_first = table.groupby("model")["mismatch"].mean().reindex(names)
    order = list(of_first.sort_values(ascending=False, kind="stable").index)
    cells = table.assign(**verdicts).set_index(["model", "reference"])
    every = pd.MultiIndex.from_product([order, order])
    values = cells["mismatch"].reindex(every).to_numpy(dtype=float).reshape(len(order), -1)
    significant = cells["significant"].astype(float).reindex(every).fillna(0.0).to_numpy().reshape(values.shape) > 0

    labels = short_names(order, 32)
    margin, size = label_width(labels.values()), max(_CELL * len(order), 2.0)
    figure = new_figure(size + margin + 2.2, size + margin + 1.2)
    axes = figure.subplots()
    largest = max(np.nanmax(np.abs(values)), 0.05)
    image = axes.imshow(values, vmin=-largest, vmax=largest, cmap="RdBu_r")
    for row, column in np.argwhere(np.isfinite(values)):
        _write(axes, row, column, values[row, column], significant[row, column], largest)
    texts = [labels[name] for name in order]
    axes.set_xticks(range(len(order)), texts, rotation=90)
    axes.set_yticks(range(len(order)), texts)
    axes.set(xlabel="reference", ylabel="model", title=title)
    framed = f"framed: significant at level {level:g}"
    figure.colorbar(image, ax=axes, label=f"mismatch degree, above 0: over-valued\n({framed})", shrink=0.8)
    return save_figure(figure, table.assign(**verdicts), path)


def _write(axes, row: int, column: int, value: float, significant: bool, largest: float) -> None:
    from matplotlib.patches import Rectangle

    # two digits and no leading zero: a cell is half an inch wide
    text = f"{round(value, 2) + 0.0:+.2f}".replace("0.", ".", 1).replace("-", "−")
    colour = "white" if abs(value) > _DARK * largest else "black"
    axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour,
              fontweight="bold" if significant else "normal")  # fmt: skip
    if significant:
        box = Rectangle((column - 0.46, row - 0.46), 0.92, 0.92, fill=False, edgecolor=colour, linewidth=1.2)
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
