"""A reward that is a known function of countable features, so that the effect of an attribute on it is known."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...arena.responses.text_counts import text_features
from ...scoring.base import WindowScorer
from ...scoring.groups import Group
from ..attributes.classifiers import starts_with_vowel
from ..attributes.lexicons import LEXICONS, get_lexicon
from .vocabulary import Vocabulary


MARKDOWN = ("headers", "lists", "bold", "code_blocks")
LEXICAL_FEATURES = ("unknown_share", "words", "characters", "vowel_start", *LEXICONS, *MARKDOWN)

# From its first letter or digit to white space
_COUNTED = re.compile(r"[^\W_]\S*")


class LexicalReward(WindowScorer):
    """
    A linear function of features of the response. The prompt has no part in it.

    Args:
        weights (`Mapping[str, float]`):
            Reward per unit of a feature: `unknown_share` (words that `vocabulary` lacks, in [0, 1]), `words` (with a
            letter or digit, parted by white space), `characters`, `vowel_start` (0 or 1), `sentiment`, `politeness`,
            `confidence`, `complexity` ([`lexicon_score`], in [-1, 1]), and the counts `headers`, `lists`, `bold` and
            `code_blocks` of [`text_features`].
        vocabulary ([`Vocabulary`], *optional*):
            Known words, needed for `unknown_share`.
        intercept (`float`, *optional*, defaults to `0.0`):
            Reward of a text without any feature.
        name (`str`, *optional*, defaults to `"lexical"`):
            Name in tables.

    Raises:
        ValueError: There is no such feature, a weight is not finite, or there is no vocabulary.

    Example:
        ```python
        >>> from trl_ext.rate import LexicalReward
        >>> reward = LexicalReward({"words": 0.1, "sentiment": 2.0})
        >>> reward.rewards(["A good film.", "A bad film, all in all."]).round(6).tolist()
        [2.3, -1.4]
        >>> reward.progress = False
        >>> reward.score(["Write a review."], [["A good film."]])[0].tolist()
        [2.299999952316284]

        ```
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        vocabulary: Vocabulary | None = None,
        *,
        intercept: float = 0.0,
        name: str = "lexical",
    ):
        if not isinstance(weights, Mapping) or not weights:
            raise ValueError(f"`weights` must be a mapping from features to numbers, got {weights!r}")
        unknown = [feature for feature in weights if feature not in LEXICAL_FEATURES]
        if unknown:
            raise ValueError(f"there is no feature {unknown[0]!r}; there are {', '.join(LEXICAL_FEATURES)}")
        for feature, weight in [*weights.items(), ("intercept", intercept)]:
            number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
            if not number or not math.isfinite(weight):
                raise ValueError(f"the weight of {feature!r} must be a finite number, got {weight!r}")
        if "unknown_share" in weights and vocabulary is None:
            raise ValueError("weight 'unknown_share' needs known words: pass vocabulary=Vocabulary.from_texts(texts)")
        self.weights = {feature: float(weight) for feature, weight in weights.items()}
        self.vocabulary = vocabulary
        self.intercept = float(intercept)
        self.name = name

    def features(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """
        The features that have a weight.

        Args:
            texts (`Sequence[str]`): N texts.

        Returns:
            `dict[str, np.ndarray]`: For each feature its values `(N,)`, float64.
        """
        counted = text_features(texts) if any(feature in MARKDOWN for feature in self.weights) else None
        values = {}
        for feature in self.weights:
            if feature in MARKDOWN:
                values[feature] = counted[feature].to_numpy(dtype=np.float64)
            else:
                function = self._function(feature)
                values[feature] = np.array([function(text) for text in texts], dtype=np.float64)
        return values

    def rewards(self, texts: Sequence[str]) -> np.ndarray:
        """Rewards of N texts, shape `(N,)`, float64."""
        values = self.features(texts)
        return sum((self.weights[name] * values[name] for name in values), np.full(len(texts), self.intercept))

    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """See [`WindowScorer.score_groups`]."""
        return self.rewards([_text_of(response) for group in groups for response in group.responses]), {}

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        return {
            "scorer": "lexical",
            "weights": self.weights,
            "intercept": self.intercept,
            "vocabulary": None if self.vocabulary is None else self.vocabulary.version,
            "lexicons": {name: get_lexicon(name).version for name in LEXICONS if name in self.weights},
        }

    def _function(self, feature: str) -> Callable[[str], Any]:
        if feature in LEXICONS:
            return get_lexicon(feature).score
        if feature == "unknown_share":
            return self.vocabulary.unknown_share
        return {"words": count_words, "characters": len, "vowel_start": lambda text: bool(starts_with_vowel(text))}[
            feature
        ]


def count_words(text: str) -> int:
    """Words between white space that have a letter or digit: the mark of a list is none."""
    return len(_COUNTED.findall(text))


def _text_of(response: str | Iterable[Mapping[str, Any]]) -> str:
    """A text, or the contents of messages, one after another."""
    if isinstance(response, str):
        return response
    return "\n".join(
        content if isinstance(content, str) else "\n".join(part.get("text") or "" for part in content)
        for message in response
        if (content := message.get("content"))
    )
