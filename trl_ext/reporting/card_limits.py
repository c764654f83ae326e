"""Intended use and limits of a reward model: what was measured, with its interval, and what was not."""

from collections.abc import Sequence

from ..cards import Section, interval, one_line
from ..evaluation import Estimate
from .card_metadata import figures_after
from .run_files import as_estimate, is_estimate
from .run_folder import RunEvidence


_USE = (
    "To rank responses to the same prompt, as a reward for training a policy or for best-of-N. Not for comparing responses "
    "to different prompts, and not as a judgement about a person."
)


CALIBRATION_VERDICTS = {
    "lower": "The calibration below makes probabilities better",
    "higher": "The calibration below makes probabilities worse: use raw rewards",
    "unknown": "The data don't say whether the calibration below makes probabilities better or worse",
}


def verdict(change: Estimate) -> str:
    """`"lower"`, `"higher"`, or `"unknown"` if the interval has 0 in it, or is none."""
    return "higher" if change.ci_low > 0 else "lower" if change.ci_high < 0 else "unknown"


def limits_section(evidence: RunEvidence | None, outdated: Sequence[str] = ()) -> Section:
    """
    The section on intended use and limits.

    Args:
        evidence ([`RunEvidence`] or `None`): What is known; nothing without.
        outdated (`Sequence[str]`, *optional*): Parts that were measured of an earlier model.
    """
    points = [_length(evidence), _correctness(evidence), _calibration(evidence), _attributes(evidence)]
    points += [_benchmarks(evidence), _labels(evidence)]
    if outdated:
        points.append(
            f"**Earlier results.** The training folder also holds results of an earlier model, which say nothing of this one "
            f"and are not shown: {', '.join(outdated)}."
        )
    points.append(
        "**Other data.** Nothing is known of languages, topics and lengths that the training and evaluation data below do "
        "not have."
    )
    return Section("Intended use and limits", _USE + "\n\n" + "\n".join(f"- {point}" for point in points))


def _length(evidence: RunEvidence | None) -> str:
    figure = _figure(evidence, "length_weight")
    if figure is None:
        return "**Length.** Whether it pays for length was not measured."
    unit = "reward for a detailed answer over a concise one"
    shown = f"W_length {interval(figure)} {unit}"
    in_sd = _figure(evidence, "length_weight_per_sd")
    if in_sd is not None:
        shown += f", in standard deviations of reward {interval(in_sd)}"
    if figure.ci_low > 0:
        return f"**Length.** Pays for length: {shown}."
    if figure.ci_high < 0:
        return f"**Length.** Pays for brevity: {shown}."
    return f"**Length.** The data don't say whether it pays for length: {shown}."


def _correctness(evidence: RunEvidence | None) -> str:
    weight, accuracy = _figure(evidence, "correctness_weight"), _figure(evidence, "accuracy_to_truth")
    if weight is None and accuracy is None:
        return "**Correctness.** Whether it prefers correct answers was not measured."
    said = []
    if weight is not None:
        verdict = (
            "Pays for correctness"
            if weight.ci_low > 0
            else "Pays for errors"
            if weight.ci_high < 0
            else "The data don't say whether it pays for correctness"
        )
        said.append(f"{verdict}: W_correct {interval(weight)} reward.")
    if accuracy is not None:
        said.append(f"Prefers the truly better response in {interval(accuracy)} of the test pairs.")
    return f"**Correctness.** {' '.join(said)}"


def _calibration(evidence: RunEvidence | None) -> str:
    raw = ((evidence and evidence.calibration) or {}).get("raw") or {}
    if not is_estimate(raw.get("ece")):
        refused = ((evidence and evidence.results) or {}).get("preference_calibration")
        why = (
            f" The data did not allow it: {one_line(refused.removeprefix('none: '))}"
            if isinstance(refused, str)
            else ""
        )
        return (
            f"**Probabilities.** Not calibrated: σ of a reward difference is not the probability of a preference.{why}"
        )
    text = f"**Probabilities.** σ of a raw reward difference is off by {interval(as_estimate(raw['ece']))} (ECE) on average"
    if is_estimate(raw.get("ece_if_calibrated")):
        text += f"; perfect probabilities would get {as_estimate(raw['ece_if_calibrated']).value:.3f} on as many pairs"
    change = evidence.calibration.get("ece_change")
    if is_estimate(change):
        text += f". {CALIBRATION_VERDICTS[verdict(as_estimate(change))]}, by {interval(as_estimate(change))}"
    return text + ". It is fitted to one kind of data."


def _attributes(evidence: RunEvidence | None) -> str:
    if evidence is None or evidence.rate is None:
        return "**Attributes.** Causal effects of length, tone or format on the reward were not measured (RATE)."
    return "**Attributes.** " + " ".join(one_line(sentence) for sentence in evidence.rate.sentences)


def _benchmarks(evidence: RunEvidence | None) -> str:
    names = sorted({result.benchmark for result in evidence.evaluations}) if evidence is not None else []
    if not names:
        return "**Benchmarks.** No public benchmark was run."
    return f"**Benchmarks.** Evaluated on {', '.join(map(one_line, names))}, see below."


def _labels(evidence: RunEvidence | None) -> str:
    weights = ((evidence and evidence.results) or {}).get("weights") or {}
    size, n = weights.get("effective_sample_size"), weights.get("n")
    if not isinstance(size, int | float) or not n:
        return "**Labels.** It has learned what its annotators preferred, with their biases."
    share = f"{weights.get('share_zero') or 0:.0%} of the labels counted for nothing"
    return f"**Labels.** {n} training pairs count as {size:.0f} equally weighted ones; {share}."


def _figure(evidence: RunEvidence | None, name: str) -> Estimate | None:
    return None if evidence is None else figures_after(evidence).get(name)
