"""Can effects be estimated from these rewrites? What is wrong with them, counted, and what has to be left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..attributes.attribute import Attribute
from ..chains.text_chains import TextChains
from .compliance import Compliance, measure_compliance, observe_attribute
from .exclusions import (
    Exclusion,
    Selection,
    chain_faults,
    count_exclusions,
    count_faults,
    measure_selection,
    reasons_of,
)
from .feature_drift import ON_TARGET, FeatureDrift, measure_drift
from .features import features_of_step
from .text_faults import FAULTS
from .verdict import Limits, judge_compliance, judge_drift, judge_exclusions, judge_selection, summarise


if TYPE_CHECKING:
    from ..rules import Vocabulary
    from .text_encoder import Encoder

# Rewrites with these faults are not what was asked for; an unchanged or unflipped one is, badly done
EXCLUDED = ("reasoning", "refusal", "preamble", "closing", "quoted", "truncated", "too_long", "too_short")
LENGTH_RATIO, LENGTH_RATIO_ON_TARGET = 3.0, 10.0


@dataclass(frozen=True)
class RewriteQuality:
    """
    What is wrong with the rewrites of N originals.

    Args:
        attribute (`str`): Name of the attribute.
        steps (`int`): Number of rewrites K.
        keep (`np.ndarray` of shape `(N,)`, bool): Rows to estimate effects from: `chains.select(quality.keep)`.
        reasons (`tuple[tuple[str, ...], ...]`): Of every row the reasons to leave it out, the first in front.
        exclusions (`dict[str, Exclusion]`): Rows by reason.
        selection ([`Selection`]): Share of rows left out by `w`.
        selection_note (`str`, *optional*): A warning, if that share depends on `w`.
        faults (`dict[str, dict[str, int]]`): Texts by step and fault, also by those that leave no row out.
        identical_to_original (`int`): Rewritten rewrites that are the original again, of rows that are kept. No fault.
        observed (`np.ndarray` of shape `(N, K + 1)`, *optional*): See [`observe_attribute`]; `None` without a classifier.
        compliance (`tuple[Compliance, ...]`): By step and direction, of rows that are kept.
        drift (`tuple[FeatureDrift, ...]`): By feature, of rows that are kept.
        verdict (`str`): `"good"`, `"doubtful"` or `"bad"`.
        notes (`tuple[str, ...]`): Why, in sentences; the worst first.
        settings (`dict`): What all this depends on, for JSON.
    """

    attribute: str
    steps: int
    keep: np.ndarray
    reasons: tuple[tuple[str, ...], ...]
    exclusions: Mapping[str, Exclusion]
    selection: Selection
    selection_note: str | None
    faults: Mapping[str, Mapping[str, int]]
    identical_to_original: int
    observed: np.ndarray | None
    compliance: tuple[Compliance, ...]
    drift: tuple[FeatureDrift, ...]
    verdict: str
    notes: tuple[str, ...]
    settings: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.keep)

    @property
    def flagged(self) -> tuple[FeatureDrift, ...]:
        """Features that drift although they should not, the worst first."""
        return tuple(sorted((d for d in self.drift if d.flags), key=lambda d: -d.worst))

    def to_dict(self) -> dict[str, Any]:
        """Counts and figures without the rows, for JSON."""
        return {
            "attribute": self.attribute,
            "verdict": self.verdict,
            "notes": list(self.notes),
            "rows": len(self),
            "rows_kept": int(self.keep.sum()),
            "rewrites_of_each": self.steps,
            "exclusions": {name: part.to_dict() for name, part in self.exclusions.items()},
            "selection": self.selection.to_dict() | {"note": self.selection_note},
            "faults": {step: dict(part) for step, part in self.faults.items()},
            "identical_to_original": self.identical_to_original,
            "compliance": [part.to_dict() for part in self.compliance],
            "drift": [part.to_dict() for part in self.drift],
            "settings": dict(self.settings),
        }

    def format(self) -> str:
        """Text of several lines for the command line."""
        from .text import quality_text

        return quality_text(self)


def rewrite_quality(
    chains: TextChains,
    attribute: Attribute | None = None,
    *,
    vocabulary: "Vocabulary | None" = None,
    encoder: "Encoder | None" = None,
    features: Sequence[str] | None = None,
    on_target: Sequence[str] | None = None,
    max_length_ratio: float | None = None,
    exclude: Sequence[str] = EXCLUDED,
    limits: Limits | None = None,
    level: float = 0.95,
) -> RewriteQuality:
    """
    Judge rewrites before effects are estimated from them.

    RATE is right if rewrites flip the attribute, and what else they change depends neither on the direction nor on how
    often a text was rewritten. The first is compliance, measured by the attribute's classifier; the second is measured on
    features of the texts. A feature that is not measured may drift all the same: a good verdict is no proof.

    Rows are left out if a rewrite is missing or has a fault that is in `exclude`. Rewrites that leave the attribute as it
    was are kept: to leave them out selects texts by how they answer to rewriting, while
    [`compliance_corrected_effects`] corrects for them.

    References:
        - RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, theorem 4.1 (the assumptions).

    Args:
        chains ([`TextChains`]):
            N chains of K rewrites, K at least 1. Drift needs two.
        attribute ([`Attribute`], *optional*):
            Its classifier measures compliance.
        vocabulary ([`Vocabulary`], *optional*):
            Known words, for the share of unknown ones: how typos are found.
        encoder (`Callable`, *optional*):
            Function from texts to vectors, for their distance to the original. It is reported, not tested: a rewrite that
            does as it should is farther from the original than one that goes back.
        features (`Sequence[str]`, *optional*):
            Features to measure, see [`measure_features`]. By default all that can be.
        on_target (`Sequence[str]`, *optional*):
            Features that the attribute is meant to change: they are not tested. By default those of the attribute's name:
            for `length` the numbers of characters, words and sentences, and so on.
        max_length_ratio (`float`, *optional*):
            See [`text_faults`]. By default 3, or 10 if `characters` are on target.
        exclude (`Sequence[str]`, *optional*):
            Faults for which a row is left out, of `reasoning`, `refusal`, `preamble`, `closing`, `quoted`, `truncated`,
            `too_long`, `too_short` (these by default) and `unchanged`. Failed rewrites always are.
        limits ([`Limits`], *optional*):
            For the verdict.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the intervals; 1 - level is that of the tests.

    Returns:
        [`RewriteQuality`]

    Raises:
        ValueError: There is no rewrite, the attribute is another one than the chains', or an option is wrong.

    Example:
        ```python
        >>> from trl_ext.rate import Attribute, TextChains, rewrite_quality
        >>> texts = (("A good day.", "A bad day.", "A good day."), ("A bad film.", "Sorry, I can't rewrite this.", "No."))
        >>> chains = TextChains("mood", ("a", "b"), ("Write.", "Write."), np.array([True, False]), texts)
        >>> mood = Attribute("mood", "good", "bad", "Make it {target}: {text}", lambda text, row: "good" in text)
        >>> quality = rewrite_quality(chains, mood, features=["words"])
        >>> quality.keep.tolist(), quality.reasons[1], quality.exclusions["refusal"].to_dict()
        ([True, False], ('refusal', 'too_short'), {'rows': 1, 'all_rows': 1, 'w_1': 0, 'w_0': 1})

        ```
    """
    limits = limits or Limits()
    if chains.steps < 1:
        raise ValueError("there are no rewrites to judge: the chains have originals only")
    if attribute is not None and attribute.name != chains.attribute:
        raise ValueError(f"the chains are of attribute {chains.attribute!r}, got attribute {attribute.name!r}")
    unknown = [name for name in exclude if name not in FAULTS]
    if isinstance(exclude, str) or unknown:
        raise ValueError(
            f"exclude must be a list of {', '.join(FAULTS)}; got {exclude if not unknown else unknown[0]!r}"
        )
    on_target = ON_TARGET.get(chains.attribute, ()) if on_target is None else tuple(on_target)
    if max_length_ratio is None:
        max_length_ratio = LENGTH_RATIO_ON_TARGET if "characters" in on_target else LENGTH_RATIO
    if not max_length_ratio > 1:
        raise ValueError(f"max_length_ratio must be above 1, got {max_length_ratio}")
    faults = chain_faults(chains, max_length_ratio=max_length_ratio)
    reasons = reasons_of(chains, faults, exclude)
    keep = np.array([not row for row in reasons])
    clusters = None if chains.clusters is None else np.array(chains.clusters, dtype=object)
    selection = measure_selection(~keep, chains.w, clusters, level)
    observed = None
    if attribute is not None and attribute.classifier is not None:
        observed = observe_attribute(chains, attribute)
    compliance = () if observed is None or not keep.any() else measure_compliance(chains, observed, keep, level=level)
    drift: tuple[FeatureDrift, ...] = ()
    identical = 0
    if keep.any():
        kept = chains.select(keep)
        options = {"features": features, "vocabulary": vocabulary, "encoder": encoder}
        drift = measure_drift(
            [features_of_step(kept, step, **options) for step in range(kept.steps + 1)],
            kept.w,
            clusters=None if clusters is None else clusters[keep],
            on_target=on_target,
            min_drift=limits.drift[0],
            level=level,
        )
        if kept.steps > 1:
            identical = sum(a.split() == b.split() for a, b in zip(kept.of(0), kept.of(2), strict=True))
    units = int(keep.sum()) if clusters is None else len(set(clusters[keep].tolist()))
    selective = judge_selection(selection, level)
    found = [
        *judge_exclusions(keep, limits),
        *selective,
        *judge_compliance(compliance, attribute, limits),
        *judge_drift(drift, chains.steps, units, limits),
    ]
    verdict, notes = summarise(found)
    return RewriteQuality(
        attribute=chains.attribute,
        steps=chains.steps,
        keep=keep,
        reasons=tuple(map(tuple, reasons)),
        exclusions=count_exclusions(reasons, chains.w),
        selection=selection,
        selection_note=selective[0][1] if selective else None,
        faults=count_faults(faults, chains.steps),
        identical_to_original=identical,
        observed=observed,
        compliance=compliance,
        drift=drift,
        verdict=verdict,
        notes=notes,
        settings={
            "max_length_ratio": max_length_ratio,
            "exclude": list(exclude),
            "on_target": list(on_target),
            "features": [part.feature for part in drift],
            "limits": {name: list(pair) for name, pair in limits.__dict__.items()},
            "level": level,
            "classifier": dict(attribute.settings) if observed is not None else None,
        },
    )
