"""Does a rewriter give right effects? Rewards are planted whose effect is known, and the pipeline has to find it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from ...data.checks import counted
from ...evaluation.statistics import Estimate, adjust_p_values
from ..attributes.attribute import Attribute
from ..chains.text_chains import TextChains
from ..estimators.effects import estimate_effects, estimate_to_dict
from ..quality.feature_drift import ON_TARGET
from ..quality.features import DISTANCE, features_of_step
from ..quality.rewrite_quality import RewriteQuality, rewrite_quality
from ..quality.verdict import BAD
from ..rewriting.rewrite_chains import rewrite_chains
from ..rewriting.rewriter import Rewriter
from .planted_rewards import NULL, PlantedReward, planted_rewards


if TYPE_CHECKING:
    from ..rules import Vocabulary

PASS, DOUBTFUL, FAIL = "PASS", "DOUBTFUL", "FAIL"
ESTIMANDS = ("ATE", "ATT", "ATU")


@dataclass(frozen=True)
class Recovery:
    """
    An estimate of a planted effect.

    Args:
        reward (`str`): Name of the planted reward.
        estimand (`str`): `ATE`, `ATT` or `ATU`.
        planted (`float`): The effect, in reward units.
        estimate ([`Estimate`]): RATE's.
        naive ([`Estimate`], *optional*): Difference of the originals' means, for comparison.
        ci90 (`tuple[float, float]`): Interval of level 1 - 2·alpha, for the equivalence test.
        equivalent (`bool`): Two one-sided tests show that the estimate is off by less than the margin: `ci90` lies within.
        p_value (`float`): Of the test that the estimate is off by nothing, after Holm's correction over all.
        off (`bool`): The estimate is off significantly, and by more than the margin.
    """

    reward: str
    estimand: str
    planted: float
    estimate: Estimate
    naive: Estimate | None
    ci90: tuple[float, float]
    equivalent: bool
    p_value: float
    off: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        shown = dict(self.__dict__)
        shown["estimate"] = estimate_to_dict(self.estimate)
        shown["naive"] = estimate_to_dict(self.naive)
        shown["ci90"] = [None if np.isnan(end) else end for end in self.ci90]
        return shown


@dataclass(frozen=True)
class SelfTest:
    """
    Whether the planted effects were found.

    Args:
        verdict (`str`): `"PASS"`: all estimates are shown to be right within the margin. `"FAIL"`: one is off by more.
            `"DOUBTFUL"`: neither, or the rewrites are bad although the effects are right.
        notes (`tuple[str, ...]`): Why, in sentences.
        recoveries (`tuple[Recovery, ...]`): By reward and estimand.
        quality ([`RewriteQuality`]): Of the rewrites.
        unknown (`int`): Texts of which the classifier could not say whether they have the attribute: they are paid half.
        settings (`dict`): Margin, level and rewriter, for JSON.
    """

    verdict: str
    notes: tuple[str, ...]
    recoveries: tuple[Recovery, ...]
    quality: RewriteQuality
    unknown: int
    settings: dict[str, Any]

    def of(self, reward: str, estimand: str = "ATE") -> Recovery:
        """The estimate of a planted effect."""
        for part in self.recoveries:
            if (part.reward, part.estimand) == (reward, estimand):
                return part
        known = sorted({f"{part.reward} {part.estimand}" for part in self.recoveries})
        raise KeyError(f"there is no {estimand} of {reward!r}; there are {', '.join(known)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {
            "verdict": self.verdict,
            "notes": list(self.notes),
            "recoveries": [part.to_dict() for part in self.recoveries],
            "unknown_texts": self.unknown,
            "settings": self.settings,
            "quality": self.quality.to_dict(),
        }

    def format(self) -> str:
        """Text of several lines for the command line."""
        lines = [
            f"Self-test of rewriter {self.settings['rewriter']} for {self.quality.attribute}: {self.verdict}",
            *(f"  - {note}" for note in self.notes),
        ]
        if not self.recoveries:
            return "\n".join([*lines, self.quality.format()])
        lines.append(
            f"  {'reward':<36} {'':<4} {'planted':>8} {'RATE':>8} {'interval':>18} {'naive':>8}  within margin"
        )
        of_features = [part for part in self.recoveries if part.reward.startswith(f"{NULL}:")]
        quiet = [part for part in of_features if part.equivalent]
        for part in self.recoveries:
            if part in quiet:
                continue
            low, high = part.estimate.ci_low, part.estimate.ci_high
            naive = "" if part.naive is None else f"{part.naive.value:+.3f}"
            shown = "yes" if part.equivalent else "NO" if part.off else "not shown"
            lines.append(
                f"  {part.reward:<36} {part.estimand:<4} {part.planted:>+8.3f} {part.estimate.value:>+8.3f} "
                f"{f'[{low:+.3f}, {high:+.3f}]':>18} {naive:>8}  {shown}"
            )
        lines.append(
            f"  {len(quiet)} of {len(of_features)} estimates for single off-target features are within the margin."
        )
        return "\n".join([*lines, self.quality.format()])


def planted_bias_test(
    originals: TextChains,
    attribute: Attribute,
    rewriter: Rewriter,
    *,
    effect: float = 1.0,
    margin: float = 0.2,
    level: float = 0.95,
    vocabulary: "Vocabulary | None" = None,
    on_target: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    path: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> SelfTest:
    """
    Run the whole pipeline (rewrites, quality, rewards, effects) on rewards of which the effect is known.

    Three kinds of rewards are planted: one that pays `effect` for the attribute, as its classifier sees it; some that pay
    for off-target features of the text alone, so that the attribute's effect is 0 although originals with and without it
    may differ by much; and their sum. All of RATE's estimates (ATE, ATT, ATU) of all rewards must be within
    `margin * effect` of what was planted. That is tested by two one-sided tests, so that few texts give no PASS by their
    wide intervals; as all must hold, no correction for their number is needed.

    A rewriter passes if it flips the attribute nearly always, and moves no measured feature by more than about `margin`
    standard deviations when it should not. What is not measured is not tested.

    References:
        - RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, theorem 4.1 (what must hold).
        - Schuirmann, A Comparison of the Two One-Sided Tests Procedure, 1987.
        - Berger, Multiparameter Hypothesis Testing and Acceptance Sampling, 1982 (intersection-union tests).

    Args:
        originals ([`TextChains`]): N texts, best some with and some without the attribute. Rewrites they have are not made again.
        attribute ([`Attribute`]): With a classifier that does for rewrites.
        rewriter ([`Rewriter`]): What is tested.
        effect (`float`, *optional*, defaults to `1.0`): Planted effect, in standard deviations of the off-target reward.
        margin (`float`, *optional*, defaults to `0.2`): How far off an estimate may be, as share of the effect.
        level (`float`, *optional*, defaults to `0.95`): Of the intervals; the equivalence test is at 1 - level.
        vocabulary, on_target, features: As in [`rewrite_quality`].
        path, overwrite: Where the rewrites are written, and whether others are replaced, see [`rewrite_chains`].
        progress (`bool`, *optional*, defaults to `True`): Show a progress bar.

    Returns:
        [`SelfTest`]

    Raises:
        ValueError: The attribute has no classifier, it is another one than the texts', an option is out of range, or there
            are less than two texts.

    Example:
        ```python
        >>> from trl_ext.rate import get_attribute, planted_bias_test, rule_rewriter, synthetic_reviews
        >>> mood, reviews = get_attribute("sentiment"), synthetic_reviews(60, 0, attribute="sentiment")
        >>> test = planted_bias_test(reviews, mood, rule_rewriter("sentiment"), features=["words"], progress=False)
        >>> test.verdict, round(test.of("attribute").estimate.value, 3)
        ('PASS', 1.0)
        >>> planted_bias_test(reviews, mood, rule_rewriter("sentiment", fail=0.5), progress=False).verdict
        'FAIL'

        ```
    """
    if attribute.classifier is None:
        raise ValueError(f"attribute {attribute.name!r} has no classifier: without one nothing can be planted")
    if not effect > 0:
        raise ValueError(f"effect must be positive, got {effect}")
    if not 0 < margin < 1:
        raise ValueError(f"margin must be a share of the effect, strictly between 0 and 1, got {margin}")
    if not 0.5 < level < 1:
        raise ValueError(f"level must lie strictly between 0.5 and 1, got {level}")
    if len(originals) < 2:
        raise ValueError(f"the self-test needs two texts or more, got {len(originals)}")
    chains = rewrite_chains(originals, attribute, rewriter, steps=2, path=path, overwrite=overwrite, progress=progress)
    quality = rewrite_quality(
        chains, attribute, vocabulary=vocabulary, on_target=on_target, features=features, level=level
    )
    settings = {
        "rewriter": rewriter.name,
        "rewriter_settings": rewriter.settings(),
        "effect": effect,
        "margin": margin,
        "level": level,
        "texts": len(originals),
    }
    kept = np.flatnonzero(quality.keep)
    if kept.size < 2:
        note = f"{counted(kept.size, 'row')} of {len(chains)} can be used: the rewrites of the others are missing or faulty."
        return SelfTest(FAIL, (note, *quality.notes), (), quality, 0, settings)
    chosen, observed = chains.select(kept), quality.observed[kept]
    target = ON_TARGET.get(attribute.name, ()) if on_target is None else on_target
    names = [part.feature for part in quality.drift if part.feature not in target and part.feature != DISTANCE]
    tables = [features_of_step(chosen, step, features=names, vocabulary=vocabulary) for step in range(3)]
    planted = planted_rewards(chosen, observed, tables, effect=effect)
    recoveries = _recoveries(planted, margin * effect, level)
    unknown = int(np.isnan(observed).sum())
    verdict, notes = _judge(recoveries, quality, unknown, observed.size, margin * effect)
    return SelfTest(verdict, tuple(notes), recoveries, quality, unknown, settings)


def _recoveries(planted: Sequence[PlantedReward], margin: float, level: float) -> tuple[Recovery, ...]:
    found = []
    for reward in planted:
        wide = estimate_effects(reward.rewards, level=level)
        narrow = estimate_effects(reward.rewards, level=2 * level - 1)
        for estimand in ESTIMANDS:
            name = f"{estimand}_rewritten_rewrite"
            if wide[name] is not None:
                found.append((reward, estimand, wide[name], narrow[name], wide["naive_effect"]))
    p_values = adjust_p_values([_p_value(reward, estimand, wide) for reward, estimand, wide, _, _ in found])
    return tuple(
        Recovery(
            reward.name,
            estimand,
            reward.effect,
            wide,
            naive if estimand == "ATE" else None,
            (narrow.ci_low, narrow.ci_high),
            bool(reward.effect - margin < narrow.ci_low and narrow.ci_high < reward.effect + margin),
            float(p),
            bool(p < 1 - level and abs(wide.value - reward.effect) > margin),
        )
        for (reward, estimand, wide, narrow, naive), p in zip(found, p_values, strict=True)
    )


def _p_value(reward: PlantedReward, estimand: str, estimate: Estimate) -> float:
    """Two-sided p-value of the t test that an estimate is off by nothing."""
    distance = abs(estimate.value - reward.effect)
    if not np.isfinite(estimate.se) or distance <= 1e-12:
        return 1.0
    rows = {"ATE": slice(None), "ATT": reward.rewards.w, "ATU": ~reward.rewards.w}[estimand]
    units = estimate.n if reward.rewards.clusters is None else len(set(reward.rewards.clusters[rows].tolist()))
    return 0.0 if estimate.se == 0 else float(2 * stats.t.sf(distance / estimate.se, units - 1))


def _judge(
    recoveries: Sequence[Recovery], quality: RewriteQuality, unknown: int, texts: int, margin: float
) -> tuple[str, list[str]]:
    off = sorted((part for part in recoveries if part.off), key=lambda part: -abs(part.estimate.value - part.planted))
    open_ = [part for part in recoveries if not part.off and not part.equivalent]
    notes = [
        f"{part.reward}, {part.estimand}: planted {part.planted:+.3f}, estimated {part.estimate.value:+.3f} "
        f"[{part.estimate.ci_low:+.3f}, {part.estimate.ci_high:+.3f}]: off by more than {margin:.3g}."
        for part in off[:5]
    ]
    if len(off) > 5:
        notes.append(f"{len(off) - 5} more estimates are off by more than {margin:.3g}.")
    if open_:
        names = ", ".join(f"{part.reward} ({part.estimand})" for part in open_[:3])
        notes.append(
            f"{counted(len(open_), 'estimate')} can't be shown to be within {margin:.3g} of the planted effect, such as "
            f"{names}: use more texts, or a better rewriter."
        )
    if unknown:
        notes.append(f"The classifier says nothing of {unknown} of {texts} texts: they are paid half.")
    notes += [f"Quality: {note}" for note in quality.notes]
    if off:
        return FAIL, notes
    return (DOUBTFUL if open_ or quality.verdict == BAD else PASS), notes
