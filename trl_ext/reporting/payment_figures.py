"""Figures of what contracts pay."""

from pathlib import Path

import pandas as pd

from .contract_figures import require_columns
from .figures import COLOURS, add_legend, new_figure, save_figure


_MONITORS = {"self": (COLOURS[0], "o", "self-consistency monitor"), "expert": (COLOURS[1], "s", "expert monitor")}
_SIZES = COLOURS[2:]


def plot_payments(table: pd.DataFrame, path: str | Path, *, title: str | None = None) -> tuple[Path, Path]:
    """
    Draws expected pay against the number of monitored samples, and dashed the pay with no and with all agreements: a row
    of panels per kind of contract, a column per dataset, a colour per monitor.

    Args:
        table (`pandas.DataFrame`):
            Columns `dataset`, `monitor` (`self`, `expert`), `contract`, `n`, `expected_pay`, `pay_worst`, `pay_best`,
            `first_best_pay`.
        path (`str` or `pathlib.Path`):
            PNG file to write.
        title (`str`, *optional*):
            Title of the figure.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.
    """
    columns = ["dataset", "monitor", "contract", "n", "expected_pay", "pay_worst", "pay_best", "first_best_pay"]
    require_columns(table, columns)
    datasets, contracts = (list(dict.fromkeys(table[name])) for name in ("dataset", "contract"))
    figure = new_figure(max(6, 1.5 + 3.2 * len(datasets)), 1.8 + 2.8 * len(contracts))
    panels = figure.subplots(len(contracts), len(datasets), sharex="col", sharey="row", squeeze=False)
    handles = {}
    for (contract, dataset, monitor), group in table.groupby(["contract", "dataset", "monitor"], sort=False):
        axes = panels[contracts.index(contract), datasets.index(dataset)]
        group = group.sort_values("n")
        colour, marker, label = _MONITORS[monitor]
        for name in ("pay_worst", "pay_best"):
            # a marker, as a line of a single n is nowhere
            (extreme,) = axes.plot(
                group["n"], group[name], linestyle="--", linewidth=1.2, marker=".", markersize=5, color=colour
            )
        (line,) = axes.plot(group["n"], group["expected_pay"], marker=marker, markersize=4, color=colour)
        best = axes.axhline(group["first_best_pay"].iloc[0], color="black", linewidth=1, linestyle=":")
        handles[f"{label}: expected pay"] = line
        handles[f"{label}: pay with no and with all agreements"] = extreme
        handles["pay of the first best"] = best
    for axes in panels.flat:
        axes.grid(alpha=0.25)
    for axes, dataset in zip(panels[0], datasets, strict=True):
        axes.set_title(dataset)
    for axes in panels[-1]:
        axes.set_xlabel("monitored samples n")
    for axes, contract in zip(panels[:, 0], contracts, strict=True):
        axes.set_ylabel(f"{contract} contract\npay (units of money)")
    best_line = handles.pop("pay of the first best")
    handles["pay of the first best"] = best_line  # last
    add_legend(figure, list(handles.values()), list(handles))
    if title:
        figure.suptitle(title)
    return save_figure(figure, table, path)


def plot_bonus_by_effort(table: pd.DataFrame, path: str | Path) -> tuple[Path, Path]:
    """
    Draws the probability of passing a test against effort: a panel per dataset of the expert monitor, and one for the
    self-consistency monitor, whose original convention is dashed.

    Args:
        table (`pandas.DataFrame`):
            Columns `dataset`, `monitor`, `convention` (`original`, `consistent`), `n`, `effort`, `pass_probability`.
        path (`str` or `pathlib.Path`):
            PNG file to write.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: A missing column, or no rows.
    """
    require_columns(table, ["dataset", "monitor", "convention", "n", "effort", "pass_probability"])
    shown = []
    if (table["monitor"] == "self").any():
        rows = table[table["monitor"] == "self"]
        shown.append(("self-consistency monitor", rows[rows["dataset"] == rows["dataset"].iloc[0]]))
    expert = table[table["monitor"] == "expert"]
    shown += [(f"expert monitor, {name}", rows) for name, rows in expert.groupby("dataset", sort=False)]
    figure = new_figure(max(6, 1 + 3 * len(shown)), 4)
    panels = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    handles = {}
    for axes, (title, rows) in zip(panels, shown, strict=True):
        for (n, convention), group in rows.groupby(["n", "convention"], sort=False):
            is_self = (group["monitor"] == "self").all()
            if convention == "original" and not is_self:
                continue  # they differ in the self-consistency monitor alone
            style = "--" if convention == "original" else "-"
            colour = _SIZES[list(rows["n"].unique()).index(n) % len(_SIZES)]
            (line,) = axes.plot(group["effort"], group["pass_probability"], style, color=colour, linewidth=1.5)
            handles[f"n = {n}" + (", (1 + η²)/2" if convention == "original" else "")] = line
        axes.set(title=title, xlabel="effort η")
        axes.grid(alpha=0.25)
    panels[0].set_ylabel("probability of the bonus")
    ordered = sorted(handles, key=lambda name: ("η²" in name, len(name)))
    add_legend(figure, [handles[name] for name in ordered], ordered, max_columns=max(3, len(shown) + 1))
    return save_figure(figure, table, path)
