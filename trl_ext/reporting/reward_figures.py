"""What rewards of models look like: distributions, accuracy by length, best of k."""

from pathlib import Path

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure
from .leaderboard_figures import check_columns
from .model_names import short_names


_COLUMNS = 3  # panels in a row
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def plot_reward_distributions(
    table: pd.DataFrame, path: str | Path, *, bins: int = 40, title: str | None = None
) -> tuple[Path, Path]:
    """
    Histograms of the rewards of right and of wrong responses, a panel per model, each on its own scale: rewards of
    different models have no common unit.

    Args:
        table (`pandas.DataFrame`):
            Columns `model`, `response` (`chosen` or `rejected`), `reward`.
        path (`str` or `pathlib.Path`):
            The PNG file. The CSV file has the counts, not the rewards.
        bins (`int`, *optional*, defaults to `40`):
            Bars of a panel.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("model", "response", "reward"))
    labels = short_names(table["model"], 34)
    columns = min(len(labels), _COLUMNS)
    rows = -(-len(labels) // columns)
    figure = new_figure(max(3.6 * columns, 5.0), 2.6 * rows + 0.7)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat[len(labels) :]:
        panel.set_axis_off()
    counted = []
    for index, (name, label) in enumerate(labels.items()):
        own, panel = table[table["model"] == name], panels.flat[index]
        edges = np.histogram_bin_edges(own["reward"].to_numpy(dtype=float), bins)
        for response, colour in (("chosen", COLOURS[0]), ("rejected", COLOURS[1])):
            rewards = own.loc[own["response"] == response, "reward"].to_numpy(dtype=float)
            counts, _ = np.histogram(rewards, edges)
            share = counts / max(counts.sum(), 1)
            panel.stairs(share, edges, fill=True, alpha=0.35, color=colour)
            panel.stairs(share, edges, color=colour, linewidth=1.2, label=f"{response}")
            counted.append(
                pd.DataFrame(
                    {"model": name, "response": response, "low": edges[:-1], "high": edges[1:], "count": counts}
                )
            )
        panel.set_title(label, fontsize=9)
        panel.tick_params(labelsize=8)
        if index + columns >= len(labels):
            panel.set_xlabel("reward")
        if index % columns == 0:
            panel.set_ylabel("share of responses")
    if title:
        figure.suptitle(title)
    add_legend(figure)
    return save_figure(figure, pd.concat(counted, ignore_index=True), path)


def plot_accuracy_by_length(table: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Accuracy by how much longer the right response is than the wrong one, with intervals, a line per model. A model that
    likes length rises from left to right.

    Args:
        table (`pandas.DataFrame`):
            Columns `model`, `band` (label), `value`, `ci_low`, `ci_high`, `n`; bands in their order of appearance, from
            shorter to longer.
        path (`str` or `pathlib.Path`):
            The PNG file.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("model", "band", "value", "ci_low", "ci_high", "n"))
    labels = short_names(table["model"])
    bands = list(dict.fromkeys(table["band"]))
    figure = new_figure(max(6.5, 1.2 * len(bands) + 1), 4.5)
    axes = figure.subplots()
    axes.axhline(0.5, color="grey", linestyle="--", linewidth=1, label="guessing")
    for index, (name, label) in enumerate(labels.items()):
        own = table[(table["model"] == name) & table["value"].notna()]
        shift = 0.5 * ((index + 0.5) / len(labels) - 0.5)
        _draw(axes, [bands.index(band) + shift for band in own["band"]], own, index, label)
    rows = table.groupby("band", sort=False)["n"].max()
    ticks = [f"{band}\n({rows[band]:,} rows)" for band in bands]
    turned = {"rotation": 30, "ha": "right"} if max(len(str(band)) for band in bands) > 14 else {}
    axes.set_xticks(range(len(bands)), ticks, fontsize=8, **turned)
    axes.set(xlabel="length of the right response compared with the wrong one", ylabel="accuracy", title=title)
    axes.grid(axis="y", alpha=0.3)
    add_legend(figure, max_columns=2)
    return save_figure(figure, table, path)


def plot_best_of_k(
    table: pd.DataFrame, path: str | Path, *, quality: str = "expected quality of the selected response",
    title: str | None = None,
) -> tuple[Path, Path]:  # fmt: skip
    """
    Expected quality of the best of k responses by reward, against k, with a band of confidence, a line per model.

    Args:
        table (`pandas.DataFrame`):
            Columns `model`, `k`, `value`, `ci_low`, `ci_high`.
        path (`str` or `pathlib.Path`):
            The PNG file.
        quality (`str`, *optional*, defaults to `"expected quality of the selected response"`):
            Label of the axis.
        title (`str`, *optional*):
            Title of the plot.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: PNG file and CSV file.
    """
    check_columns(table, ("model", "k", "value", "ci_low", "ci_high"))
    labels = short_names(table["model"])
    figure = new_figure(6.5, 4.5)
    axes = figure.subplots()
    for index, (name, label) in enumerate(labels.items()):
        own = table[table["model"] == name].sort_values("k")
        colour = COLOURS[index % len(COLOURS)]
        axes.fill_between(own["k"], own["ci_low"].astype(float), own["ci_high"].astype(float), color=colour,
                          alpha=0.15, linewidth=0)  # fmt: skip
        axes.plot(own["k"], own["value"], color=colour, marker=_MARKERS[index % len(_MARKERS)], markersize=4,
                  linestyle=_line(index), label=label)  # fmt: skip
    ks = sorted(set(table["k"]))
    if ks[-1] >= 8 * ks[0]:
        axes.set_xscale("log", base=2)
        ticks = [2**power for power in range(int(np.log2(ks[0])), int(np.log2(ks[-1])) + 1)]
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set(xlabel="k responses to choose from", ylabel=quality, title=title)
    axes.grid(alpha=0.3)
    add_legend(figure, max_columns=2)
    return save_figure(figure, table, path)


def _draw(axes, x: list[float], rows: pd.DataFrame, index: int, label: str) -> None:
    errors = np.array([rows["value"] - rows["ci_low"], rows["ci_high"] - rows["value"]], dtype=float)
    axes.errorbar(
        x, rows["value"], yerr=np.nan_to_num(errors, nan=0.0).clip(0), color=COLOURS[index % len(COLOURS)],
        marker=_MARKERS[index % len(_MARKERS)], markersize=4, linestyle=_line(index), linewidth=1, capsize=2, label=label,
    )  # fmt: skip


def _line(index: int) -> str:
    """Another line once the colours are used up."""
    return ("-", "--", ":")[index // len(COLOURS) % 3]
