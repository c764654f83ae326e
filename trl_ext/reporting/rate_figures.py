"""Effects of attributes on rewards as forest plots: attribute by attribute, and reward model against reward model."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..rate.report.text import digits_of, interval, number
from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .model_names import label_width, short_names
from .rate_style import GREY, choose_scale, concept_labels, draw_interval, estimates, limits, model_styles


_ROW = 0.26  # inches of a reward model
_HEADER = 0.5  # inches of the title of a panel and what is between panels
_MOST_ROWS = 48  # of a column of panels


def plot_effects(
    table: pd.DataFrame, path: str | Path, *, estimator: str = "rate", estimand: str = "ATE",
    normalised: bool = True, models: Sequence[str] | None = None, title: str | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """
    What reward models pay for attributes: a panel per attribute and data set, a row per reward model.

    A filled marker is the effect with its interval, a hollow one the naive difference of means. An effect within the grey
    band around 0 was too small to be found reliably: the band is ± the minimum detectable effect of that row by one test,
    before the correction for many.

    Args:
        table (`pandas.DataFrame`):
            `effects` of [`~trl_ext.rate.RateReport`]: columns `dataset, attribute, reward_model, estimator, estimand, n,
            mde`, and those of `normalised`.
        path (`str` or `pathlib.Path`):
            The PNG file.
        estimator (`str`, *optional*, defaults to `"rate"`):
            Which effects.
        estimand (`str`, *optional*, defaults to `"ATE"`):
            Of whom: `"ATE"`, `"ATT"` or `"ATU"`.
        normalised (`bool`, *optional*, defaults to `True`):
            In standard deviations of the rewards of originals (columns `normalised`, `normalised_ci_low`,
            `normalised_ci_high`, `mde_normalised`); else in units of reward (`value`, `ci_low`, `ci_high`, `mde`). Reward
            models have no common unit of reward.
        models (`Sequence[str]`, *optional*):
            All reward models of a report in their order: a model has the same colour in all of its figures.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file, and CSV file with the rows that are drawn.

    Raises:
        ValueError: A column is missing, a value is no number, or there is no such effect.
    """
    check_columns(table, ("dataset", "attribute", "reward_model", "estimator", "estimand", "n"))
    rows = table[
        ((table["estimator"] == estimator) & (table["estimand"] == estimand)) | (table["estimator"] == "naive")
    ]
    main = rows[rows["estimator"] == estimator]
    if main.empty:
        known = sorted({f"{a} {b}" for a, b in zip(table["estimator"], table["estimand"], strict=True)})
        raise ValueError(f"table has no effects {estimator!r} {estimand!r}: it has {', '.join(known)}")
    keys = ["dataset", "attribute", "reward_model"]
    repeated = main.duplicated(keys)
    if repeated.any():
        raise ValueError(f"table has several effects of {main.loc[repeated, keys].iloc[0].to_dict()}")
    shown, unit = choose_scale(rows, normalised)
    shown = shown.assign(panel=concept_labels(shown))
    if "mde" in shown:
        shown["mde"] = pd.to_numeric(shown["mde"]).astype(float)
    if normalised and "value" in rows:  # what is known of effects that can't be normalised
        raw = pd.to_numeric(rows["value"]).astype(float)
        shown["note"] = [
            f"{number(value, sign=True)} of reward, no sd" if np.isfinite(value) else None for value in raw
        ]
    styles = model_styles(shown["reward_model"], models)
    labels = short_names(styles, 34)
    panels = [
        (name, own.set_index("reward_model").loc[[model for model in styles if (own["reward_model"] == model).any()]])
        for name, own in shown[shown["estimator"] == estimator].groupby("panel", sort=False)
    ]
    naive = shown[shown["estimator"] == "naive"].set_index(["panel", "reward_model"])["value"]
    if estimator == "naive":
        naive = naive.iloc[:0]
    every = (
        shown.loc[shown["estimator"] == estimator, ["value", "ci_low", "ci_high"]].to_numpy().ravel().tolist()
        + naive.tolist()
    )
    if "mde" in shown:
        bands = shown.loc[shown["estimator"] == estimator, "mde"]
        every += [*bands, *-bands]
    ends = limits(every)
    columns = _columns([len(own) for _, own in panels])
    width, beside = label_width(labels.values()), 3.0
    heights = [sum(len(panels[i][1]) * _ROW + _HEADER for i in column) for column in columns]
    figure = new_figure(len(columns) * (width + beside + 3.6), max(heights) + 1.3)
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for column, part, height in zip(columns, parts, heights, strict=True):
        ratios = [len(panels[i][1]) + 0.8 for i in column]
        ratios += [spare] if (spare := (max(heights) - height) / _ROW) > 4 else []
        axes = part.subplots(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for panel in axes[len(column) :]:
            panel.set_axis_off()
        for position, index in enumerate(column):
            name, own = panels[index]
            _panel(axes[position], name, own, naive, styles, labels, ends)
            axes[position].tick_params(axis="x", labelbottom=position == len(column) - 1)
        axes[len(column) - 1].set_xlabel(f"{estimand} of the attribute ({unit})")
    if title:
        figure.suptitle(title)
    _effects_legend(figure, estimator, bool(len(naive)), "mde" in shown)
    return save_figure(figure, shown.drop(columns=["panel", "note"], errors="ignore"), path)


def _columns(sizes: Sequence[int]) -> list[list[int]]:
    """Panels of every column: as many columns as hold them, all about as long."""
    count = max(1, min(len(sizes), -(-sum(sizes) // _MOST_ROWS)))
    columns: list[list[int]] = [[]]
    filled, total = 0, sum(sizes)
    for index, size in enumerate(sizes):
        if columns[-1] and len(columns) < count and filled + size / 2 > total * len(columns) / count:
            columns.append([])
        columns[-1].append(index)
        filled += size
    return columns


def _panel(axes, name, own, naive, styles, labels, ends) -> None:
    notes = []
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    for row, (model, entry) in enumerate(own.iterrows()):
        colour, marker = styles[model]
        mde = float(entry["mde"]) if "mde" in own else np.nan
        if np.isfinite(mde):
            axes.fill_betweenx([row - 0.5, row + 0.5], -mde, mde, color="#DDDDDD", linewidth=0, zorder=0)
        value = naive.get((name, model), np.nan)
        if np.isfinite(value):
            axes.plot(value, row, marker, color=colour, markerfacecolor="white", markersize=4.5, zorder=2.5)
        draw_interval(axes, entry["ci_low"], entry["ci_high"], row, ends, colour=colour)
        if np.isfinite(entry["value"]):
            axes.plot(entry["value"], row, marker, color=colour, markersize=4.5, zorder=3)
            notes.append(_note(entry, mde))
        else:
            notes.append(entry.get("note") or "no estimate")
    axes.set_yticks(range(len(own)), [labels[model] for model in own.index])
    axes.set_ylim(len(own) - 0.5, -0.5)
    axes.set_xlim(*ends)
    axes.locator_params(axis="x", nbins=6)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(own)), notes, fontsize=8, color="#444444")
    beside.tick_params(length=0)
    axes.set_title(name, fontsize=10, loc="left", fontweight="bold")
    axes.grid(axis="x", alpha=0.3)


def _note(entry: pd.Series, mde: float) -> str:
    """What stands beside a row: effect, interval, n, MDE."""
    digits = digits_of(entry["ci_low"], entry["ci_high"])
    ends = interval(entry["ci_low"], entry["ci_high"], digits=digits)
    figure = f"{number(entry['value'], sign=True, digits=digits)}{' ' + ends if ends else ''}"
    return f"{figure}   n {int(entry['n']):,}" + (f"   MDE {number(mde, digits=digits)}" if np.isfinite(mde) else "")


def _effects_legend(figure, estimator: str, naive: bool, mde: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    name = {"rate": "RATE"}.get(estimator, estimator.replace("_", " "))
    handles = [Line2D([], [], color="#444444", marker="o", label=f"{name} with interval")]
    if naive:
        handles.append(
            Line2D(
                [], [], color="#444444", marker="o", markerfacecolor="white", linestyle="", label="naive difference"
            )
        )
    if mde:
        handles.append(Patch(color="#DDDDDD", label="± minimum detectable effect of one test (MDE)"))
    add_legend(figure, handles)


def plot_contrasts(
    table: pd.DataFrame, path: str | Path, *, estimand: str = "ATE", normalised: bool = True,
    models: Sequence[str] | None = None, title: str | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """
    Reward models against a baseline on the same texts: how much more each of them pays for an attribute.

    Filled markers are significant after the correction for many tests.

    Args:
        table (`pandas.DataFrame`):
            `contrasts` of [`~trl_ext.rate.RateReport`]: columns `dataset, attribute, reward_model, baseline, estimand, unit,
            value, ci_low, ci_high, n, significant`.
        path (`str` or `pathlib.Path`):
            The PNG file.
        estimand (`str`, *optional*, defaults to `"ATE"`):
            Of whom: `"ATE"`, `"ATT"` or `"ATU"`.
        normalised (`bool`, *optional*, defaults to `True`):
            In standard deviations of the rewards of originals (`unit` is `sd`); else in units of reward (`reward`).
        models (`Sequence[str]`, *optional*):
            All reward models of a report in their order, for their colours.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file, and CSV file with the rows that are drawn.

    Raises:
        ValueError: A column is missing, a value is no number, or there is no such contrast.
    """
    columns = ("dataset", "attribute", "reward_model", "baseline", "estimand", "unit", "n", "significant")
    check_columns(table, columns)
    rows = table[(table["estimand"] == estimand) & (table["unit"] == ("sd" if normalised else "reward"))]
    check_columns(rows, ())
    shown, unit = estimates(rows), "sd of reward" if normalised else "reward"
    styles = model_styles([*shown["baseline"], *shown["reward_model"]], models)
    labels = short_names(styles, 30)
    baselines = list(dict.fromkeys(shown["baseline"]))
    names = [
        labels[model] if len(baselines) == 1 else f"{labels[model]} − {labels[baseline]}"
        for model, baseline in zip(shown["reward_model"], shown["baseline"], strict=True)
    ]
    groups = list(shown.assign(panel=concept_labels(shown), name=names).groupby("panel", sort=False))
    columns = _columns([len(own) for _, own in groups])
    heights = [sum(len(groups[i][1]) * _ROW + _HEADER for i in column) for column in columns]
    figure = new_figure(len(columns) * (label_width(names) + 6.0), max(heights) + 1.3)
    ends = limits(shown[["value", "ci_low", "ci_high"]].to_numpy().ravel())
    for column, part in zip(columns, figure.subfigures(1, len(columns), squeeze=False)[0], strict=True):
        ratios = [len(groups[i][1]) + 0.8 for i in column]
        axes = part.subplots(len(column), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for panel, index in zip(axes, column, strict=True):
            name, own = groups[index]
            _contrast_panel(panel, name, own, styles, ends)
            panel.tick_params(axis="x", labelbottom=index == column[-1])
        whose = f"effect minus that of {labels[baselines[0]]}" if len(baselines) == 1 else "difference of effects"
        axes[-1].set_xlabel(f"{whose} ({unit})")
    if title:
        figure.suptitle(title)
    from matplotlib.lines import Line2D

    marks = {"significant after correction": COLOURS[6], "not significant": "white"}
    add_legend(
        figure, [Line2D([], [], color=COLOURS[6], marker="o", markerfacecolor=c, label=m) for m, c in marks.items()]
    )
    return save_figure(figure, rows, path)


def _contrast_panel(axes, name, own, styles, ends) -> None:
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    for row, entry in enumerate(own.itertuples()):
        colour, marker = styles[entry.reward_model]
        draw_interval(axes, entry.ci_low, entry.ci_high, row, ends, colour=colour)
        face = colour if pd.notna(entry.significant) and bool(entry.significant) else "white"
        if np.isfinite(entry.value):
            axes.plot(entry.value, row, marker, color=colour, markerfacecolor=face, zorder=3)
        else:
            axes.text(0, row, "no estimate", ha="center", va="center", fontsize=8, color=GREY)
    axes.set_yticks(range(len(own)), own["name"])
    axes.set_ylim(len(own) - 0.5, -0.5)
    axes.set_xlim(*ends)
    axes.locator_params(axis="x", nbins=6)
    beside = axes.secondary_yaxis("right")
    beside.set_yticks(range(len(own)), [_note(row, np.nan) for _, row in own.iterrows()], fontsize=8, color="#444444")
    beside.tick_params(length=0)
    axes.set_title(name, fontsize=10, loc="left", fontweight="bold")
    axes.grid(axis="x", alpha=0.3)
