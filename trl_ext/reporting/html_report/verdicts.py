"""When a figure speaks for a reward model, and when against it. The rules are those of docs/report.md."""

from dataclasses import dataclass

import numpy as np

from ...evaluation import Estimate


# Nominal standards: what is small enough to be in favour. Readers with others have the intervals.
CALIBRATED = 0.05  # calibration error
SMALL_EFFECT = 0.2  # standard deviations of reward: Cohen's small effect
FEW_WRONG = 0.1  # share of wrong training labels
SMALL_MISMATCH = 0.1  # win rate minus that of the ratings

# What a verdict is called. `told` and `none` are no verdicts: nobody can say whether the figure is good, or there is none
WORDS = {
    "good": "in favour",
    "bad": "against",
    "open": "open",
    "told": "for you to judge",
    "none": "not measured",
}
MARKS = {"good": "✓", "bad": "!", "open": "?", "told": "i", "none": "–"}


@dataclass(frozen=True)
class Verdict:
    """A verdict and the rule's words for it."""

    kind: str
    words: str


def above(figure: Estimate, reference: float) -> str:
    """In favour if the interval lies above a reference, against if below it."""
    if figure.ci_low > reference:
        return "good"
    return "bad" if figure.ci_high < reference else "open"


def below(figure: Estimate, reference: float) -> str:
    """In favour if the interval lies below a reference, against if above it."""
    return {"good": "bad", "bad": "good", "open": "open"}[above(figure, reference)]


def near_zero(figure: Estimate, tolerance: float) -> str:
    """In favour if the whole interval is within the tolerance of 0; else against if it excludes 0."""
    if -tolerance <= figure.ci_low and figure.ci_high <= tolerance:
        return "good"
    return "bad" if figure.ci_low > 0 or figure.ci_high < 0 else "open"


def calibrated(ece: Estimate, perfect: Estimate | None, bias: Estimate | None) -> Verdict:
    """
    Whether probabilities are calibrated.

    An ECE is above 0 by chance alone: it is compared with what perfect probabilities would get on as many pairs. As that
    range takes pairs as independent, the clustered interval of the ECE or of the mean error has to agree.

    Args:
        ece ([`Estimate`]): Of the probabilities.
        perfect ([`Estimate`] or `None`): What perfect calibration would show, with the range of 95 % of the draws.
        bias ([`Estimate`] or `None`): Mean probability minus share of right ones.
    """
    if np.isnan(ece.value):
        return Verdict("open", "it could not be computed")
    if ece.ci_high <= CALIBRATED:
        return Verdict("good", f"the interval is below {CALIBRATED:g}")
    if perfect is None or np.isnan(perfect.ci_high):
        return Verdict("open", "what perfect calibration would show on as many pairs is not recorded")
    shown = f"{perfect.value:.3f} [{perfect.ci_low:.3f}, {perfect.ci_high:.3f}]"
    agrees = ece.ci_low > perfect.value or (bias is not None and (bias.ci_low > 0 or bias.ci_high < 0))
    if ece.value > perfect.ci_high and agrees:
        return Verdict("bad", f"perfect calibration would show {shown} on as many pairs")
    return Verdict("open", f"not told from perfect calibration, which would show {shown} on as many pairs")
