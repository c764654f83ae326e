"""Sections about the model itself: training curves, figures before and after, calibration."""

from typing import Any

import numpy as np
import pandas as pd

from ...evaluation import Estimate, ReliabilityDiagram
from ..figures import COLOURS, add_legend, new_figure
from ..forest import draw_forest
from ..reliability_diagram import draw_reliability_diagram
from ..run_files import as_estimate
from ..run_folder import RunEvidence
from ..training_figures import draw_training, training_table
from .blocks import ChartMaker, Missing, Table, Text, estimate_rows, frame_table, interval, number
from .evaluation_sections import TITLES


# Figures of results.json that have a scale in common
SHARES = {name: TITLES[name] for name in ("accuracy_to_labels", "accuracy_to_truth", "oracle_accuracy", "correct_over_incorrect",
                                          "lc_over_li", "sc_over_si", "lc_over_si", "sc_over_li")}  # fmt: skip
_COLOURS = {"before training": "#999999", "after training": COLOURS[0]}
WEIGHTS = {
    "correctness_weight_per_sd": "for being correct (W_correct)",
    "length_weight_per_sd": "for being long (W_length)",
}


def training_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Curves."""
    if run.log_history is None:
        return [Missing("The log of the training is not there.", run.missing["log_history"])]
    table = training_table(run.log_history, run.calibration_history or ())
    if table.empty:
        return [Text("The training logged neither loss nor accuracy.")]
    shown = table.pivot_table(index="step", columns=["figure", "when"], values="value").sort_index()
    shown.columns = [f"{figure}, {when}" for figure, when in shown.columns]
    blocks: list[Any] = [
        chart(
            "Training curves",
            lambda width: draw_training(table, width=width),
            caption="Grey: batches of training. Blue: held-out pairs, at every evaluation"
            + ("; shaded: 95 % interval." if table["ci_low"].notna().any() else "."),
            table=frame_table(shown.reset_index(), most=400),
        )
    ]
    last = next((row for row in reversed(run.log_history) if "train_runtime" in row), None)
    if last is not None:
        blocks.append(Text(f"{last['step']:,} steps in {last['train_runtime'] / 60:.1f} minutes.", "note"))
    return blocks


def learned_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """What the model learned: figures of the test pairs before and after training."""
    if run.results is None:
        return [Missing("There are no results of a training.", run.missing["results"])]
    blocks: list[Any] = []
    for title, names, options, caption in (
        (
            "How often it is right",
            SHARES,
            {
                "reference": 0.5,
                "reference_label": "guessing",
                "limits": (0.0, 1.0),
                "xlabel": "share of held-out pairs",
            },
            "Shares with 95 % intervals, clustered by question where that is known.",
        ),
        (
            "What it pays for",
            WEIGHTS,
            {"reference": 0.0, "xlabel": "reward gained, in standard deviations of reward"},
            "Mean reward gained by a correct answer over an incorrect one, and by a detailed answer over a concise one.",
        ),
    ):
        forest = _before_and_after(run, names)
        if forest is not None:
            blocks.append(
                chart(title, lambda width, forest=forest, options=options: draw_forest(forest, width=width, colours=_COLOURS, **options),
                      caption=caption, table=frame_table(forest))
            )  # fmt: skip
    if run.figures:
        names = [(figure_title(name), figure) for name, figure in run.figures.items()]
        table = estimate_rows(names)
        blocks.append(Table(table.columns, table.rows, table.numeric, "All figures of the training run", folded=True))
    return blocks or [Text("The run had no held-out pairs: it measured nothing.")]


def _before_and_after(run: RunEvidence, names: dict[str, str]) -> pd.DataFrame | None:
    rows = [
        {"label": title, "series": f"{when} training", "value": figure.value, "ci_low": figure.ci_low, "ci_high": figure.ci_high,
         "n": figure.n}
        for name, title in names.items()
        for when in ("before", "after")
        if (figure := run.figures.get(f"{when}_{name}")) is not None
    ]  # fmt: skip
    return pd.DataFrame(rows) if rows else None


def calibration_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Reliability diagrams and scores, raw and calibrated."""
    content = run.calibration
    if content is None:
        said = "Whether its probabilities can be believed was not measured after training"
        if run.calibration_history:
            said += "; its calibration error while it learned is under Training"
        return [Missing(f"{said}. (A model that is no better than guessing cannot be calibrated.)", run.missing["calibration"])]  # fmt: skip
    diagrams = {side: _diagram(content[side]["diagram"]) for side in ("raw", "calibrated")}
    fitted, measured = content.get("fitted_on") or {}, content.get("measured_on") or {}
    said = [f"Method: {content.get('method', 'not recorded')}."]
    for name, where in (("fitted on", fitted), ("measured on", measured)):
        if where:
            facts = ", ".join(
                f"{key.replace('_', ' ')} {value}" for key, value in where.items() if isinstance(value, str | int)
            )
            said.append(f"{name.capitalize()}: {facts}.")
    change = content.get("ece_change")
    if isinstance(change, dict):
        estimate = as_estimate(change)
        said.append(
            f"Change of ECE: {number(estimate.value, sign=True)} {interval(estimate.ci_low, estimate.ci_high)}. "
            f"{change_words(estimate)}."
        )
    figures = [
        (f"{title}, {side}", as_estimate(content[side][name]))
        for name, title in (("ece", "ECE"), ("ece_if_calibrated", "ECE that perfect calibration would show"),
                            ("bias", "mean probability minus share of right ones"), ("brier", "Brier score"), ("log_loss", "log-loss"),
                            ("auc", "AUC of confidence (0.5: no surer where right)"))
        for side in ("raw", "calibrated")
        if content[side].get(name) is not None
    ]  # fmt: skip
    rows = pd.concat([diagram.to_frame().assign(rewards=side) for side, diagram in diagrams.items()])
    scores = estimate_rows(figures)
    return [
        Text(" ".join(said)),
        chart(
            "Reliability diagrams",
            lambda width: _draw_diagrams(diagrams, width),
            caption="Of the pairs about which it says 80 %, 80 % should be right: points on the dashed line. Bars: how many pairs.",
            table=frame_table(rows),
        ),
        Table(scores.columns, scores.rows, scores.numeric, "Scores, raw and calibrated"),
    ]


def figure_title(name: str) -> str:
    """A figure of `results.json` in words."""
    for when, words in (("before_", ", before training"), ("after_", ", after training")):
        if name.startswith(when):
            rest = name.removeprefix(when)
            return TITLES.get(rest, rest.replace("_", " ")) + words
    return TITLES.get(name, name.replace("_", " "))


def change_words(change: Estimate) -> str:
    """Whether a calibration error fell, in words."""
    if change.ci_high < 0:
        return "The error is lower, and the interval excludes no change"
    if change.ci_low > 0:
        return "The error is higher, and the interval excludes no change"
    return "The data do not tell the change from none"


def _draw_diagrams(diagrams: dict[str, ReliabilityDiagram], width: float):
    narrow = width < 5
    figure = new_figure(width, 7.4 if narrow else 4.4)
    if narrow:
        panels = figure.subplots(4, 1, height_ratios=[4, 1.2, 4, 1.2])
        pairs = [(panels[0], panels[1]), (panels[2], panels[3])]
    else:
        panels = figure.subplots(2, 2, height_ratios=[4, 1.1], sharex=True)
        pairs = [(panels[0, 0], panels[1, 0]), (panels[0, 1], panels[1, 1])]
    for (side, diagram), (shares, counts), colour in zip(
        diagrams.items(), pairs, (COLOURS[1], COLOURS[0]), strict=True
    ):
        title = {"raw": "Raw rewards", "calibrated": "Calibrated"}[side]
        draw_reliability_diagram(diagram, shares, counts, title=title, event="right", colour=colour)
        shares.set_xlabel("")
        for axes in (shares, counts):
            axes.set_xlim(0, 1)
            axes.grid(axis="y")
            axes.set_axisbelow(True)
        if narrow:
            shares.tick_params(labelbottom=False)
        counts.locator_params(axis="y", nbins=3)
    handles, labels = pairs[0][0].get_legend_handles_labels()
    add_legend(figure, handles, labels, max_columns=1 if narrow else 3)
    return figure


def _diagram(content: dict[str, Any]) -> ReliabilityDiagram:
    bins = content["bins"]

    def column(name: str) -> np.ndarray:
        return np.array([float("nan") if one[name] is None else float(one[name]) for one in bins])

    edges = np.append(column("bin_low"), column("bin_high")[-1:])
    rest = (column(name) for name in ("mean_predicted", "observed", "ci_low", "ci_high"))
    return ReliabilityDiagram(
        edges, column("n").astype(int), *rest, level=float(content["level"]), method=str(content["method"])
    )
