"""Can this reward model be trusted? The figures that matter, each with its interval and what it does and does not show."""

from collections import Counter

import numpy as np
import pandas as pd

from ...evaluation import Estimate
from ..run_files import as_estimate, is_estimate
from ..run_folder import MismatchEvidence, RunEvidence
from .blocks import Finding, Findings, interval, number
from .evaluation_sections import benchmark_title, mark_significant, rate_rows
from .model_sections import change_words
from .same_evidence import is_of_test_pairs, monitors_strangers, own_effects
from .verdicts import FEW_WRONG, SMALL_EFFECT, SMALL_MISMATCH, above, below, calibrated, near_zero


def findings(run: RunEvidence, name: str) -> Findings:
    """
    What is known of a run, question by question. The rule of each verdict stands in docs/report.md.

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
    return Findings(name, _lead(Counter(row.verdict for row in rows)), tuple(rows))


def _lead(counts: Counter) -> str:
    judged = counts["good"] + counts["bad"] + counts["open"]
    if not judged:
        text = "Nothing was measured that has a verdict"
    else:
        text = f"Of {judged} measured figures with a rule, {counts['good']} in favour, {counts['bad']} against, {counts['open']} open"
    others = [f"{counts[kind]} {words}" for kind, words in (("told", "for you to judge"), ("none", "not measured")) if counts[kind]]  # fmt: skip
    return "; ".join([text, *others]) + "."


def _unmeasured(question: str, words: str, section: str) -> list[Finding]:
    return [Finding(question, "", "", "none", words, section)]


def _finding(
    question: str, figure: Estimate, verdict: str, words: str, section: str, digits: int = 2, percent: bool = False
) -> Finding:
    if percent:
        shown = number(100 * figure.value, 0) + " %"
        return Finding(
            question, shown, interval(100 * figure.ci_low, 100 * figure.ci_high, 0), verdict, words, section
        )
    shown = interval(figure.ci_low, figure.ci_high, digits)
    return Finding(question, number(figure.value, digits), shown, verdict, words, section)


def _accuracy(run: RunEvidence) -> list[Finding]:
    question = "Does it prefer the better response?"
    for name, what in (("truth", "the truth"), ("labels", "the labels")):
        figure = run.figures.get(f"after_accuracy_to_{name}")
        if figure is not None:
            verdict = above(figure, 0.5)
            words = {"good": f"better than guessing, on {figure.n:,} held-out pairs, measured against {what}",
                     "bad": f"worse than guessing, on {figure.n:,} held-out pairs, measured against {what}",
                     "open": f"{figure.n:,} held-out pairs do not tell it from guessing"}[verdict]  # fmt: skip
            return [_finding(question, figure, verdict, words, "learned")]
    return _unmeasured(question, "not measured on held-out pairs", "learned")


def _benchmarks(run: RunEvidence) -> list[Finding]:
    question = "Does it do so on benchmarks?"
    found, repeated = [], []
    for result in run.evaluations:
        if is_of_test_pairs(result, run):
            repeated.append(benchmark_title(result))
        elif result.overall is not None:
            verdict = above(result.overall, 0.5)
            words = {"good": "above one half", "bad": "below one half", "open": "not told from one half"}[verdict]
            found.append(_finding(question, result.overall, verdict, f"{benchmark_title(result)}: {words}", "evaluation"))  # fmt: skip
    if repeated and not found:
        words = f"no benchmark was run: {', '.join(repeated)} are the held-out pairs again, which count once"
        return _unmeasured(question, words, "evaluation")
    return found or _unmeasured(question, "no benchmark was run", "evaluation")


def _length(run: RunEvidence) -> list[Finding]:
    length, correct = (run.figures.get(f"after_{name}_weight_per_sd") for name in ("length", "correctness"))
    question = "Does it pay for length?"
    if length is None:
        words = "needs test pairs with right and wrong, concise and detailed answers"
        return _unmeasured(question, words, "learned")
    verdict = near_zero(length, SMALL_EFFECT)
    likes = "likes" if length.value > 0 else "dislikes"
    words = "sd of reward for a detailed answer: " + {
        "good": f"hardly, all of the interval is within ±{SMALL_EFFECT:g}",
        "bad": f"it {likes} length",
        "open": "neither told from nothing nor shown to be small",
    }[verdict]  # fmt: skip
    if correct is not None and np.isfinite(correct.value):
        words += f"; a correct answer earns {number(correct.value)}"
    return [_finding(question, length, verdict, words, "learned")]


def _attributes(run: RunEvidence) -> list[Finding]:
    question = "Do attributes of a text cause reward?"
    if run.rate is None:
        return _unmeasured(question, "no causal audit was run", "rate")
    rows = rate_rows(run)
    rows = rows[rows["series"] == "RATE"] if len(rows) else rows
    if rows.empty:
        return _unmeasured(question, "the audit has no effects", "rate")
    own = own_effects(rows, run)
    if own.empty:
        names = ", ".join(dict.fromkeys(map(str, rows["reward_model"])))
        return _unmeasured(question, f"the audit is of other reward models: {names}", "rate")
    clear = own[own["told"]]
    top = (clear if len(clear) else own).assign(size=lambda table: table["value"].abs()).nlargest(1, "size")
    if top.empty:
        return _unmeasured(question, "the audit has no effects with a figure", "rate")
    top = top.iloc[0]
    figure = Estimate(top["value"], np.nan, top["ci_low"], top["ci_high"], int(top["n"]), "")
    what = f"sd of reward for {str(top['attribute']).replace('_', ' ')}"
    if len(own) == 1:
        words = f"{what}, the only attribute of the audit: " + ("told from 0" if len(clear) else "not told from 0")
    elif len(clear):
        words = f"{what}, the largest of {len(clear)} effects that are told from 0, of {len(own)}"
    else:
        words = f"{what}, the largest of {len(own)}; none is told from 0"
    if len(own) < len(rows):
        words += f" (of {own['reward_model'].iloc[0]}; others of the audit are not this model)"
    return [_finding(question, figure, "told", words, "rate")]


def _calibration(run: RunEvidence) -> list[Finding]:
    question = "Can its probabilities be believed?"
    if run.calibration is None:
        last = next((row for row in reversed(run.calibration_history or []) if is_estimate(row.get("ece"))), None)
        if last is None:
            return _unmeasured(question, "calibration was not measured", "calibration")
        words = f"calibration error at step {last['step']:,} of the training; what perfect calibration would show was not recorded"
        return [_finding(question, as_estimate(last["ece"]), "open", words, "training", 3)]
    report = run.calibration["calibrated"]
    ece, raw = as_estimate(report["ece"]), as_estimate(run.calibration["raw"]["ece"])
    perfect, bias = (as_estimate(report[name]) if is_estimate(report.get(name)) else None for name in ("ece_if_calibrated", "bias"))  # fmt: skip
    verdict = calibrated(ece, perfect, bias)
    words = f"calibration error: {verdict.words}. Raw rewards: {number(raw.value)}"
    change = run.calibration.get("ece_change")
    if isinstance(change, dict):
        words += f"; {change_words(as_estimate(change)).lower()}"
    return [_finding(question, ece, verdict.kind, words, "calibration", 3)]


def _annotators(run: RunEvidence) -> list[Finding]:
    question = "Are the annotators reliable?"
    strangers = monitors_strangers(run)
    if run.monitoring is not None and run.monitoring.summary.get("pooled_eta") and not strangers:
        summary = run.monitoring.summary
        pooled, decisions = as_estimate(summary["pooled_eta"]), summary.get("decisions") or {}
        standard = ((summary.get("provenance") or {}).get("config") or {}).get("eta0")
        if not isinstance(standard, int | float):
            return [_finding(question, pooled, "told", "commitment of all; no standard is recorded", "annotators")]
        verdict = above(pooled, standard)
        words = {"good": "above", "bad": "below", "open": "not told from"}[verdict]
        words = f"commitment of all, {words} the standard of {standard:g}"
        if decisions:
            counts = ", ".join(f"{count} {name}" for name, count in decisions.items())
            words += f"; each by itself, corrected for their number: {counts}"
        return [_finding(question, pooled, verdict, words, "annotators")]
    learned = (run.results or {}).get("annotators")
    if learned and learned.get("table"):
        table = pd.DataFrame(learned["table"])
        value = next((name for name in ("eta", "value") if name in table), None)
        if value is not None:
            words = f"median commitment of {len(table)} annotators, as learned in training; the least: {number(float(table[value].min()), 2)}"
            return [Finding(question, number(float(table[value].median()), 2), "", "told", words, "annotators")]
    if strangers:
        return _unmeasured(question, f"{strangers}: it says nothing of this run", "annotators")
    return _unmeasured(question, "nobody checked them", "annotators")


def _labels(run: RunEvidence) -> list[Finding]:
    question = "Are the training labels right?"
    if run.mislabels is not None:
        figures = run.mislabels.summary.get("figures") or {}
        expected = as_estimate(figures["wrong_labels"]) if is_estimate(figures.get("wrong_labels")) else None
        if is_estimate(figures.get("true_wrong_share")):
            truth = as_estimate(figures["true_wrong_share"])
            words = f"of {truth.n:,} training labels are wrong, by the truth that the data have"
            if expected is not None:
                found = f"{number(expected.value, 0)} {interval(expected.ci_low, expected.ci_high, 0)}"
                wrong = truth.value * truth.n
                missed = not expected.ci_low <= wrong <= expected.ci_high
                words += f" ({wrong:,.0f}); without it, {found} were expected" + (", which misses it" if missed else "")  # fmt: skip
            return [_finding(question, truth, below(truth, FEW_WRONG), words, "mislabels", percent=True)]
        if expected is not None:
            n = max(expected.n, 1)
            share = Estimate(expected.value / n, expected.se / n, expected.ci_low / n, expected.ci_high / n, expected.n, expected.method)  # fmt: skip
            words = f"of {expected.n:,} training labels are expected to be wrong, mistakes that annotators share not counted; the most suspicious are listed"
            return [_finding(question, share, below(share, FEW_WRONG), words, "mislabels", percent=True)]
        words = f"{len(run.mislabels.pairs):,} pairs are ranked by suspicion; how many are wrong was not estimated"
        return _unmeasured(question, words, "mislabels")
    health = run.data_health
    if health is not None and health["contradicted_pairs"]:
        share = health["contradicted_pairs"] / max(health["distinct_pairs"], 1)
        words = f"of {health['distinct_pairs']:,} distinct pairs have labels that contradict one another; mislabels were not searched for"
        return [Finding(question, f"{100 * share:.0f} %", "", "told", words, "data")]
    return _unmeasured(question, "mislabels were not searched for", "mislabels")


def _mismatch(run: RunEvidence) -> list[Finding]:
    question = "Does it over-value single language models?"
    if not run.mismatch:
        return _unmeasured(question, "not compared with published ratings", "mismatch")
    return [one for evidence in run.mismatch for one in _one_mismatch(question, evidence, len(run.mismatch) > 1)]


def _one_mismatch(question: str, evidence: MismatchEvidence, several: bool) -> list[Finding]:
    """The most certain pair decides: of significant ones the largest; all have to be small for a verdict in favour."""
    table = evidence.tables.get("after", next(iter(evidence.tables.values())))
    table = mark_significant(table)
    known = table[np.isfinite(table[["mismatch", "ci_low", "ci_high"]].to_numpy(dtype=float)).all(axis=1)]
    prefix = f"{evidence.name}: " if several else ""
    if known.empty:
        return _unmeasured(question, f"{prefix}no pair of models has a figure with an interval", "mismatch")
    significant = known[known["significant"]]
    small = len(known) == len(table) and bool((known[["ci_low", "ci_high"]].abs() <= SMALL_MISMATCH).all(axis=None))
    verdict = "good" if small else "bad" if len(significant) else "open"
    pool = significant if verdict == "bad" else known
    top = pool.loc[pool["mismatch"].abs().idxmax()]
    if top["mismatch"] < 0 and ((known["model"] == top["reference"]) & (known["reference"] == top["model"])).any():
        top = known[(known["model"] == top["reference"]) & (known["reference"] == top["model"])].iloc[0]
    pairs, clear = (len({frozenset(pair) for pair in zip(one["model"], one["reference"], strict=True)}) for one in (known, significant))  # fmt: skip
    what = {"good": f"all intervals are within ±{SMALL_MISMATCH:g}", "bad": "all pairs taken together",
            "open": "none is significant, not all are shown to be small"}[verdict]  # fmt: skip
    which = (
        f"the largest of {clear} significant ones, of {pairs} pairs"
        if verdict == "bad"
        else f"the largest of {pairs} pairs"
    )
    words = f"{prefix}{top['model']} against {top['reference']}, {which}"
    figure = Estimate(float(top["mismatch"]), np.nan, float(top["ci_low"]), float(top["ci_high"]), len(known), "")
    return [_finding(question, figure, verdict, f"{words}; {what}", "mismatch")]


def _reload(run: RunEvidence) -> list[Finding]:
    trip = (run.results or {}).get("round_trip")
    question = "Does the saved model give the same rewards?"
    if not trip:
        return _unmeasured(question, "the saved model was not loaded again", "provenance")
    words = f"largest difference of {trip['rows']} rewards after loading it again; {float(trip['tolerance']):.0e} is allowed"
    verdict = "good" if float(trip["max_difference"]) <= float(trip["tolerance"]) else "bad"
    shown = f"{float(trip['max_difference']):.0e}".replace("-", "−")
    return [Finding(question, shown, "", verdict, words.replace("e-", "e−"), "provenance")]
