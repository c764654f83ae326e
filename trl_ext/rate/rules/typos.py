"""Misspelled words: put into texts, and taken out of them."""

import re
from collections.abc import Collection

import numpy as np

from ..attributes.words import WORD, words_of
from .base import Rule
from .chance import check_probability
from .vocabulary import SHORTEST, Vocabulary


# Short texts may draw only words that can't be misspelled
_DRAWS = 50
_PARTS = re.compile(r"\S+")


def add_typos(text: str, share: float, rng: np.random.Generator, *, keep: Collection[str] = ()) -> str:
    """
    Exchange two neighbouring letters in some words.

    Of the words between white space, the whole number of `share` times their number is drawn without replacement. Of
    those, words of up to two letters, and words without two different letters side by side, stay as they are. White space
    and line ends stay too.

    Args:
        text (`str`):
            The text.
        share (`float`):
            Share of the words that are drawn, in [0, 1].
        rng (`np.random.Generator`):
            Random generator.
        keep (`Collection[str]`, *optional*):
            Words in lower case that stay as they are.

    Returns:
        `str`: The text with misspelled words.

    Raises:
        ValueError: The share is outside [0, 1].

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import add_typos
        >>> add_typos("The film was short and the acting was good.", 0.3, np.random.default_rng(0))
        'The film was short adn teh acting was good.'

        ```
    """
    check_probability(share, "share")
    words = list(_PARTS.finditer(text))
    parts, last = [], 0
    for index in sorted(rng.permutation(len(words))[: int(len(words) * share + 1e-9)]):
        start, word = words[index].start(), words[index].group()
        places = _places(word)
        if not places or (keep and any(kept in keep for kept in words_of(word))):
            continue
        at = start + places[rng.integers(len(places))]
        parts += [text[last:at], text[at + 1], text[at]]
        last = at + 2
    return "".join(parts) + text[last:]


def typo_rule(*, vocabulary: Vocabulary | None = None, share: float = 0.2, threshold: float = 0.05) -> Rule:
    """
    Misspelled words are added, or those repaired that the vocabulary can repair. Only words are misspelled that can be
    repaired again, so that typos that were added by this rule all go, and not the first word.

    Misspelled words are in no lexicon: scores of lexicons change too.

    Args:
        vocabulary ([`Vocabulary`]):
            The words that are right.
        share (`float`, *optional*, defaults to `0.2`):
            Share of the words that are misspelled, as in [`add_typos`].
        threshold (`float`, *optional*, defaults to `0.05`):
            A text has typos if a larger share of its words is unknown.
    """
    if vocabulary is None:
        raise ValueError(
            "rewriting typos needs the words that are right: pass vocabulary=Vocabulary.from_texts(texts)"
        )
    check_probability(share, "share")
    check_probability(threshold, "threshold")

    def has_typos(text: str) -> bool:
        return vocabulary.unknown_share(text) > threshold

    def flip(text: str, target: bool, rng: np.random.Generator) -> str:
        if not target:
            return vocabulary.repair(text)
        # the first word tells whether a text starts with a vowel
        keep = words_of(text)[:1]
        for _ in range(_DRAWS):
            new = reparable(text, add_typos(text, share, rng, keep=keep), vocabulary)
            if has_typos(new):
                break
        return new

    return Rule(
        has_typos,
        flip,
        {"rule": "typos", "vocabulary_of_typos": vocabulary.version, "share": share, "threshold": threshold},
        reversible=False,
    )


def reparable(text: str, spoiled: str, vocabulary: Vocabulary) -> str:
    """A text with those of its typos that the vocabulary can repair. Exchanging letters keeps all places."""

    def chosen(word: re.Match) -> str:
        new = spoiled[word.start() : word.end()]
        return new if vocabulary.repair(new) == word.group() else word.group()

    return _PARTS.sub(chosen, text)


def _places(text: str) -> list[int]:
    """Where exchanging a letter with the next one changes a word of three letters and more."""
    return [
        place
        for word in WORD.finditer(text)
        if len(word.group()) >= SHORTEST
        for place in range(word.start(), word.end() - 1)
        if text[place : place + 2].isalpha() and text[place] != text[place + 1]
    ]
