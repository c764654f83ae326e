"""Rewriting by rules: what a rule is, and the rewriter that applies one, with deviations of known size."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..rewriting.rewriter import RewriteRequest, Rewritten
from .chance import check_probability, keyed_rng
from .vocabulary import Vocabulary


# What an asymmetric rewriter adds when it rewrites into texts with the attribute: 8 words that no lexicon has
ASYMMETRIC_SENTENCE = "That is what I wanted to say here."
# Why there is no rewrite: the rule has nothing in the text to act upon
UNCHANGEABLE = "unchangeable"


@dataclass(frozen=True)
class Rule:
    """
    How texts get or lose an attribute.

    Args:
        classify (`Callable`):
            Function from a text to whether it has the attribute; `None` if it can't be said.
        flip (`Callable`):
            Function of a text, the wanted value and a random generator to the new text. It is called only for texts
            that do not have the wanted value.
        settings (`Mapping`):
            What both depend on, for JSON.
        reversible (`bool`):
            Whether flipping twice gives the original again, of texts as [`synthetic_reviews`] makes them.
    """

    classify: Callable[[str], bool | None]
    flip: Callable[[str, bool, np.random.Generator], str]
    settings: Mapping[str, Any] = field(default_factory=dict)
    reversible: bool = True

    def __call__(self, text: str, target: bool, rng: np.random.Generator) -> str | None:
        """The text with the wanted value of the attribute; `None` if the rule has nothing to act upon."""
        if self._is(text, target):
            return text
        text = self.flip(text, target, rng)
        return text if self._is(text, target) else None

    def _is(self, text: str, target: bool) -> bool:
        value = self.classify(text)
        return value is not None and bool(value) == target


class RuleRewriter:
    """
    Rewrites by a rule, so that what changes can be told from the rule.

    By default that is what the rule itself does. Beside the attribute this can be more than nothing: the opposite of a word
    has other letters and syllables, so that rates per character and readability may depend on the direction. What drifts
    with the rules of this package is measured in docs/rewrite_quality.md. The options add deviations as chat models have
    them, of known size. Each choice depends on `seed`, id, step and text alone: neither order nor interruptions change
    results.

    Args:
        name (`str`):
            Name in tables.
        function (`Callable`):
            Function of a text, the wanted value of the attribute and a random generator to the new text, or `None` if
            there is none; a [`Rule`] is one.
        settings (`Mapping`, *optional*):
            What the function depends on, for JSON.
        repair_typos (`float`, *optional*, defaults to `0.0`):
            Probability, for every misspelled word that `vocabulary` can repair, that it is repaired in passing,
            whichever the direction. 1 meets RATE's assumptions, 0 too; in between RATE is biased.
        vocabulary ([`Vocabulary`], *optional*):
            Known words, for `repair_typos`.
        asymmetry (`float`, *optional*, defaults to `0.0`):
            Probability that a rewrite into a text with the attribute ends with `ASYMMETRIC_SENTENCE`, 8 words. It stays
            in rewrites of that. A reward of `a` per word then biases RATE's ATT by `8 * a * asymmetry`, its ATU not.
        fail (`float`, *optional*, defaults to `0.0`):
            Probability f that the attribute is not changed. With `repair_typos` 0 or 1 RATE tends to (1 − f)² times the
            effect, since a failed step leaves the next nothing to do.
        seed (`int`, *optional*, defaults to `0`):
            Seed.

    Raises:
        ValueError: A probability is outside [0, 1], or there is no vocabulary to repair with.

    Example:
        ```python
        >>> from trl_ext.rate import RewriteRequest, RuleRewriter
        >>> shout = RuleRewriter("shout", lambda text, target, rng: text.upper() if target else text.lower())
        >>> shout.rewrite([RewriteRequest("a", "Say something.", "Hello.", True, 1)])[0].text
        'HELLO.'

        ```
    """

    def __init__(
        self,
        name: str,
        function: Callable[[str, bool, np.random.Generator], str | None],
        settings: Mapping[str, Any] | None = None,
        *,
        repair_typos: float = 0.0,
        vocabulary: Vocabulary | None = None,
        asymmetry: float = 0.0,
        fail: float = 0.0,
        seed: int = 0,
    ):
        if not isinstance(name, str) or not name:
            raise ValueError(f"a rewriter needs a name, got {name!r}")
        if not callable(function):
            raise TypeError(f"rewriter {name!r}: `function` must be a function of text, target and generator")
        self.name = name
        self.function = function
        self.repair_typos = check_probability(repair_typos, "repair_typos")
        self.asymmetry = check_probability(asymmetry, "asymmetry")
        self.fail = check_probability(fail, "fail")
        if self.repair_typos and vocabulary is None:
            raise ValueError(
                f"rewriter {name!r}: repair_typos={repair_typos} needs the words that are right: pass "
                "vocabulary=Vocabulary.from_texts(texts)"
            )
        self.vocabulary = vocabulary
        self.seed = seed
        self._settings = dict(settings or {})

    def rewrite(self, requests: Sequence[RewriteRequest]) -> list[Rewritten]:
        """See [`Rewriter`]."""
        return [self._rewrite(request) for request in requests]

    def settings(self) -> dict[str, Any]:
        """See [`Rewriter`]."""
        return {
            "rewriter": "rule",
            "name": self.name,
            **self._settings,
            "repair_typos": self.repair_typos,
            "vocabulary": None if self.vocabulary is None else self.vocabulary.version,
            "asymmetry": self.asymmetry,
            "fail": self.fail,
            "seed": self.seed,
        }

    def _rewrite(self, request: RewriteRequest) -> Rewritten:
        rng = keyed_rng(self.seed, request.id, request.step, request.text)
        failed, adds = rng.random() < self.fail, rng.random() < self.asymmetry
        text: str | None = request.text
        if self.repair_typos:
            text = self.vocabulary.repair(text, probability=self.repair_typos, rng=rng)
        if not failed:
            text = self.function(text, bool(request.target), rng)
        if text is None or not text.strip():
            return Rewritten(None, UNCHANGEABLE)
        if adds and request.target and ASYMMETRIC_SENTENCE not in text:
            text = f"{text} {ASYMMETRIC_SENTENCE}"
        return Rewritten(text, finish_reason="stop")
