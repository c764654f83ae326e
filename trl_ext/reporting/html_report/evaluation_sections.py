"""Sections about outside evidence: benchmarks, LIE and other probes, effects of attributes, mismatch with ratings."""

from typing import Any

import numpy as np
import pandas as pd

from ...arena import significant_pairs
from ...evaluation import Estimate, ModelResult
from ..figures import add_legend, new_figure
from ..forest import draw_forest
from ..mismatch_figures import draw_mismatch, mismatch_colours
from ..model_names import short_names, text_width
from ..run_files import as_estimate, is_estimate
from ..run_folder import MismatchEvidence, RunEvidence
from .blocks import ChartMaker, Heading, Missing, Table, Text, estimate_rows, frame_table
from .same_evidence import is_of_test_pairs, own_effects


# Figures with names of their own, in probes and in results of a training
TITLES = {
    "accuracy_to_labels": "accuracy to the labels",
    "accuracy_to_truth": "accuracy to the truth",
    "oracle_accuracy": "accuracy to the oracle",
    "correct_over_incorrect": "right answer over wrong one",
    "lc_over_li": "right over wrong, both detailed",
    "sc_over_si": "right over wrong, both concise",
    "lc_over_si": "right one detailed, wrong concise",
    "sc_over_li": "right one concise, wrong detailed",
    "correctness_weight": "reward for being correct (W_correct)",
    "length_weight": "reward for being detailed (W_length)",
    "correctness_weight_per_sd": "reward for being correct (W_correct), in sd",
    "length_weight_per_sd": "reward for being detailed (W_length), in sd",
    "ratio": "W_length over W_correct",
}
BENCHMARKS = {"rewardbench": "RewardBench", "rewardbench2": "RewardBench 2", "rm_bench": "RM-Bench"}
_PROBES = {"lie": "LIE test set", "true": "TRUE", "rm_bench": "RM-Bench", "attribute_bias": "Attribute biases"}
_MOST = 40  # rows of a chart
_MOST_SENTENCES = 12
_MOST_MODELS = 12  # of a heat map on a phone
_SHARES = ("lc_over_li", "sc_over_si", "sc_over_li", "lc_over_si", "correct_over_incorrect", "accuracy", "average", "hard",
           "normal", "easy", "auc")  # fmt: skip


def evaluation_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Benchmarks and probes."""
    blocks: list[Any] = []
    for result in run.evaluations:
        if is_of_test_pairs(result, run):
            blocks.append(Text(f"{benchmark_title(result)} are the held-out pairs of “What it learned” again: one measurement, no second one."))  # fmt: skip
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
                [{"label": _readable(one), "value": found[one].value, "ci_low": found[one].ci_low, "ci_high": found[one].ci_high} for one in names[:_MOST]]
            )  # fmt: skip
            blocks.append(
                chart(title if part == "shares" else f"{title}: what it pays for",
                      lambda width, forest=forest, options=options: draw_forest(forest, width=width, **options),
                      caption="95 % intervals." + (f" The first {_MOST} of {len(names)}; all are in the table below." if len(names) > _MOST else ""),
                      table=frame_table(forest, most=_MOST))
            )  # fmt: skip
    table = estimate_rows((_readable(one), estimate) for one, estimate in found.items())
    return [*blocks, Table(table.columns, table.rows, table.numeric, f"All figures of {title}", folded=True)]


def _is_share(path: str) -> bool:
    last = path.split(".")[-1]
    return last in _SHARES or "accuracy" in last


def _readable(path: str) -> str:
    return " · ".join(TITLES.get(part, part.replace("_", " ")) for part in path.split("."))


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
    """
    RATE's ATE in standard deviations of reward, with the naive difference, as rows of a forest plot.

    `told`: whether it is told from 0, by the p-value that the audit has corrected for its number of effects.
    """
    effects = run.rate.effects
    level = float(run.rate.settings.get("level") or 0.95)
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
            adjusted = float(getattr(one, "p_adjusted", np.nan) if "p_adjusted" in effects else np.nan)
            told = adjusted <= 1 - level if np.isfinite(adjusted) else low > 0 or high < 0
            rows.append({"group": concept if several else "", "label": label, "series": series, "value": value, "ci_low": low, "ci_high": high,
                         "n": int(one.n) if "n" in effects else 0, "attribute": row.attribute, "reward_model": row.reward_model, "told": told})  # fmt: skip
    return pd.DataFrame(rows)


def rate_blocks(run: RunEvidence, chart: ChartMaker) -> list[Any]:
    """Effects of attributes."""
    if run.rate is None:
        return [Missing("What attributes of a text cause in its reward was not measured.", run.missing["rate"])]
    rows = rate_rows(run)
    blocks: list[Any] = [Text(sentence) for sentence in run.rate.sentences[:_MOST_SENTENCES]]
    left = len(run.rate.sentences) - _MOST_SENTENCES
    if left > 0:
        blocks.append(Text(f"{left} more sentences are in effects.json; all effects are in the figure.", "note"))
    if len(rows):
        own, models = own_effects(rows, run), list(dict.fromkeys(map(str, rows["reward_model"])))
        others = [name for name in models if name not in set(own["reward_model"].astype(str))]
        if own.empty:
            blocks.append(Text(f"The audit is of {', '.join(models)}, none of which is known to be this run."))
        elif others:
            blocks.append(Text(f"This run is {own['reward_model'].iloc[0]}; for comparison: {', '.join(others)}."))
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
    blocks += [Text(note, "note") for note in run.rate.notes]
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
    largest = max(
        (
            float(table["mismatch"].abs().max())
            for table in evidence.tables.values()
            if table["mismatch"].notna().any()
        ),
        default=0.05,
    )
    largest = max(largest, 0.05)  # one scale: shades before and after mean the same
    for when, table in evidence.tables.items():
        marked = mark_significant(table)
        models = len({*marked["model"], *marked["reference"]})
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
            chart(title, lambda width, marked=marked: _heat_map(marked, width, largest),
                  caption="Rows: how much more often the reward model prefers this language model to that of the column than its rating "
                  "says. Orange: over-valued, blue: under-valued, framed: significant, all pairs taken together."
                  + (" Shades mean the same before and after." if len(evidence.tables) > 1 else "")
                  + (f" On a phone, the {_MOST_MODELS} of {models} models that are furthest from 0." if models > _MOST_MODELS else ""),
                  table=frame_table(marked, columns, most=400))
        )  # fmt: skip
    if evidence.headline:
        columns = ("figure", "before", "after", "change", "ci_low", "ci_high", "n", "verdict")
        blocks.append(
            frame_table(pd.DataFrame(evidence.headline), columns, most=60, caption="What the calibration changed")
        )
    return blocks


def mark_significant(table: pd.DataFrame) -> pd.DataFrame:
    """A table of mismatch degrees with the column `significant`, of pairs all taken together, as truth values."""
    marked = table if "significant" in table else table.assign(**significant_pairs(table))
    return marked.assign(significant=marked["significant"].astype(str).str.lower().isin(("true", "1", "1.0")))


def _heat_map(table: pd.DataFrame, width: float, largest: float):
    """Columns are numbered: names would have to stand on their heads."""
    from matplotlib.patches import Patch

    narrow = width < 5
    if narrow:
        table = _furthest(table, _MOST_MODELS)
    names = list(dict.fromkeys([*table["model"], *table["reference"]]))
    count = len(names)
    labels = _row_names(names, 14 if narrow else 30)
    beside = 0.08 * (max(map(text_width, labels.values())) + 4)
    cell = min(0.55, (width - beside - 0.2) / count)
    figure = new_figure(min(width, max(beside + cell * count + 0.3, 3.4)), cell * count + 0.8)
    axes = figure.subplots()
    order = draw_mismatch(table, axes, numbers=cell > 0.3, size=min(8.4, 22 * cell), largest=largest)
    axes.set_yticks(range(count), [f"{labels[name]}  {place}" for place, name in enumerate(order, 1)])
    axes.set_xticks(range(count), range(1, count + 1))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelsize=min(8.2, 40 * cell))
    for spine in axes.spines.values():
        spine.set_visible(False)
    shades = [
        Patch(facecolor=colour, alpha=opacity, label=text) for text, (colour, opacity) in mismatch_colours(largest)
    ]
    add_legend(figure, shades, max_columns=4)
    return figure


def _furthest(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """The pairs of the models whose mean mismatch is furthest from 0."""
    means = table.groupby("model")["mismatch"].mean().abs().sort_values(ascending=False, kind="stable")
    if len(means) <= most:
        return table
    kept = means.index[:most]
    return table[table["model"].isin(kept) & table["reference"].isin(kept)]


def _row_names(names: list[str], width: int) -> dict[str, str]:
    """Names of models that fit beside a heat map, wide letters counted as such; their numbers tell equal ones apart."""
    short = {}
    for name in names:
        text, size = " ".join(name.split()), width
        while size > 5 and text_width(short_names([text], size)[text]) > width:
            size -= 1
        short[name] = short_names([text], size)[text]
    return short
