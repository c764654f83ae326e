"""Can this reward model be trusted? The figures that matter, each with its interval and what it does and does not show."""

import numpy as np
import pandas as pd

from ...evaluation import Estimate
from ..run_files import as_estimate, is_estimate
from ..run_folder import RunEvidence
from .blocks import Finding, Findings, interval, number
from .evaluation_sections import benchmark_title, rate_rows
from .model_sections import change_words


def findings(run: RunEvidence, name: str) -> Findings:
    """
    What is known of a run, question by question. A verdict is `good` or `bad` only if the interval says so.

    Args:
        run ([`RunEvidence`]): The evidence.
        name (`str`): What the run is called.
    """
    rows = [
        *_accuracy(run),
        *_benchmarks(run),
        *_length(run),
        *_attributes(run),
        *_calibration(run),
        *_annotators(run),
        *_labels(run),
        *_mismatch(run),
        *_reload(run),
    ]
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in ("good", "bad", "open")}
    lead = (
        f"{counts['good']} of {len(rows)} questions are answered in its favour, {counts['bad']} against it, "
        f"{counts['open']} are open."
    )
    return Findings(name, lead, tuple(rows))


def _finding(
    question: str, figure: Estimate | None, verdict: str, words: str, section: str, digits: int = 2
) -> Finding:
    if figure is None:
        return Finding(question, "", "", verdict, words, section)
    return Finding(
        question,
        number(figure.value, digits),
        interval(figure.ci_low, figure.ci_high, digits),
        verdict,
        words,
        section,
    )


def _against(figure: Estimate, reference: float, above: str, below: str, between: str) -> tuple[str, str]:
    if figure.ci_low > reference:
        return "good", above
    if figure.ci_high < reference:
        return "bad", below
    return "open", between


def _accuracy(run: RunEvidence) -> list[Finding]:
    question = "Does it prefer the better response?"
    for name, what in (("truth", "the truth"), ("labels", "the labels")):
        figure = run.figures.get(f"after_accuracy_to_{name}")
        if figure is not None:
            words = (f"better than guessing, on {figure.n:,} held-out pairs, measured against {what}", "worse than guessing",
                     f"{figure.n:,} held-out pairs do not tell it from guessing")  # fmt: skip
            return [_finding(question, figure, *_against(figure, 0.5, *words), "learned")]
    return [_finding(question, None, "open", "not measured on held-out pairs", "learned")]


def _benchmarks(run: RunEvidence) -> list[Finding]:
    question = "Does it do so on benchmarks?"
    found = []
    for result in run.evaluations:
        if result.overall is not None:
            words = (f"{benchmark_title(result)}: above one half", f"{benchmark_title(result)}: below one half",
                     f"{benchmark_title(result)}: not told from one half")  # fmt: skip
            found.append(_finding(question, result.overall, *_against(result.overall, 0.5, *words), "evaluation"))
    return found or [_finding(question, None, "open", "no benchmark was run", "evaluation")]


def _length(run: RunEvidence) -> list[Finding]:
    length, correct = (run.figures.get(f"after_{name}_weight_per_sd") for name in ("length", "correctness"))
    question = "Does it pay for length?"
    if length is None:
        return [_finding(question, None, "open", "not measured: needs test pairs with right and wrong, concise and detailed answers", "learned")]  # fmt: skip
    if length.ci_low > 0:
        verdict, words = "bad", "sd of reward for a detailed answer: it likes length"
        if correct is not None and np.isfinite(correct.value):
            words += f"; a correct answer earns {number(correct.value)}"
    elif length.ci_high < 0:
        verdict, words = "bad", "sd of reward for a detailed answer: it dislikes length"
    else:
        verdict, words = (
            "open",
            "sd of reward for a detailed answer: not told from nothing, which is no proof of nothing",
        )
    return [_finding(question, length, verdict, words, "learned")]


def _attributes(run: RunEvidence) -> list[Finding]:
    question = "Do attributes of a text cause reward?"
    if run.rate is None:
        return [_finding(question, None, "open", "no causal audit was run", "rate")]
    rows = rate_rows(run)
    rows = rows[rows["series"] == "RATE"] if len(rows) else rows
    if rows.empty:
        return [_finding(question, None, "open", "the audit has no effects", "rate")]
    clear = rows[(rows["ci_low"] > 0) | (rows["ci_high"] < 0)]
    top = (clear if len(clear) else rows).assign(size=lambda table: table["value"].abs()).nlargest(1, "size").iloc[0]
    figure = Estimate(top["value"], np.nan, top["ci_low"], top["ci_high"], int(top["n"]), "")
    what = str(top["attribute"]).replace("_", " ")
    if len(clear):
        words = f"sd of reward for {what}, the largest of {len(clear)} clear effects among {len(rows)}; whether that is wanted is yours to say"
        return [_finding(question, figure, "open", words, "rate")]
    return [
        _finding(
            question,
            figure,
            "open",
            f"sd of reward for {what}, the largest of {len(rows)}; none is told from 0",
            "rate",
        )
    ]


def _calibration(run: RunEvidence) -> list[Finding]:
    question = "Can its probabilities be believed?"
    if run.calibration is None:
        return [_finding(question, None, "open", "calibration was not measured", "calibration")]
    ece = as_estimate(run.calibration["calibrated"]["ece"])
    raw = as_estimate(run.calibration["raw"]["ece"])
    words = f"calibration error; raw rewards: {number(raw.value)}"
    verdict = "open"
    change = run.calibration.get("ece_change")
    if isinstance(change, dict):
        estimate = as_estimate(change)
        words += f". {change_words(estimate)}"
        verdict = "good" if estimate.ci_high < 0 else "bad" if estimate.ci_low > 0 else "open"
    return [_finding(question, ece, verdict, words, "calibration", 3)]


def _annotators(run: RunEvidence) -> list[Finding]:
    question = "Are the annotators reliable?"
    if run.monitoring is not None and run.monitoring.summary.get("pooled_eta"):
        pooled = as_estimate(run.monitoring.summary["pooled_eta"])
        decisions = run.monitoring.summary.get("decisions") or {}
        below, total = decisions.get("below", 0), sum(decisions.values())
        words = f"commitment of all; of {total} annotators {decisions.get('above', 0)} above the standard, {below} below it"
        verdict = "bad" if below else "good" if total and decisions.get("above") == total else "open"
        return [_finding(question, pooled, verdict, words, "annotators")]
    learned = (run.results or {}).get("annotators")
    if learned and learned.get("table"):
        table = pd.DataFrame(learned["table"])
        value = next((name for name in ("eta", "value") if name in table), None)
        if value is not None:
            words = f"median commitment of {len(table)} annotators, as learned in training; the least: {number(float(table[value].min()), 2)}"
            return [Finding(question, number(float(table[value].median()), 2), "", "open", words, "annotators")]
    return [_finding(question, None, "open", "nobody checked them", "annotators")]


def _labels(run: RunEvidence) -> list[Finding]:
    question = "Are the training labels right?"
    if run.mislabels is not None:
        expected = (run.mislabels.summary.get("figures") or {}).get("wrong_labels")
        if is_estimate(expected):
            figure = as_estimate(expected)
            words = (
                f"of {figure.n:,} training labels are expected to be wrong, mistakes that annotators share not counted; the "
                "most suspicious are listed"
            )
            return [_finding(question, figure, "bad" if figure.ci_low >= 1 else "open", words, "mislabels", 0)]
        words = f"{len(run.mislabels.pairs):,} pairs are ranked by suspicion: look at the top of the list"
        return [_finding(question, None, "open", words, "mislabels")]
    health = run.data_health
    if health is not None and health["contradicted_pairs"]:
        share = health["contradicted_pairs"] / max(health["distinct_pairs"], 1)
        words = f"of {health['distinct_pairs']:,} distinct pairs have labels that contradict one another; mislabels were not searched for"
        return [Finding(question, f"{share:.0%}", "", "open", words, "data")]
    return [_finding(question, None, "open", "mislabels were not searched for", "mislabels")]


def _mismatch(run: RunEvidence) -> list[Finding]:
    question = "Does it over-value single language models?"
    if not run.mismatch:
        return [_finding(question, None, "open", "not compared with published ratings", "mismatch")]
    tables = run.mismatch[0].tables
    table = tables.get("after", next(iter(tables.values())))
    size = float(table["mismatch"].abs().mean())
    significant = table["significant"].astype(str).str.lower().isin(("true", "1")) if "significant" in table else None
    count = 0 if significant is None else int(significant.sum())
    words = f"mean size of the mismatch of {len(table) // 2} pairs of models; significant, all taken together: {count // 2}"
    return [Finding(question, number(size, 2), "", "bad" if count else "open", words, "mismatch")]


def _reload(run: RunEvidence) -> list[Finding]:
    trip = (run.results or {}).get("round_trip")
    question = "Does the saved model give the same rewards?"
    if not trip:
        return [_finding(question, None, "open", "the saved model was not loaded again", "provenance")]
    words = f"largest difference of {trip['rows']} rewards after loading it again"
    verdict = "good" if float(trip["max_difference"]) <= float(trip["tolerance"]) else "bad"
    return [
        Finding(question, f"{float(trip['max_difference']):.0e}".replace("-", "−"), "", verdict, words, "provenance")
    ]
