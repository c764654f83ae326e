"""Sections about the pairs and the people: data health, annotators, suspected mislabels."""

from typing import Any

import numpy as np
import pandas as pd

from ..forest import draw_forest
from ..histograms import HistogramPanel, draw_histograms
from ..run_files import as_estimate, is_estimate
from ..run_folder import MonitoringEvidence, RunEvidence
from .blocks import Chart, ChartMaker, Missing, Table, Text, estimate_rows, frame_table, interval, number, number_cell
from .same_evidence import monitors_strangers


_MEANINGS = {
    "reliability": "P(annotator correct)",
    "label": "P(chosen is better)",
    "eta": "commitment η",
    "weight": "weight",
    "margin": "margin",
}
_TITLES = {"eta": "Commitment"}
_MOST_ANNOTATORS = 40
_MOST_CHARACTERS = 160  # of a text in a table

# What the figures of the mislabel finder are called
_FIGURES = {
    "wrong_labels": "labels expected to be wrong",
    "true_wrong_share": "share of labels that are wrong, by the truth",
    "precision": "share that is wrong of the most suspicious labels",
    "eta": "commitment η of the annotators, learned",
    "scale": "how sharply the labels follow the margin (scale)",
    "accuracy": "agreement of the cross-fitted model with the labels",
    "lift": "times as many wrong ones as among all labels (lift)",
    "average_precision": "average precision of the ranking",
    "auroc": "AUC: a wrong label is ranked above a right one",
}


def data_health_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Pairs, repetitions, lengths, labels and who gave them."""
    health = run.data_health
    blocks: list[Any] = []
    length = ((run.results or {}).get("provenance") or {}).get("length") or {}
    if length:
        rows = tuple(
            (name, f"{one['rows']:,}", f"{one['over_length']:,}", f"{one['truncated']:,}", f"{one['dropped']:,}",
             "none" if one["max_length"] is None else f"{one['max_length']:,}", one["policy"].replace("_", " "))
            for name, one in length.items()
        )  # fmt: skip
        columns = ("split", "pairs", "over-long", "truncated", "dropped", "limit in tokens", "policy")
        numeric = (False, True, True, True, True, True, False)
        blocks.append(Table(columns, rows, numeric, "Pairs before training, and what the length limit did"))
    if health is None:
        return [*blocks, Missing("What the pairs are like was not recorded.", run.missing["data_health"])]
    facts = [
        f"{health['rows']:,} rows hold {health['distinct_pairs']:,} distinct pairs; {health['repeated_rows']:,} rows repeat an "
        f"earlier one, and of {health['contradicted_pairs']:,} pairs either response was chosen by somebody."
    ]
    if health["longer_chosen"]:
        longer = as_estimate(health["longer_chosen"])
        facts.append(
            f"The chosen response is the longer one in {100 * longer.value:.0f} % {interval(100 * longer.ci_low, 100 * longer.ci_high, 0)} of the "
            f"{longer.n:,} rows whose responses differ in length ({longer.method})."
        )
    annotators = health["annotators"]
    if annotators:
        several = ", ".join(
            f"{count:,} {'pair' if count == 1 else 'pairs'} by {people}" for people, count in annotators["labels_per_pair"].items()
        )  # fmt: skip
        facts.append(f"{annotators['count']:,} annotators; of the distinct pairs were labelled {several}.")
    blocks.append(Text(" ".join(facts)))
    panels = _panels(health)
    rows = [
        (name, *(number(one["quantiles"].get(level), 1) for level in ("0", "0.25", "0.5", "0.75", "0.95", "1")), number(one["mean"], 1))
        for name, one in health["lengths"].items()
        if name != "unit" and one["counts"]
    ]  # fmt: skip
    rows += [
        (
            name,
            *(number(one["quantiles"].get(level)) for level in ("0", "0.25", "0.5", "0.75", "0.95", "1")),
            number(one["mean"]),
        )
        for name, one in health["columns"].items()
        if one["counts"]
    ]
    columns = ("what", "min", "25 %", "median", "75 %", "95 %", "max", "mean")
    blocks.append(
        chart(
            "What the pairs are like",
            lambda width: draw_histograms(panels, width=width),
            caption="Lengths in words, and the numbers that say how far to believe a label.",
            table=Table(columns, tuple(rows), (False, *(True,) * 7)),
        )
    )
    return blocks


def _panels(health: dict[str, Any]) -> list[HistogramPanel]:
    lengths = {
        name: one for name, one in health["lengths"].items() if name in ("chosen", "rejected") and one["counts"]
    }
    panels = [HistogramPanel("Length of responses", "words", lengths)] if lengths else []
    panels += [
        HistogramPanel(_TITLES.get(name, name.capitalize()), _MEANINGS.get(name, name), {"": one})
        for name, one in health["columns"].items()
        if one["counts"]
    ]
    if health["annotators"] and health["annotators"]["count"] > 1:
        counts = np.array(list(health["annotators"]["rows"].values()))
        heights, edges = np.histogram(counts, min(12, len(np.unique(counts)) or 1))
        panels.append(
            HistogramPanel(
                "Work per annotator", "rows of an annotator", {"": {"edges": edges, "counts": heights}}, "annotators"
            )
        )
    return panels


def annotator_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """How far annotators can be believed: as learned in training, and as monitored."""
    blocks: list[Any] = []
    learned = (run.results or {}).get("annotators")
    if learned:
        blocks += _annotator_chart(
            pd.DataFrame(learned["table"]),
            chart,
            "Commitment learned together with the reward model",
            learned["method"],
        )
    if run.monitoring is not None:
        strangers = monitors_strangers(run)
        if strangers:
            blocks.append(Text(f"Not this run's people: {strangers}."))
        blocks += _monitoring_blocks(run.monitoring, chart)
    weights = (run.results or {}).get("weights")
    if weights:
        rows = tuple(
            (name.replace("_", " "), _value(value))
            for name, value in weights.items()
            if value is not None and not isinstance(value, dict | list)
        )
        blocks.append(
            Table(
                ("weights of the loss", "value"),
                rows,
                (False, True),
                "How the reliability column entered the loss",
                folded=True,
            )
        )
    eta = (run.results or {}).get("eta")
    if isinstance(eta, dict):
        rows = tuple(
            (name.replace("_", " "), _value(value))
            for name, value in eta.items()
            if value is not None and not isinstance(value, dict | list)
        )
        blocks.append(Table(("η of the training pairs", "value"), rows, (False, True)))
    if run.monitoring is None and not learned:
        blocks.append(
            Missing("Annotators were not monitored, and their commitment was not learned.", run.missing["monitoring"])
        )
    return blocks


def _value(value: Any) -> str:
    return number_cell(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def _annotator_chart(table: pd.DataFrame, chart: ChartMaker, title: str, method: str) -> list[Any]:
    value = next((name for name in ("eta", "value", "commitment") if name in table), None)
    name = next((column for column in ("annotator_id", "annotator") if column in table), table.columns[0])
    if value is None or not {"ci_low", "ci_high"} <= set(table):
        return [frame_table(table, caption=title)]
    forest = pd.DataFrame({"label": table[name].astype(str)})
    for ours, theirs in (("value", value), ("ci_low", "ci_low"), ("ci_high", "ci_high")):
        forest[ours] = pd.to_numeric(table[theirs], errors="coerce").astype(float)
    shown, cut = _worst(forest.sort_values("value").drop_duplicates("label"))
    return [
        chart(
            title,
            lambda width: draw_forest(
                shown, width=width, xlabel="commitment η: 1 always means the label, 0 guesses", limits=_limits(shown),
            ),
            caption=f"Points with 95 % intervals. {method[:1].upper()}{method[1:]}.{cut}",
            table=frame_table(table.rename(columns={name: "annotator"}), most=500),
        )
    ]  # fmt: skip


def _monitoring_blocks(monitoring: MonitoringEvidence, chart: ChartMaker) -> list[Any]:
    table, summary = monitoring.table, monitoring.summary
    checked = table[pd.to_numeric(table["n_checks"], errors="coerce") > 0] if "n_checks" in table else table
    forest = pd.DataFrame({"label": checked["annotator_id"].astype(str), **{ours: checked[theirs].astype(float) for ours, theirs in
                          (("value", "eta"), ("ci_low", "ci_low"), ("ci_high", "ci_high"))}})  # fmt: skip
    colours = {"above": "#009E73", "undecided": "#0072B2", "below": "#D55E00", "trusted": "#777777"}
    if "decision" in checked:
        forest["series"] = checked["decision"].astype(str)
    forest = forest.dropna(subset=["value"]).sort_values("value")
    if "series" in forest:  # who is told to be below the standard comes first
        forest = forest.sort_values("series", key=lambda column: column != "below", kind="stable")
    forest, cut = _worst(forest)
    blocks: list[Any] = []
    pooled = None
    if summary.get("pooled_eta"):
        pooled = as_estimate(summary["pooled_eta"])
        decisions = ", ".join(f"{count} {name}" for name, count in (summary.get("decisions") or {}).items())
        blocks.append(
            Text(
                f"All annotators together: η = {number(pooled.value)} {interval(pooled.ci_low, pooled.ci_high)}, from "
                f"{pooled.n:,} checks. Against the standard: {decisions or 'no decisions'}."
            )
        )
    standard = ((summary.get("provenance") or {}).get("config") or {}).get("eta0")
    if len(forest):
        blocks.append(
            chart(
                "Monitored annotators",
                lambda width: draw_forest(
                    forest, width=width, reference=standard, xlabel="commitment η",
                    reference_label=None if standard is None else f"standard {standard:g}", colours=colours,
                    band=None if pooled is None or not np.isfinite([pooled.ci_low, pooled.ci_high]).all() else (pooled.ci_low, pooled.ci_high),
                    band_label="interval of all annotators together", limits=_limits(forest),
                ),
                caption="Commitment of each annotator with its interval, from answers given twice or an expert's labels; above "
                "and below are exact tests, corrected for the number of annotators. "
                + (f"Method: {summary['method']}." if summary.get("method") else "") + cut,
                table=frame_table(
                    table, ("annotator_id", "n_checks", "agreements", "eta", "ci_low", "ci_high", "decision",
                            "more_checks_decision", "more_checks_half_width"), most=500),
            )
        )  # fmt: skip
    return blocks


def _worst(forest: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """The first rows, which are the worst, and a sentence about the others."""
    shown = forest.head(_MOST_ANNOTATORS)
    return shown, f" The {len(shown)} worst of {len(forest):,}." if len(shown) < len(forest) else ""


def _limits(forest: pd.DataFrame) -> tuple[float, float]:
    """From 0, or below it for finite figures that are: an interval without an end has an arrow."""
    values = forest[["value", "ci_low"]].to_numpy(dtype=float)
    return min(0.0, float(np.min(values, where=np.isfinite(values), initial=0.0))) - 0.02, 1.02


def mislabel_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Training pairs whose label is probably wrong, and whose they are."""
    found = run.mislabels
    if found is None:
        return [Missing("Nobody has looked for mislabelled training pairs.", run.missing["mislabels"])]
    figures = found.summary.get("figures") or {}
    estimates = [
        (_FIGURES.get(name, name.replace("_", " ")), as_estimate(one))
        for name, one in figures.items()
        if isinstance(one, dict) and "ci_low" in one
    ]
    blocks: list[Any] = [
        Text(
            "Pairs are ranked by how strongly everything that was learned from the other pairs speaks against their label. The "
            "top of the list is where a second look pays most; being on it is no proof."
        )
    ]
    if estimates:
        blocks += [*_true_share(figures), estimate_rows(estimates, "What the search found")]
    comparison = [
        (f"{_FIGURES.get(row['measure'], row['measure'].replace('_', ' '))}, top {100 * float(row['share']):g} %"
         if row["measure"] in ("precision", "lift") else _FIGURES.get(row["measure"], row["measure"].replace("_", " ")), as_estimate(row))
        for row in found.summary.get("comparison") or []
        if row.get("measure") in ("precision", "lift", "average_precision", "auroc") and row["evidence"] == "p_wrong"
    ]  # fmt: skip
    if comparison:
        blocks.append(estimate_rows(comparison, "The ranking, checked against the truth", folded=True))
    blocks += [Text(note) for note in found.summary.get("notes") or ()]
    wanted = (
        "rank",
        "id",
        "annotator_id",
        "p_wrong",
        "evidence",
        "margin",
        "influence",
        "eta",
        "flagged",
        "prompt",
        "chosen",
        "rejected",
    )
    texts = [name for name in ("prompt", "chosen", "rejected") if name in found.pairs]
    pairs = found.pairs.head(25).assign(**{name: found.pairs[name].head(25).map(_beginning) for name in texts})
    caption = f"The {len(pairs)} most suspicious of {len(found.pairs):,} labels"
    names = {"annotator_id": "annotator", "p_wrong": "P(wrong)"} | ({"eta": "η"} if "eta" in pairs else {})
    shown = pairs[[name for name in wanted if name in pairs and not (name == "evidence" and _same(pairs, "p_wrong"))]]
    blocks.append(
        frame_table(shown.rename(columns=names), caption=caption + (", beginnings of texts" if texts else ""))
    )
    if not texts:
        blocks.append(Text("The list has no texts: look the ids up in the training data.", "note"))
    if found.annotators is not None and len(found.annotators):
        level = (found.summary.get("settings") or {}).get("level", 0.95)
        blocks += _suspected_annotators(found.annotators, level, chart)
    return blocks


def _true_share(figures: dict[str, Any]) -> list[Any]:
    """Where the truth is known, whether the estimate holds it."""
    if not is_estimate(figures.get("true_wrong_share")) or not is_estimate(figures.get("wrong_labels")):
        return []
    truth, expected = as_estimate(figures["true_wrong_share"]), as_estimate(figures["wrong_labels"])
    wrong = truth.value * truth.n
    held = expected.ci_low <= wrong <= expected.ci_high
    return [
        Text(
            f"The truth of these data is known: {wrong:,.0f} of {truth.n:,} labels are wrong. Without it, {number(expected.value, 0)} "
            f"{interval(expected.ci_low, expected.ci_high, 0)} were expected, " + ("which holds it." if held else
            "which misses it: take the number of wrong labels as an order of size, the ranking is what helps.")
        )
    ]  # fmt: skip


def _same(pairs: pd.DataFrame, name: str) -> bool:
    return name in pairs and bool((pairs[name] == pairs["evidence"]).all())


def _beginning(text: Any) -> str:
    words = " ".join(str(text).split()) if isinstance(text, str) else "–"
    return words if len(words) <= _MOST_CHARACTERS else words[: _MOST_CHARACTERS - 1] + "…"


def _suspected_annotators(table: pd.DataFrame, level: float, chart: ChartMaker) -> list[Any]:
    """Shares of labels of each annotator that are expected to be wrong, as a chart where they have intervals."""
    columns = ("expected_wrong", "wrong_low", "wrong_high")
    if not {*columns, "n"} <= set(table):
        return [frame_table(table, caption="By annotator", most=_MOST_ANNOTATORS)]
    shares = {
        name: table[column] / table["n"] for name, column in zip(("value", "ci_low", "ci_high"), columns, strict=True)
    }
    forest = table.assign(label=table["annotator_id"].astype(str), **shares).sort_values("value", ascending=False)
    forest, cut = _worst(forest.drop_duplicates("label"))
    drawn: Chart = chart(
        "Labels expected to be wrong, by annotator",
        lambda width: draw_forest(forest, width=width, xlabel="share of the annotator's labels", limits=(-0.02, 1.02)),
        caption=f"From what was learned of the labels of the others, with {100 * level:g} % intervals, which hold if labels err "
        f"independently: mistakes that annotators share are not counted.{cut}",
        table=frame_table(table, most=500),
    )
    return [drawn]
