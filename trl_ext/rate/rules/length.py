"""A rule that makes texts longer or shorter by whole sentences."""

import numpy as np

from .base import Rule
from .sentences import FILLERS, split_sentences


MEASURES = ("characters", "words")
# Characters: what `synthetic_reviews` take for long
LONG = 300


def length_rule(*, threshold: int = LONG, measure: str = "characters") -> Rule:
    """
    Texts are made longer by sentences that say nothing, and shorter by dropping sentences from the end.

    Adding can be undone: sentences that were added are dropped again. Dropping other sentences can't: what is added in
    the next step are not those that were dropped.

    Args:
        threshold (`int`, *optional*, defaults to `300`):
            A text is long if it has more characters or words. Sentences are added or dropped until it is, or is not.
        measure (`str`, *optional*, defaults to `"characters"`):
            What is counted: `"characters"`, or `"words"` between white space.
    """
    if measure not in MEASURES:
        raise ValueError(f"`measure` must be one of {', '.join(MEASURES)}, got {measure!r}")
    if not isinstance(threshold, int | float) or isinstance(threshold, bool) or not threshold > 0:
        raise ValueError(f"`threshold` must be a number of {measure} above 0, got {threshold!r}")

    def is_long(text: str) -> bool:
        return (len(text) if measure == "characters" else len(text.split())) > threshold

    def flip(text: str, target: bool, rng: np.random.Generator) -> str:
        if target:
            added = 0
            while not is_long(text):
                text += f" {FILLERS[added % len(FILLERS)]}"
                added += 1
            return text
        parts = split_sentences(text)
        while len(parts) > 1 and (is_long("".join(parts)) or parts[-1].strip() in FILLERS):
            parts.pop()
        return "".join(parts)

    return Rule(is_long, flip, {"rule": "length", "threshold": threshold, "measure": measure}, reversible=False)
