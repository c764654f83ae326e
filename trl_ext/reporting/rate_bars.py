"""Effects as bars, in the layouts of the paper: how much a second rewrite changes, and how far the naive difference is off."""

from pathlib import Path

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .model_names import short_names
from .rate_style import (
    ESTIMATORS,
    choose_scale,
    concept_labels,
    errors,
    fit_titles,
    label_below,
    limits,
    panels_across,
)


_ESTIMANDS = ("ATE", "ATT", "ATU")
_COLOURS = dict(zip(_ESTIMANDS, (COLOURS[0], COLOURS[2], COLOURS[3]), strict=True))


def plot_rewrite_bias(
    table: pd.DataFrame, path: str | Path, *, normalised: bool = True, title: str | None = None
) -> tuple[Path, Path]:
    """
    What a single rewrite gets wrong: six bars for each reward model, ATE, ATT and ATU by two rewrites (RATE, filled) and by
    one (hatched), a panel per attribute and data set.

    Where the bars of a pair differ, the rewriter changes more than the attribute: a rewrite of a rewrite has that in both
    of its texts.

    Args:
        table (`pandas.DataFrame`):
            `effects` of [`~trl_ext.rate.RateReport`].
        path (`str` or `pathlib.Path`):
            The PNG file.
        normalised (`bool`, *optional*, defaults to `True`):
            In standard deviations of the rewards of originals; else in units of reward.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file, and CSV file with the rows that are drawn.
    """
    check_columns(table, ("dataset", "attribute", "reward_model", "estimator", "estimand"))
    rows = table[table["estimator"].isin(("rate", "single_rewrite")) & table["estimand"].isin(_ESTIMANDS)]
    check_columns(rows, ())
    shown, unit = choose_scale(rows, normalised)
    panels = list(shown.assign(panel=concept_labels(shown)).groupby("panel", sort=False))
    models = list(dict.fromkeys(shown["reward_model"]))
    labels = short_names(models, 26)
    across = panels_across(len(panels), 1 if len(models) > 4 else 2)
    down = -(-len(panels) // across)
    gap = bool(len(panels) % across)  # then labels below the last panels alone would tear the rows apart
    width = 1.15 if len(models) <= 8 else 0.7  # inches of a model
    figure = new_figure(max(across * (width * len(models) + 1.6), 5.5), (3.4 if gap else 2.7) * down + 1.0)
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    titles = [figure.suptitle(title)] if title else []
    handles = {}
    for index, (name, own) in enumerate(panels):
        axes = grid.flat[index]
        low, high = limits(own[["value", "ci_low", "ci_high"]].to_numpy().ravel())
        axes.axhline(0, color="black", linewidth=0.8)
        for place, (estimand, estimator) in enumerate((e, m) for e in _ESTIMANDS for m in ("rate", "single_rewrite")):
            bars = own[(own["estimand"] == estimand) & (own["estimator"] == estimator)].set_index("reward_model")
            bars = bars.reindex(models)
            x = np.arange(len(models)) + 0.14 * (place - 2.5) + 0.02 * (place // 2 - 1)
            label = f"{estimand}, {'two rewrites (RATE)' if estimator == 'rate' else 'one rewrite'}"
            handles[label] = _draw(
                *(axes, x, bars, high - low), colour=_COLOURS[estimand], hollow=estimator != "rate", width=0.13
            )
        if not np.isfinite(own["value"]).any():
            axes.text(0.5, 0.9, f"no effects in {unit}", ha="center", va="top", transform=axes.transAxes, fontsize=8)
        turned = (
            {"rotation": 25, "ha": "right", "rotation_mode": "anchor"} if max(map(len, labels.values())) > 14 else {}
        )
        axes.set_xticks(range(len(models)), [labels[model] for model in models], fontsize=8, **turned)
        axes.set_xlim(-0.6, len(models) - 0.4)
        axes.set_ylim(low, high)
        titles.append(axes.set_title(name, fontsize=10, loc="left", fontweight="bold"))
        axes.grid(axis="y", alpha=0.3)
        axes.tick_params(axis="x", labelbottom=gap or index + across >= len(panels))
        if index % across == 0:
            axes.set_ylabel(f"effect ({unit})")
    add_legend(figure, list(handles.values()), list(handles), max_columns=3)
    fit_titles(figure, titles)
    return save_figure(figure, shown, path)


def plot_naive_vs_rate(
    table: pd.DataFrame, path: str | Path, *, estimand: str = "ATE", normalised: bool = True, title: str | None = None
) -> tuple[Path, Path]:
    """
    The naive difference of means beside the effect: two bars for each attribute, a panel per reward model.

    Data sets are beside one another, not mixed: each has an effect of its own.

    Args:
        table (`pandas.DataFrame`):
            `effects` of [`~trl_ext.rate.RateReport`].
        path (`str` or `pathlib.Path`):
            The PNG file.
        estimand (`str`, *optional*, defaults to `"ATE"`):
            Of RATE.
        normalised (`bool`, *optional*, defaults to `True`):
            In standard deviations of the rewards of originals; else in units of reward.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file, and CSV file with the rows that are drawn.
    """
    check_columns(table, ("dataset", "attribute", "reward_model", "estimator", "estimand"))
    rows = table[(table["estimator"] == "naive") | ((table["estimator"] == "rate") & (table["estimand"] == estimand))]
    check_columns(rows, ())
    shown, unit = choose_scale(rows, normalised)
    shown = shown.assign(concept=concept_labels(shown, "\n"))
    concepts = list(dict.fromkeys(shown["concept"]))
    width = 0.65 * len(concepts) + 0.8  # inches of a panel
    width = max(width, 2.5)
    labels = short_names(shown["reward_model"], min(40, int(width / 0.085)))  # of titles, that panels must hold
    across = panels_across(len(labels), min(int(13 / width), 4))
    down = -(-len(labels) // across)
    figure = new_figure(max(across * width + 0.6, 5.0), 2.5 * down + 1.2)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=normalised)
    for axes in grid.flat[len(labels) :]:
        axes.set_axis_off()
    ends = limits(shown[["value", "ci_low", "ci_high"]].to_numpy().ravel())
    titles = [figure.suptitle(title)] if title else []
    handles = {}
    for index, (model, label) in enumerate(labels.items()):
        axes, own = grid.flat[index], shown[shown["reward_model"] == model]
        low, high = ends if normalised else limits(own[["value", "ci_low", "ci_high"]].to_numpy().ravel())
        axes.axhline(0, color="black", linewidth=0.8)
        for place, estimator in enumerate(("naive", "rate")):
            bars = own[own["estimator"] == estimator].set_index("concept").reindex(concepts)
            name, colour, _ = ESTIMATORS[estimator]
            name = f"{name} difference" if estimator == "naive" else f"{name} ({estimand})"
            x = np.arange(len(concepts)) + 0.36 * (place - 0.5)
            handles[name] = _draw(axes, x, bars, high - low, colour=colour, hollow=False, width=0.33)
        longest = max(len(line) for concept in concepts for line in concept.split("\n"))
        turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if longest > 10 else {}
        axes.set_xticks(range(len(concepts)), concepts, fontsize=8, **turned)
        axes.set_xlim(-0.6, len(concepts) - 0.4)
        axes.set_ylim(low, high)
        label_below(axes, index, across, len(labels))
        titles.append(axes.set_title(label, fontsize=9))
        axes.grid(axis="y", alpha=0.3)
        if index % across == 0:
            axes.set_ylabel(f"effect ({unit})")
    add_legend(figure, list(handles.values()), list(handles))
    fit_titles(figure, titles)
    return save_figure(figure, shown.assign(concept=shown["concept"].str.replace("\n", " · ")), path)


def _draw(axes, x: np.ndarray, bars: pd.DataFrame, span: float, *, colour: str, hollow: bool, width: float):
    """Bars with error bars, and a mark where there is no estimate. Returns their entry of a legend, if there are none too."""
    from matplotlib.patches import Patch

    known = np.isfinite(bars["value"].to_numpy(dtype=float))
    look = {"facecolor": "white", "hatch": "////", "edgecolor": colour} if hollow else {"facecolor": colour}
    axes.bar(x[known], bars["value"][known], width=width, linewidth=0.8, **look)
    axes.errorbar(x[known], bars["value"][known], yerr=errors(bars[known], 2 * span), fmt="none", ecolor="#222222",
                  elinewidth=0.9, capsize=1.5)  # fmt: skip
    for place in x[~known]:
        axes.text(place, 0, "–", color="#777777", ha="center", va="bottom")
    return Patch(linewidth=0.8, **look)
