"""What a calibration changed: mismatch degrees, and the pressure towards length and format."""

from pathlib import Path

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .model_names import short_names


_GROUPS = {"calibrated": COLOURS[1], "partly": COLOURS[4], "held_out": COLOURS[0]}
_LABELS = {"calibrated": "calibrated pair", "partly": "one model calibrated", "held_out": "held out"}
_MOST_PAIRS = 30


def plot_mismatch_change(table: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Mismatch degree of pairs of models before (hollow) and after (filled) a calibration, with intervals; 0 is agreement with
    the ratings. Of the two orders of a pair, the one that was over-valued before is shown, and of many pairs those with
    the largest mismatch before.

    Args:
        table (`pandas.DataFrame`):
            `pairs` of [`~trl_ext.arena.MismatchChange`].
        path (`str` or `pathlib.Path`):
            The PNG file.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file, and CSV file with all pairs.
    """
    ends = [f"mismatch_{when}{end}" for when in ("before", "after") for end in ("", "_low", "_high")]
    check_columns(table, ("model", "reference", "group", *ends))
    shown = table.sort_values("mismatch_before", ascending=False, kind="stable")
    shown = shown[~shown[["model", "reference"]].apply(frozenset, axis=1).duplicated()]
    total, shown = len(shown), shown.iloc[:_MOST_PAIRS].iloc[::-1]
    labels = short_names(table["model"], 26)
    figure = new_figure(8.0, 0.32 * len(shown) + 1.6)
    axes = figure.subplots()
    axes.axvline(0, color="grey", linewidth=1, label="as the ratings say")
    y = np.arange(len(shown))
    axes.hlines(y, shown["mismatch_before"], shown["mismatch_after"], color="#BBBBBB", linewidth=1.2, zorder=1)
    for group, colour in _GROUPS.items():
        rows = (shown["group"] == group).to_numpy()
        if not rows.any():
            continue
        own = shown[rows]
        for when, shift, face in (("before", 0.12, "white"), ("after", -0.12, colour)):
            value = own[f"mismatch_{when}"]
            errors = [(value - own[f"mismatch_{when}_low"]).clip(0), (own[f"mismatch_{when}_high"] - value).clip(0)]
            axes.errorbar(
                value, y[rows] + shift, xerr=errors, fmt="o", markersize=5, color=colour, markerfacecolor=face,
                elinewidth=0.9, capsize=2, zorder=2, label=f"{_LABELS[group]}, {when}",
            )  # fmt: skip
    axes.set_yticks(
        y,
        [f"{labels[a]} over {labels[b]}" for a, b in zip(shown["model"], shown["reference"], strict=True)],
        fontsize=8,
    )
    axes.set_xlabel("mismatch degree" + (f" ({len(shown)} of {total} pairs)" if total > len(shown) else ""))
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.grid(axis="x", alpha=0.3)
    if title:
        axes.set_title(title)
    add_legend(figure, max_columns=4)
    return save_figure(figure, table, path)


def plot_reward_drift(table: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    How much rewards go along with length and format before and after a calibration: standardised slopes within prompts
    with intervals, all features in one regression on the left, each alone on the right.

    Args:
        table (`pandas.DataFrame`):
            `features` of [`~trl_ext.arena.RewardDrift`].
        path (`str` or `pathlib.Path`):
            The PNG file.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    ends = [f"{when}{end}" for when in ("before", "after") for end in ("", "_low", "_high")]
    check_columns(table, ("feature", "measure", *ends))
    features = list(dict.fromkeys(table["feature"]))
    figure = new_figure(8.0, 0.45 * len(features) + 1.6)
    panels = figure.subplots(1, 2, sharey=True)
    y = np.arange(len(features))[::-1]
    for axes, measure, name in zip(
        panels, ("joint_slope", "slope"), ("others held fixed", "each feature alone"), strict=True
    ):
        own = table[table["measure"] == measure].set_index("feature").loc[features]
        axes.axvline(0, color="grey", linewidth=1)
        for when, shift, face in (("before", 0.14, "white"), ("after", -0.14, COLOURS[0])):
            errors = [(own[when] - own[f"{when}_low"]).clip(0), (own[f"{when}_high"] - own[when]).clip(0)]
            axes.errorbar(
                own[when], y + shift, xerr=np.nan_to_num(errors), fmt="o", markersize=5, color=COLOURS[0],
                markerfacecolor=face, elinewidth=0.9, capsize=2, label=when,
            )  # fmt: skip
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("sd of reward per sd of feature", fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(y, [name.replace("_", " ") for name in features])
    panels[0].set_ylim(-0.6, len(features) - 0.4)
    if title:
        figure.suptitle(title)
    add_legend(figure)
    return save_figure(figure, table, path)
