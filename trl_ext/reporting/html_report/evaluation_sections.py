"""Sections about outside evidence: benchmarks, LIE and other probes, effects of attributes, mismatch with ratings."""

from typing import Any

import numpy as np
import pandas as pd

from ...arena import significant_pairs
from ...evaluation import Estimate, ModelResult
from ..figures import new_figure
from ..forest import draw_forest
from ..mismatch_figures import draw_mismatch
from ..model_names import short_names
from ..run_files import as_estimate, is_estimate
from ..run_folder import MismatchEvidence, RunEvidence
from .blocks import ChartMaker, Heading, Missing, Table, Text, estimate_rows, frame_table


BENCHMARKS = {"rewardbench": "RewardBench", "rewardbench2": "RewardBench 2", "rm_bench": "RM-Bench"}
_PROBES = {"lie": "LIE test set", "true": "TRUE", "rm_bench": "RM-Bench", "attribute_bias": "Attribute biases"}
_SHARES = ("lc_over_li", "sc_over_si", "sc_over_li", "lc_over_si", "correct_over_incorrect", "accuracy", "average", "hard",
           "normal", "easy", "auc")  # fmt: skip


def evaluation_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Benchmarks and probes."""
    blocks: list[Any] = []
    for result in run.evaluations:
        blocks += _benchmark(result, chart)
    for name, figures in run.probes.items():
        blocks += _probe(name, figures, chart)
    if not run.evaluations:
        blocks.append(Missing("No benchmark of preference pairs was run.", run.missing["evaluations"]))
    if not run.probes:
        blocks.append(Missing("LIE, TRUE, RM-Bench and attribute biases were not measured.", run.missing["probes"]))
    return blocks


def benchmark_title(result: ModelResult) -> str:
    """Name of a benchmark for reading."""
    return BENCHMARKS.get(result.benchmark, result.benchmark.removeprefix("preferences-") + " pairs"
                          if result.benchmark.startswith("preferences-") else result.benchmark.replace("_", " "))  # fmt: skip


def _benchmark(result: ModelResult, chart: ChartMaker) -> list[Any]:
    sections = [name for name in result.sections if name != "overall"]
    parts = [("", "overall", result.overall)] if result.overall is not None else []
    parts += [("sections" if result.subsets else "", name, result.sections[name]) for name in sections]
    parts += [("subsets", name, one) for name, one in result.subsets.items() if name not in result.sections]
    if not parts:
        return [Text(f"{benchmark_title(result)}: no figures.")]
    forest = pd.DataFrame(
        [{"group": group, "label": name, "value": e.value, "ci_low": e.ci_low, "ci_high": e.ci_high} for group, name, e in parts]
    )  # fmt: skip
    return [
        chart(
            benchmark_title(result),
            lambda width: draw_forest(forest, width=width, limits=(0, 1), xlabel="accuracy", reference=0.5, reference_label="guessing between two"),
            caption=f"Accuracy with 95 % intervals, of {result.model}.",
            table=estimate_rows((f"{group}: {name}" if group else name, one) for group, name, one in parts),
        )
    ]  # fmt: skip


def _probe(name: str, figures: dict[str, Any], chart: ChartMaker) -> list[Any]:
    found = _estimates(figures)
    title = _PROBES.get(name, name)
    if not found:
        return [Text(f"{title}: no figures with an interval.")]
    blocks: list[Any] = []
    for part, names, options in (
        ("shares", [one for one in found if _is_share(one)], {"limits": (0, 1), "reference": 0.5, "xlabel": "share of comparisons"}),
        (
            "reward",
            [one for one in found if one.endswith("_per_sd")],
            {"reference": 0.0, "xlabel": "standard deviations of reward"},
        ),
    ):  # fmt: skip
        if names:
            forest = pd.DataFrame(
                [{"label": _readable(one), "value": found[one].value, "ci_low": found[one].ci_low, "ci_high": found[one].ci_high} for one in names[:40]]
            )  # fmt: skip
            blocks.append(
                chart(title if part == "shares" else f"{title}: what it pays for",
                      lambda width, forest=forest, options=options: draw_forest(forest, width=width, **options),
                      caption="95 % intervals.", table=frame_table(forest))
            )  # fmt: skip
    table = estimate_rows((_readable(one), estimate) for one, estimate in found.items())
    return [*blocks, Table(table.columns, table.rows, table.numeric, f"All figures of {title}", folded=True)]


def _is_share(path: str) -> bool:
    last = path.split(".")[-1]
    return last in _SHARES or "accuracy" in last


def _readable(path: str) -> str:
    known = {"lc_over_li": "correct over incorrect, both detailed", "sc_over_si": "correct over incorrect, both concise",
             "sc_over_li": "concise correct over detailed incorrect", "lc_over_si": "detailed correct over concise incorrect"}  # fmt: skip
    return known.get(path, path.replace("_", " ").replace(".", " · "))


def _estimates(figures: Any, path: str = "") -> dict[str, Estimate]:
    """Estimates of nested figures, by path."""
    found: dict[str, Estimate] = {}
    items = figures.items() if isinstance(figures, dict) else ()
    for name, content in items:
        place = f"{path}.{name}" if path else str(name)
        if is_estimate(content):
            found[place] = as_estimate(content)
        else:
            found |= _estimates(content, place)
    return found


def rate_rows(run: RunEvidence) -> pd.DataFrame:
    """RATE's ATE in standard deviations of reward, with the naive difference, as rows of a forest plot."""
    effects = run.rate.effects
    rows = []
    rate = effects[(effects["estimator"] == "rate") & (effects["estimand"] == "ATE")]
    several = rate["reward_model"].nunique() > 1
    for row in rate.itertuples():
        concept = str(row.attribute).replace("_", " ") + (f" · {row.dataset}" if rate["dataset"].nunique() > 1 else "")
        label = str(row.reward_model) if several else concept
        own = effects[(effects["dataset"] == row.dataset) & (effects["attribute"] == row.attribute)
                      & (effects["reward_model"] == row.reward_model) & (effects["estimator"] == "naive")]  # fmt: skip
        for series, one in [("naive difference", other) for other in own.itertuples()] + [("RATE", row)]:
            scale = "normalised" if np.isfinite(getattr(row, "normalised", np.nan)) else "raw"
            names = (
                ("normalised", "normalised_ci_low", "normalised_ci_high")
                if scale == "normalised"
                else ("value", "ci_low", "ci_high")
            )
            value, low, high = (float(getattr(one, name)) for name in names)
            rows.append({"group": concept if several else "", "label": label, "series": series, "value": value, "ci_low": low, "ci_high": high,
                         "n": int(one.n) if "n" in effects else 0, "attribute": row.attribute, "reward_model": row.reward_model})  # fmt: skip
    return pd.DataFrame(rows)


def rate_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Effects of attributes."""
    if run.rate is None:
        return [Missing("What attributes of a text cause in its reward was not measured.", run.missing["rate"])]
    rows = rate_rows(run)
    blocks: list[Any] = [Text(sentence) for sentence in run.rate.sentences[:8]]
    if len(rows):
        blocks.append(
            chart(
                "Effects of attributes on reward",
                lambda width: draw_forest(rows, width=width, reference=0.0, reference_label="no effect", xlabel="effect, in standard deviations of reward",
                                          colours={"naive difference": "#999999", "RATE": "#0072B2"}),
                caption="How much more reward a text gets because of an attribute, by rewriting it and rewriting it back. The naive "
                "difference of means also has all that goes along with the attribute.",
                table=frame_table(run.rate.effects, ("dataset", "attribute", "reward_model", "estimator", "estimand", "normalised",
                                  "normalised_ci_low", "normalised_ci_high", "n", "p_adjusted"), most=200),
            )
        )  # fmt: skip
    blocks += [Text(note, "note") for note in run.rate.notes[:8]]
    return blocks


def mismatch_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Heat maps of mismatch degrees."""
    if not run.mismatch:
        return [Missing("Whether it over-values single language models was not measured.", run.missing["mismatch"])]
    blocks: list[Any] = []
    for evidence in run.mismatch:
        if len(run.mismatch) > 1:
            blocks.append(Heading(evidence.name))
        blocks += _mismatch(evidence, chart)
    return blocks


def _mismatch(evidence: MismatchEvidence, chart: ChartMaker) -> list[Any]:
    blocks: list[Any] = []
    for when, table in evidence.tables.items():
        marked = table if "significant" in table else table.assign(**significant_pairs(table))
        marked = marked.assign(significant=marked["significant"].astype(str).str.lower().isin(("true", "1", "1.0")))
        title = "Mismatch degrees" + {"before": " before calibration", "after": " after calibration"}.get(when, "")
        columns = (
            "model",
            "reference",
            "mismatch",
            "ci_low",
            "ci_high",
            "p_adjusted",
            "win_rate",
            "expected_win_rate",
            "n",
        )
        blocks.append(
            chart(title, lambda width, marked=marked: _heat_map(marked, width),
                  caption="Rows: how much more often the reward model prefers this language model to that of the column than its rating "
                  "says. Orange: over-valued, blue: under-valued, framed: significant, all pairs taken together.",
                  table=frame_table(marked, columns, most=400))
        )  # fmt: skip
    if evidence.headline:
        columns = ("figure", "before", "after", "change", "ci_low", "ci_high", "n", "verdict")
        blocks.append(
            frame_table(pd.DataFrame(evidence.headline), columns, most=60, caption="What the calibration changed")
        )
    return blocks


def _heat_map(table: pd.DataFrame, width: float):
    """Columns are numbered: names would have to stand on their heads."""
    names = list(dict.fromkeys([*table["model"], *table["reference"]]))
    narrow, count = width < 5, len(names)
    labels = short_names(names, 14 if narrow else 30)
    beside = 0.085 * (max(map(len, labels.values())) + 4)
    cell = min(0.55, (width - beside - 0.2) / count)
    figure = new_figure(min(width, beside + cell * count + 0.3), cell * count + 0.5)
    axes = figure.subplots()
    order = draw_mismatch(table, axes, numbers=cell > 0.3, size=min(8.4, 22 * cell))
    axes.set_yticks(range(count), [f"{labels[name]}  {place}" for place, name in enumerate(order, 1)])
    axes.set_xticks(range(count), range(1, count + 1))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=min(8.2, 40 * cell))
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure
