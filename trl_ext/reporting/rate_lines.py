"""Effects along something: the strength of a planted correlation, the number of texts, the steps of a training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .model_names import short_names
from .rate_style import (
    ESTIMATORS,
    concept_labels,
    errors,
    estimates,
    fit_titles,
    label_below,
    model_styles,
    panels_across,
)


# names of effects -> estimators of a report
_EFFECTS = {"naive_effect": "naive", "ATE_single_rewrite": "single_rewrite", "ATE_rewritten_rewrite": "rate"}
_LINES = ("-", "--", ":", "-.")


def plot_sweep(
    table: pd.DataFrame, path: str | Path, *, axis: str = "level", slopes: pd.DataFrame | None = None,
    truth: float | None = None, unit: str = "sd of reward", title: str | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """
    Effects in data sets with ever more of a planted correlation: a line with a band for each estimator, its slope with a
    confidence interval in the legend, a panel per reward model. A line that rises or falls is fooled by the correlation.

    Args:
        table (`pandas.DataFrame`):
            Columns `level, estimator, value, ci_low, ci_high`, and `reward_model` if there are several: `table` of
            [`~trl_ext.rate.Sweep`].
        path (`str` or `pathlib.Path`):
            The PNG file. The CSV file has the table with the slope of each line (`slope`, `slope_ci_low`,
            `slope_ci_high`).
        axis (`str`, *optional*, defaults to `"level"`):
            What the level is, for the axis.
        slopes (`pandas.DataFrame`, *optional*):
            Columns `estimator, slope, ci_low, ci_high`, and `reward_model` if the table has it; missing where there is no
            slope.
        truth (`float`, *optional*):
            The true effect, drawn as a line.
        unit (`str`, *optional*, defaults to `"sd of reward"`):
            Of the effects.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("level", "estimator"))
    shown = estimates(table)
    shown = shown if "reward_model" in shown else shown.assign(reward_model="")
    if slopes is not None:
        check_columns(slopes, ("estimator", "slope", "ci_low", "ci_high"))
        slopes = slopes if "reward_model" in slopes else slopes.assign(reward_model="")
    labels = short_names(shown["reward_model"], 40)
    across = panels_across(len(labels), 3)
    down = -(-len(labels) // across)
    figure = new_figure(max(4.0 * across, 5.5) + 0.6, 3.9 * down + 0.4)
    grid = figure.subplots(down, across, squeeze=False, sharex=True)
    for axes in grid.flat[len(labels) :]:
        axes.set_axis_off()
    found = []
    titles = [figure.suptitle(title)] if title else []
    for index, (model, label) in enumerate(labels.items()):
        axes = grid.flat[index]
        if truth is not None:
            axes.axhline(truth, color="black", linewidth=0.9, linestyle="--", label=f"truth {truth:g}")
        for estimator, own in shown[shown["reward_model"] == model].groupby("estimator", sort=False):
            own = own.sort_values("level", kind="stable")
            slope = (np.nan,) * 3 if slopes is None else _slope(slopes, estimator, model)
            found.append(own.assign(slope=slope[0], slope_ci_low=slope[1], slope_ci_high=slope[2]))
            name, colour, marker = ESTIMATORS.get(
                _EFFECTS.get(estimator, estimator), (str(estimator), COLOURS[6], ".")
            )
            axes.fill_between(own["level"], own["ci_low"], own["ci_high"], color=colour, alpha=0.2, linewidth=0)
            axes.plot(own["level"], own["value"], color=colour, marker=marker, markersize=4, label=name + _say(slope))
        axes.grid(alpha=0.3)
        titles.append(axes.set_title(label, fontsize=9))
        label_below(axes, index, across, len(labels), axis)
        axes.set_ylabel(f"effect ({unit})" if index % across == 0 else "")
        # slopes differ by panel, so each has its legend, below the lines
        axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.17), frameon=False)
    fit_titles(figure, titles)
    numbers = pd.concat(found, ignore_index=True).assign(unit=unit)
    if list(labels) == [""]:
        numbers = numbers.drop(columns="reward_model")
    return save_figure(figure, numbers, path)


def _slope(slopes: pd.DataFrame, estimator: str, model: str) -> tuple[float, float, float]:
    given = slopes[(slopes["estimator"] == estimator) & (slopes["reward_model"] == model)]
    if len(given) != 1:
        raise ValueError(
            f"slopes must have one row for {estimator!r}"
            + (f" of {model!r}" if model else "")
            + f", it has {len(given)}"
        )
    return tuple(float(value) for value in given[["slope", "ci_low", "ci_high"]].iloc[0])


def _say(slope: tuple[float, float, float]) -> str:
    if not np.isfinite(slope[0]):
        return ""
    interval = f" [{slope[1]:+.3g}, {slope[2]:+.3g}]" if np.isfinite(slope[1]) else ""
    return f", slope {slope[0]:+.3g}{interval}"


def plot_power(
    table: pd.DataFrame, path: str | Path, *, normalised: bool = True, models: Sequence[str] | None = None,
    title: str | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """
    The minimum detectable effect (MDE) of one test against the number of texts, a line per reward model, a panel per attribute and data
    set. The marker is what there is; the line follows the square root of n, with as many rows in a cluster as there are.

    Args:
        table (`pandas.DataFrame`):
            `effects` of [`~trl_ext.rate.RateReport`]; the rows of RATE's ATE are drawn.
        path (`str` or `pathlib.Path`):
            The PNG file.
        normalised (`bool`, *optional*, defaults to `True`):
            In standard deviations of the rewards of originals; else in units of reward.
        models (`Sequence[str]`, *optional*):
            All reward models of a report in their order, for their colours.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file, and CSV file with the curves (`n`, `mde`, `observed`: whether these
        are the texts there are, `unit`).

    Raises:
        ValueError: No row has an MDE.
    """
    mde = "mde_normalised" if normalised else "mde"
    check_columns(table, ("dataset", "attribute", "reward_model", "estimator", "estimand", "n", mde))
    rows = table[(table["estimator"] == "rate") & (table["estimand"] == "ATE")]
    rows = rows.assign(mde=pd.to_numeric(rows[mde]).astype(float))
    rows = rows[rows["mde"] > 0]
    if rows.empty:
        raise ValueError(f"no row of RATE's ATE has a number above 0 in column {mde!r}: there is nothing to draw")
    styles = model_styles(rows["reward_model"], models)
    labels = short_names(styles, 40)
    panels = list(rows.assign(panel=concept_labels(rows)).groupby("panel", sort=False))
    across = panels_across(len(panels), 3)
    down = -(-len(panels) // across)
    figure = new_figure(max(3.4 * across, 5.5) + 0.6, 2.7 * down + 1.0)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(panels) :]:
        axes.set_axis_off()
    sizes = np.geomspace(min(50, rows["n"].min()), max(1e5, 4 * rows["n"].max()), 60)
    curves = []
    unit = "sd of reward" if normalised else "reward"
    titles = [figure.suptitle(title)] if title else []
    for index, (name, own) in enumerate(panels):
        axes = grid.flat[index]
        for entry in own.itertuples():
            colour, marker = styles[entry.reward_model]
            n = np.sort(np.append(sizes, entry.n))
            curve = entry.mde * np.sqrt(entry.n / n)
            axes.plot(n, curve, color=colour, linewidth=1.2)
            axes.plot(entry.n, entry.mde, marker, color=colour, markersize=5, label=labels[entry.reward_model])
            head = {"dataset": entry.dataset, "attribute": entry.attribute, "reward_model": entry.reward_model}
            curves.append(pd.DataFrame({**head, "n": n, "mde": curve, "observed": n == entry.n, "unit": unit}))
        axes.set(xscale="log", yscale="log")
        titles.append(axes.set_title(name, fontsize=10, loc="left", fontweight="bold"))
        axes.grid(alpha=0.3, which="both", linewidth=0.5)
        label_below(axes, index, across, len(panels), "texts")
        axes.set_ylabel(f"MDE of one test ({unit})" if index % across == 0 else "", fontsize=9)
    add_legend(figure, max_columns=3)
    fit_titles(figure, titles)
    return save_figure(figure, pd.concat(curves, ignore_index=True), path)


def plot_audit(
    table: pd.DataFrame, path: str | Path, *, unit: str = "sd of reward", title: str | None = None
) -> tuple[Path, Path]:
    """
    What a reward model pays for attributes while it is trained: effects with intervals over the steps, a line each.

    Args:
        table (`pandas.DataFrame`):
            Columns `step, attribute, value, ci_low, ci_high`, and `run` if there are several trainings: a panel each.
        path (`str` or `pathlib.Path`):
            The PNG file.
        unit (`str`, *optional*, defaults to `"sd of reward"`):
            Of the effects.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("step", "attribute"))
    shown = estimates(table)
    shown = shown if "run" in shown else shown.assign(run="")
    attributes = list(dict.fromkeys(shown["attribute"]))
    styles = model_styles(attributes)
    runs = short_names(shown["run"], 40)
    across = panels_across(len(runs), 3)
    down = -(-len(runs) // across)
    figure = new_figure(max(4.0 * across, 6.0), 3.0 * down + 0.8)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(runs) :]:
        axes.set_axis_off()
    steps = np.unique(shown["step"])
    gap = np.diff(steps).min() if len(steps) > 1 else 1.0
    titles = [figure.suptitle(title)] if title else []
    for index, (run, label) in enumerate(runs.items()):
        axes = grid.flat[index]
        axes.axhline(0, color="black", linewidth=0.8)
        for place, attribute in enumerate(attributes):
            own = shown[(shown["run"] == run) & (shown["attribute"] == attribute)].sort_values("step", kind="stable")
            own = own[np.isfinite(own["value"])]
            if own.empty:
                continue
            colour, marker = styles[attribute]
            # side by side, as intervals of several attributes hide one another, but never halfway to the next step
            shift = (place - (len(attributes) - 1) / 2) / max(1, len(attributes) / 3)
            shift *= min(0.012 * np.ptp(steps), 0.3 * gap)
            height = np.ptp(shown["value"].dropna()) or 1.0
            axes.errorbar(own["step"] + shift, own["value"], yerr=errors(own, 10 * height), color=colour, marker=marker,
                          markersize=4, linewidth=1.2, elinewidth=0.9, capsize=2, label=str(attribute).replace("_", " "),
                          linestyle=_LINES[place // 6 % len(_LINES)])  # fmt: skip
        titles.append(axes.set_title(label, fontsize=9))
        axes.grid(alpha=0.3)
        axes.locator_params(axis="x", integer=True, nbins=8)
        label_below(axes, index, across, len(runs), "training step")
        axes.set_ylabel(f"effect ({unit})" if index % across == 0 else "")
    add_legend(figure)
    fit_titles(figure, titles)
    return save_figure(figure, table.assign(unit=unit), path)
