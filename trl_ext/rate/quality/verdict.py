"""What the figures on rewrites say: a verdict, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...data.checks import counted
from ..attributes.attribute import Attribute
from .compliance import Compliance
from .exclusions import Selection
from .feature_drift import FeatureDrift


_FEW_UNITS = 10
GOOD, DOUBTFUL, BAD = "good", "doubtful", "bad"
# What is found is a level and a sentence
Finding = tuple[str, str]


@dataclass(frozen=True)
class Limits:
    """
    From where on something is doubtful, or bad.

    Args:
        compliance (`tuple[float, float]`): Share of flipped rewrites of a step and direction, below.
        unknown (`tuple[float, float]`): Share of rewrites of which the classifier says nothing, above.
        excluded (`tuple[float, float]`): Share of rows left out, above.
        drift (`tuple[float, float]`): Off-target drift in standard deviations, from. Less than the first is not flagged.
            Whether it biases effects depends on what a reward model pays for, so that the second is far.
        disagreement (`tuple[float, float]`): Share of originals whose `w` the classifier denies, above.
    """

    compliance: tuple[float, float] = (0.9, 0.7)
    unknown: tuple[float, float] = (0.1, 0.5)
    excluded: tuple[float, float] = (0.05, 0.2)
    drift: tuple[float, float] = (0.1, 3.0)
    disagreement: tuple[float, float] = (0.1, 0.3)

    def __post_init__(self):
        for name, (first, second) in self.__dict__.items():
            right = 0 <= second <= first <= 1 if name == "compliance" else 0 <= first <= second
            if not right:
                order = "falling, in [0, 1]" if name == "compliance" else "at least 0 and rising"
                raise ValueError(f"limits of {name} must be {order} (doubtful, bad), got {(first, second)}")


def summarise(found: Sequence[Finding]) -> tuple[str, tuple[str, ...]]:
    """The worst level of all findings, and their sentences, the worst in front."""
    found = sorted(found, key=lambda part: (BAD, DOUBTFUL).index(part[0]))
    return (found[0][0] if found else GOOD), tuple(text for _, text in found)


def _level(value: float, limits: tuple[float, float]) -> str | None:
    return BAD if value > limits[1] else DOUBTFUL if value > limits[0] else None


def judge_exclusions(keep: np.ndarray, limits: Limits) -> list[Finding]:
    """Too many rows are left out."""
    share = float(1 - keep.mean())
    level = BAD if not keep.any() else _level(share, limits.excluded)
    return [(level, f"{share:.1%} of the rows are left out ({int((~keep).sum())} of {len(keep)}).")] if level else []


def judge_selection(selection: Selection, level: float) -> list[Finding]:
    """Rows are left out more often on one side."""
    if selection.p_value is None or selection.p_value >= 1 - level:
        return []
    shares = f"{selection.w_1.value:.1%} of those with the attribute, {selection.w_0.value:.1%} of those without"
    return [
        (
            DOUBTFUL,
            f"Rows are left out selectively: {shares} (p = {selection.p_value:.2g}). Effects are those among the texts that "
            "are left, which differ from all texts.",
        )
    ]


def judge_compliance(compliance: Sequence[Compliance], attribute: Attribute | None, limits: Limits) -> list[Finding]:
    """Rewrites have not flipped, or it is not known."""
    if not compliance:
        if attribute is None or attribute.classifier is None:
            return [(DOUBTFUL, "Compliance is not known: there is no classifier of the attribute.")]
        return []
    found = []
    for part in compliance:
        total = part.known + part.unknown
        level = _level(part.unknown / total, limits.unknown)
        if level and part.target is None:
            found.append((level, f"The classifier says nothing of {part.unknown} of {total} texts: {part.step}."))
        if part.share is None:
            continue
        share = part.share.value
        if part.step == "original":
            level = _level(1 - share, limits.disagreement) if part.target is None else None
            if level:
                found.append((level, f"The classifier denies w of {1 - share:.1%} of the originals."))
        elif part.target is not None:
            low, lowest = limits.compliance
            level = BAD if share < lowest else DOUBTFUL if share < low else None
            if level:
                side = "into" if part.target else "out of"
                found.append(
                    (
                        level,
                        f"Only {share:.1%} of the rewrites {side} the attribute have flipped ({part.complied} of "
                        f"{part.known}, {part.step}): effects are too small. Correct for compliance.",
                    )
                )
    return found


_BIASED = {
    "asymmetry": "it differs between directions, which biases the ATE",
    "asymmetry_w_1": "the second rewrite of texts with the attribute changes it, which biases the ATT",
    "asymmetry_w_0": "the second rewrite of texts without the attribute changes it, which biases the ATU",
    "repetition": "a second rewrite goes on changing it: the first does not wash it out",
}


def judge_drift(drift: Sequence[FeatureDrift], steps: int, units: int, limits: Limits) -> list[Finding]:
    """Off-target features drift, or it is not known; `units` is the number of prompts, or of rows where these are apart."""
    if drift and steps < 2:
        return [(DOUBTFUL, "Off-target drift is not known: it needs two rewrites of every text.")]
    found = []
    if drift and units < _FEW_UNITS:
        found.append(
            (DOUBTFUL, f"Off-target drift can hardly be tested: the texts are of {units} prompts or other clusters.")
        )
    for part in sorted(drift, key=lambda part: -part.worst):
        if part.flags:
            details = "; ".join(f"{_BIASED[test]} ({part.standardised(test):+.2f} sd)" for test in part.flags)
            level = BAD if part.worst >= limits.drift[1] else DOUBTFUL
            found.append((level, f"Off-target drift of {part.feature}: {details}."))
    if missing := [part for part in drift if part.missing]:
        worst = max(missing, key=lambda part: part.missing)
        found.append((DOUBTFUL, f"{counted(worst.missing, 'row')} without {worst.feature}: not in its drift."))
    return found
