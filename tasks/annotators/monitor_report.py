"""What `tasks/annotators/monitor.py` shows: text and a plot."""

from pathlib import Path

import numpy as np
import pandas as pd

from trl_ext.annotators import MonitoringReport
from trl_ext.annotators.planning import MAX_CHECKS
from trl_ext.reporting.figures import COLOURS, add_legend, new_figure, save_figure


_COLUMNS = (
    "annotator_id",
    "n_checks",
    "n_missing",
    "agreements",
    "eta",
    "ci_low",
    "ci_high",
    "decision",
    "more_checks_decision",
    "more_checks_half_width",
)
_COLOURS = {"above": COLOURS[2], "undecided": COLOURS[0], "below": COLOURS[1], "trusted": "grey"}


def print_report(report: MonitoringReport, sensitivity: pd.DataFrame | None) -> None:
    """Print the table of annotators and what holds for all of them."""
    print(report.table[list(_COLUMNS)].round(3).to_string(index=False))
    pooled, between = report.pooled, report.heterogeneity
    print(f"\n{report.method}; c = {report.c:.3f} ({report.c_source})")
    print(
        f"All: eta {pooled.value:.3f} ({pooled.ci_low:.3f} to {pooled.ci_high:.3f}), {pooled.n} checks; annotators differ "
        f"by an SD of {between['sd_between']:.3f} (p = {between['p_value']:.2g} that they are alike)"
    )
    needed = report.checks_for_decision if np.isfinite(report.checks_for_decision) else f"More than {MAX_CHECKS:,}"
    print(
        f"Decisions: eta above or below {report.eta0:g}, wrong for anyone with probability {report.alpha:g} at most "
        f"each. {needed} checks each would recognise eta = {report.eta1:g} with probability "
        f"{1 - report.beta:g}; an interval of ± {report.half_width:g} needs those of the last column more."
    )
    if sensitivity is not None:
        rows = sensitivity[sensitivity["annotator_id"].isna()]
        print("If delta were other: " + ", ".join(f"{r.delta:g} -> eta {r.eta:.3f}" for r in rows.itertuples()))
    print("\n".join(report.messages))


def plot_intervals(report: MonitoringReport, path: Path) -> tuple[Path, Path]:
    """
    Draw the commitment of every annotator who was checked, with intervals, the standard and the pooled estimate.

    Args:
        report ([`~trl_ext.annotators.MonitoringReport`]):
            What to draw.
        path (`pathlib.Path`):
            PNG file to write.

    Returns:
        `tuple[pathlib.Path, pathlib.Path]`: the PNG file, and the CSV file beside it with the numbers.
    """
    columns = ["annotator_id", "n_checks", "eta", "ci_low", "ci_high", "decision"]
    rows = report.table.loc[report.table["n_checks"] > 0, columns].sort_values("eta").reset_index(drop=True)
    names = [f"{r.annotator_id} ({r.n_checks})" for r in rows.itertuples()]
    room = 0.07 * max(0, max(map(len, names), default=0) - 15)  # of long names
    figure = new_figure(6 + room, 1.5 + 0.25 * len(rows))
    axes = figure.subplots()
    axes.axvspan(report.pooled.ci_low, report.pooled.ci_high, color="grey", alpha=0.15, linewidth=0)
    axes.axvline(report.pooled.value, color="grey", linewidth=1, label=f"all, {report.level:.0%} interval shaded")
    axes.axvline(report.eta0, color="black", linestyle="--", linewidth=1, label=f"standard {report.eta0:g}")
    for decision, group in rows.groupby("decision", sort=False):
        colour = _COLOURS[decision]
        axes.hlines(group.index, group["ci_low"], group["ci_high"], color=colour)
        axes.plot(group["eta"], group.index, "o", color=colour, label=decision)
    axes.set(xlabel="commitment η", xlim=(-1.02 if report.allow_negative else -0.02, 1.02))
    axes.set_yticks(np.arange(len(rows)), names)
    axes.set_title(f"{report.monitor} monitor: annotators (checks)", fontsize="medium")
    axes.margins(y=0.5 / max(len(rows), 5))
    add_legend(figure, max_columns=3)
    return save_figure(figure, rows, path)
