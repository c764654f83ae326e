"""Rules that replace words by their opposites: sentiment, complexity, confidence and helpfulness."""

import numpy as np

from ..attributes.lexicons import get_lexicon
from .base import Rule


# What a text without any such word gets: sentences before and after it, for texts with the attribute and without
ADDED = {
    "sentiment": (("", "It was good."), ("", "It was bad.")),
    "complexity": (("", "It was uncomplicated."), ("", "It was easy.")),
    "confidence": (("", "I am certain about this."), ("", "I am unsure about this.")),
    "politeness": (
        ("Thank you for asking.", "Take your time."),
        ("Not this question again.", "Quit wasting mine."),
    ),
}


def swap_rule(lexicon: str) -> Rule:
    """
    Every word and phrase of a lexicon is replaced by its opposite, which has as many words; so it can be undone.

    A text with as many words of one side as of the other gets all of the wanted side, and one with none gets short
    sentences that have some: from there on it can be swapped to and fro, but the sentences stay.

    Args:
        lexicon (`str`): Name of the lexicon.
    """
    words = get_lexicon(lexicon)
    added = {True: ADDED[lexicon][0], False: ADDED[lexicon][1]}

    def classify(text: str) -> bool | None:
        positive, negative = words.hits(text)
        return None if positive == negative else positive > negative

    def flip(text: str, target: bool, rng: np.random.Generator) -> str:
        positive, negative = words.hits(text)
        if positive + negative == 0:
            before, after = added[target]
            return f"{before} {text} {after}".strip()
        return words.turn(text, target) if positive == negative else words.swap(text)

    return Rule(classify, flip, {"rule": "swap", "lexicon": lexicon, "version": words.version})
