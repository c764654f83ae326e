"""Figures of contracts: gaps to the first best, their dependence on δ, pay, and the functions of a problem."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .figures import COLOURS, add_legend, new_figure, save_figure


if TYPE_CHECKING:
    from ..annotators.contracts import ContractProblem

_COLOURS = {"SB": COLOURS[0], "SB_tilde": COLOURS[1]}
_REGIMES = {"SB": "second best", "SB_tilde": "restricted to first-best effort"}
_MARKERS = {"self": "o", "expert": "s"}
_LINES = {"linear": "-", "binary": "--"}
_GAP_COLUMNS = {
    "gap": "relative gap (FB − value) / FB",
    "effort": "effort η",
    "agent_utility": "agent utility\nabove reservation",
}


def require_columns(rows: pd.DataFrame, columns: list[str]) -> None:
    """Raise if rows are empty or lack a column."""
    if missing := [name for name in columns if name not in rows]:
        raise ValueError(f"rows have no column '{missing[0]}'; columns are {', '.join(map(repr, rows))}")
    if rows.empty:
        raise ValueError("rows are empty: nothing to plot")


def _gap_axis(axes) -> None:
    axes.set_yscale("symlog", linthresh=1e-3, linscale=0.5)
    axes.set_ylim(-2e-4, 1.4)  # room for markers at 0 and 1
    axes.set_yticks([0, 1e-3, 1e-2, 1e-1, 1], ["0", "0.001", "0.01", "0.1", "1"])


def plot_contract_gaps(rows: pd.DataFrame, path: str | Path, title: str | None = None) -> tuple[Path, Path]:
    """
    Draws relative gap, effort and agent utility against the number of monitored samples, a column of panels per dataset.

    Colour tells the regime, marker the monitor, line style the kind of contract. Gaps are on a scale that is linear
    below 0.001 and logarithmic above.

    Args:
        rows (`pandas.DataFrame`):
            Columns `dataset`, `monitor` (`self`, `expert`), `contract` (`linear`, `binary`), `n`, `regime` (`FB`, `SB`,
            `SB_tilde`), `gap`, `effort`, `agent_utility`, `U_0`. One profile and one δ.
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, no rows, or rows of several profiles or δ.

    Example:
        ```python
        >>> import tempfile
        >>> import pandas as pd
        >>> from trl_ext.reporting import plot_contract_gaps
        >>> cell = {"dataset": "pku", "monitor": "self", "contract": "linear", "agent_utility": 0.0, "U_0": 0.0}
        >>> rows = pd.DataFrame([cell | {"n": n, "regime": "SB", "gap": 0.1 / n, "effort": 0.9} for n in (1, 11)])
        >>> [path.name for path in plot_contract_gaps(rows, tempfile.mkdtemp() + "/gaps.png")]
        ['gaps.png', 'gaps.csv']

        ```
    """
    require_columns(rows, ["dataset", "monitor", "contract", "n", "regime", *_GAP_COLUMNS, "U_0"])
    for name in ("profile", "delta"):
        if name in rows and rows[name].nunique(dropna=False) > 1:
            raise ValueError(f"rows have several values of '{name}': one figure shows one")
    datasets = list(dict.fromkeys(rows["dataset"]))
    figure = new_figure(max(6, 1.5 + 3.2 * len(datasets)), 8)
    has_first_best = False
    panels = figure.subplots(3, len(datasets), sharex="col", sharey="row", squeeze=False, height_ratios=[3, 2, 2])
    drawn = rows[rows["regime"] != "FB"]
    first = rows[rows["regime"] == "FB"]
    for column, dataset in enumerate(datasets):
        for row, name in enumerate(_GAP_COLUMNS):
            axes = panels[row, column]
            lines = drawn[drawn["dataset"] == dataset].groupby(["regime", "contract", "monitor"], sort=False)
            for (regime, contract, monitor), group in lines:
                group = group.sort_values("n")
                wider = regime == "SB_tilde"  # seen where both regimes agree
                values = group[name] - (group["U_0"] if name == "agent_utility" else 0)
                axes.plot(
                    group["n"],
                    values,
                    linestyle=_LINES[contract],
                    marker=_MARKERS[monitor],
                    color=_COLOURS[regime],
                    markersize=6 if wider else 4,
                    linewidth=2.6 if wider else 1.2,
                    zorder=2 if wider else 3,
                    markerfacecolor=_COLOURS[regime] if monitor == "self" else "white",
                )
            axes.grid(alpha=0.25)
        bests = first.loc[first["dataset"] == dataset, "effort"].unique()
        if len(bests) == 1:  # on a grid, the first best depends on contract, monitor and n
            panels[1, column].axhline(bests[0], color="grey", linewidth=1, linestyle=":")
            has_first_best = True
        panels[0, column].set_title(dataset)
        panels[2, column].set_xlabel("monitored samples n")
    for row, label in enumerate(_GAP_COLUMNS.values()):
        panels[row, 0].set_ylabel(label)
    _gap_axis(panels[0, 0])
    panels[1, 0].set_ylim(-0.03, 1.05)
    low, high = panels[2, 0].get_ylim()
    if max(abs(low), abs(high)) < 1e-3:  # zero but for rounding
        panels[2, 0].set_ylim(-0.01, 0.01)
    add_legend(figure, _handles(drawn, with_first_best=has_first_best), max_columns=4)
    if title:
        figure.suptitle(title)
    return save_figure(figure, rows, path)


def _handles(rows: pd.DataFrame, with_first_best: bool) -> list:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=_COLOURS[name], linewidth=3, label=label)
        for name, label in _REGIMES.items()
        if (rows["regime"] == name).any()
    ]
    handles += [
        Line2D([], [], color="black", linestyle=style, label=f"{name} contract")
        for name, style in _LINES.items()
        if (rows["contract"] == name).any()
    ]
    handles += [
        Line2D(
            [],
            [],
            color="black",
            linestyle="",
            marker=marker,
            markerfacecolor="black" if name == "self" else "white",
            label={"self": "self-consistency monitor", "expert": "expert monitor"}[name],
        )
        for name, marker in _MARKERS.items()
        if (rows["monitor"] == name).any()
    ]
    if with_first_best:
        handles.append(Line2D([], [], color="grey", linestyle=":", label="first-best effort"))
    return handles


def plot_gaps_by_delta(rows: pd.DataFrame, path: str | Path) -> tuple[Path, Path]:
    """
    Draws the relative gap, averaged over n, against δ, for the self-consistency monitor: a panel per kind of contract,
    a colour per profile; solid for the second best, dashed for the restricted one.

    Args:
        rows (`pandas.DataFrame`):
            Columns `dataset`, `profile`, `delta`, `monitor`, `contract`, `n`, `regime`, `gap`. The monitor does not
            depend on the dataset: of several, the one with most n is shown.
        path (`str` or `pathlib.Path`):
            PNG file to write.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the averages.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows of this monitor.
    """
    require_columns(rows, ["dataset", "profile", "delta", "monitor", "contract", "n", "regime", "gap"])
    rows = rows[(rows["monitor"] == "self") & (rows["regime"] != "FB")]
    require_columns(rows, [])
    dataset = rows.groupby("dataset", sort=False)["n"].nunique().idxmax()
    rows = rows[rows["dataset"] == dataset]
    keys = ["dataset", "profile", "contract", "regime", "delta"]
    means = rows.groupby(keys, sort=False)["gap"].agg(mean_gap="mean", n_sizes="count", n_infeasible=_missing)
    means = means.reset_index().sort_values("delta", kind="stable")
    contracts = [name for name in _LINES if (means["contract"] == name).any()]
    profiles = list(dict.fromkeys(rows["profile"]))
    figure = new_figure(1.5 + 4.2 * len(contracts), 4.8)
    panels = figure.subplots(1, len(contracts), sharey=True, squeeze=False)[0]
    for axes, contract in zip(panels, contracts, strict=True):
        for colour, profile in zip(COLOURS, profiles, strict=False):
            for regime, style in (("SB", "-"), ("SB_tilde", "--")):
                chosen = (means["contract"] == contract) & (means["profile"] == profile) & (means["regime"] == regime)
                line = means[chosen]
                axes.plot(line["delta"], line["mean_gap"], style, marker="o", markersize=4, color=colour)
        axes.set(title=f"{contract} contract", xlabel="disagreement δ with oneself")
        axes.locator_params(axis="x", nbins=6)
        axes.grid(alpha=0.25)
    panels[0].set_ylim(0, panels[0].get_ylim()[1])
    sizes = sorted(rows["n"].unique())
    panels[0].set_ylabel(f"relative gap, mean over n = {sizes[0]} … {sizes[-1]}")
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=c, linewidth=3, label=name) for c, name in zip(COLOURS, profiles, strict=False)]
    handles += [
        Line2D([], [], color="black", linestyle=style, label=_REGIMES[name])
        for name, style in (("SB", "-"), ("SB_tilde", "--"))
    ]
    add_legend(figure, handles, max_columns=len(contracts) + 1)
    return save_figure(figure, means, path)


def _missing(values: pd.Series) -> int:
    return int(values.isna().sum())


def plot_utility_profiles(problems: Mapping[str, "ContractProblem"], path: str | Path) -> tuple[Path, Path]:
    """
    Draws the functions of contract problems: utility of pay, cost of effort and benefit of effort.

    Args:
        problems (`Mapping[str, ContractProblem]`):
            By name; at most seven.
        path (`str` or `pathlib.Path`):
            PNG file to write.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the curves.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: No problem, or more than seven.
    """
    if not 1 <= len(problems) <= len(COLOURS):
        raise ValueError(f"problems must be 1 to {len(COLOURS)}, got {len(problems)}")
    effort, wage = np.linspace(0, 1, 101), np.linspace(-0.5, 1.5, 101)
    figure = new_figure(11, 4)
    panels = figure.subplots(1, 3)
    numbers = []
    for i, (name, problem) in enumerate(problems.items()):
        functions = (
            ("utility", wage, problem.utility.value(wage)),
            ("cost", effort, problem.cost.value(effort)),
            ("benefit", effort, problem.benefit.value(effort)),
        )
        for axes, (function, x, y) in zip(panels, functions, strict=True):
            # Profiles share functions: a thinner line on a wider one shows both
            axes.plot(x, y, color=COLOURS[i], linewidth=(len(problems) - i) * 1.4, label=name)
            numbers.append(pd.DataFrame({"profile": name, "function": function, "x": x, "value": y}))
    panels[0].set(title="utility of pay G(w)", xlabel="pay w", ylabel="utils")
    panels[1].set(title="cost of effort E(η)", xlabel="effort η", ylabel="utils")
    panels[2].set(title="benefit of effort μ(η)", xlabel="effort η", ylabel="units of pay")
    for axes in panels:
        axes.grid(alpha=0.25)
    add_legend(figure, max_columns=4)
    return save_figure(figure, pd.concat(numbers, ignore_index=True), path)
