"""A rule that exchanges the first word for one that begins with a vowel, or with a consonant."""

import numpy as np

from ..attributes.classifiers import starts_with_vowel
from ..attributes.words import WORD
from .base import Rule


# Openers with a vowel and with a consonant that replace one another; no lexicon has them
OPENERS = (
    ("Overall", "Generally"),
    ("Altogether", "Broadly"),
    ("Essentially", "Basically"),
    ("Ultimately", "Finally"),
    ("Initially", "Firstly"),
    ("Actually", "Really"),
    ("Again", "Likewise"),
    ("Incidentally", "Moreover"),
    ("Usually", "Normally"),
    ("Anyway", "Besides"),
    ("Understandably", "Naturally"),
    ("Admittedly", "Granted"),
    ("It", "This"),
    ("Our", "The"),
)
_OTHER = dict(OPENERS) | {consonant: vowel for vowel, consonant in OPENERS}
# Words that lose their capital when they are no longer the first
_SMALL_WORDS = frozenset(
    "a an the this that these those it its he she they we you my our your his her their there here what when where why "
    "how who which in on at by for from with as if but and or not no so to of all some many most each every".split()
)


def vowel_start_rule() -> Rule:
    """
    The first word is exchanged for its partner in `OPENERS`. A text that begins with another word gets an opener in front,
    which is exchanged from then on.
    """

    def flip(text: str, target: bool, rng: np.random.Generator) -> str:
        first = WORD.search(text)
        if first is not None and first.group() in _OTHER:
            return text[: first.start()] + _OTHER[first.group()] + text[first.end() :]
        vowel, consonant = OPENERS[0]
        rest = text.lstrip()
        if first is not None and first.group().lower() in _SMALL_WORDS and rest.startswith(first.group()):
            rest = rest[0].lower() + rest[1:]
        return f"{vowel if target else consonant}, {rest}"

    return Rule(starts_with_vowel, flip, {"rule": "vowel_start"})
