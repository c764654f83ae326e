"""Words that tell sentiment, politeness, confidence and complexity: to score texts, and to turn them into the opposite."""

import importlib.resources
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from hashlib import sha256

from .words import WORD


LEXICONS = ("sentiment", "politeness", "confidence", "complexity")
# Words that a consonant letter does not tell: "a useful hour" has "an hour" and "a useful"
_VOWEL_SOUND = re.compile(r"(?!eu|one\b|once\b|uni(?!n|m)|us(?!h)|ut[ei])[aeiou]|hour|hono|honest|heir", re.IGNORECASE)
_ARTICLES = {"a": "an", "an": "a", "A": "An", "An": "A"}
_ARTICLE_BEFORE = re.compile(r"(?<![\w'’])(a|an|A|An)(\s+)$")


@dataclass(frozen=True)
class _Entry:
    """A word or phrase: as it is written, whether it is on the positive side, and its opposite if it has one."""

    written: str
    positive: bool
    opposite: str | None

    @cached_property
    def forms(self) -> dict[str, str]:
        """Opposites by spelling: small, capitalised, and in capitals. Others are left alone, so that all can be undone."""
        if self.opposite is None:
            return {}
        capitalised = (_capitalised(self.written), _capitalised(self.opposite))
        capitals = (self.written.upper(), self.opposite.upper())
        return dict([capitals, capitalised, (self.written, self.opposite)])


@dataclass(frozen=True)
class Lexicon:
    """
    Words and phrases of two opposite sides.

    Args:
        name (`str`): Name, one of `LEXICONS` if it comes with the package.
        pairs (`tuple[tuple[str, str], ...]`): Positive and negative entries that replace one another.
        positive, negative (`tuple[str, ...]`): Entries without an opposite: they count, but are not replaced.

    Raises:
        ValueError: An entry occurs twice, or has no word.

    Example:
        ```python
        >>> from trl_ext.rate import Lexicon
        >>> taste = Lexicon("taste", (("sweet", "sour"), ("very tasty", "rather bland")))
        >>> taste.swap("A SWEET drink, very tasty.")
        'A SOUR drink, rather bland.'

        ```
    """

    name: str
    pairs: tuple[tuple[str, str], ...]
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()

    def __post_init__(self):
        seen = set()
        for written, _, _ in self._all():
            if not isinstance(written, str) or not WORD.match(written):
                raise ValueError(f"lexicon {self.name!r}: an entry must begin with a letter, got {written!r}")
            if written.lower() in seen:
                raise ValueError(f"lexicon {self.name!r} has {written!r} twice: replacing it could not be undone")
            seen.add(written.lower())

    def _all(self) -> Iterator[tuple[str, bool, str | None]]:
        for one, other in self.pairs:
            yield one, True, other
            yield other, False, one
        yield from ((written, True, None) for written in self.positive)
        yield from ((written, False, None) for written in self.negative)

    @cached_property
    def _index(self) -> tuple[dict[str, _Entry], dict[str, list[tuple[re.Pattern, _Entry]]]]:
        words: dict[str, _Entry] = {}
        phrases: dict[str, list[tuple[re.Pattern, _Entry]]] = {}
        for written, positive, opposite in sorted(self._all(), key=lambda one: -len(one[0])):
            parts = written.split()
            entry = _Entry(written, positive, opposite)
            if len(parts) == 1:
                words[written.lower()] = entry
            else:
                pattern = re.compile(r"\s+".join(map(re.escape, parts)) + r"(?!\w|['’]\w)", re.IGNORECASE)
                phrases.setdefault(WORD.match(written).group().lower(), []).append((pattern, entry))
        return words, phrases

    @cached_property
    def version(self) -> str:
        """Hash of the entries."""
        return sha256(repr((self.pairs, self.positive, self.negative)).encode()).hexdigest()[:16]

    def entries(self) -> tuple[str, ...]:
        """All words and phrases."""
        return tuple(written for written, _, _ in self._all())

    def _matches(self, text: str) -> Iterator[tuple[int, int, _Entry]]:
        words, phrases = self._index
        end = 0
        for token in WORD.finditer(text):
            word = token.group().lower()
            if word not in words and word not in phrases or token.start() < end:
                continue
            start = token.start()
            found = next(((m, e) for p, e in phrases.get(word, ()) if (m := p.match(text, start))), None)
            if found:
                end = found[0].end()
                yield start, end, found[1]
            elif word in words:
                end = token.end()
                yield start, end, words[word]

    def hits(self, text: str) -> tuple[int, int]:
        """Numbers of positive and of negative entries in a text."""
        positive = total = 0
        for _, _, entry in self._matches(text):
            positive += entry.positive
            total += 1
        return positive, total - positive

    def score(self, text: str) -> float:
        """Positive minus negative entries, divided by all: in [-1, 1]; 0 without any."""
        positive, negative = self.hits(text)
        return (positive - negative) / (positive + negative) if positive + negative else 0.0

    def swap(self, text: str) -> str:
        """Every entry replaced by its opposite, and `a` or `an` before it made to fit. Twice gives the same text again."""
        return self._replace(text, None)

    def turn(self, text: str, positive: bool) -> str:
        """Entries of the other side replaced, so that all are of one."""
        return self._replace(text, positive)

    def _replace(self, text: str, side: bool | None) -> str:
        parts, last = [], 0
        for start, end, entry in self._matches(text):
            new = entry.forms.get(text[start:end])
            if new is None or entry.positive is side:
                continue
            between = text[last:start]
            if bool(_VOWEL_SOUND.match(entry.written)) != bool(_VOWEL_SOUND.match(new)):
                between = _ARTICLE_BEFORE.sub(lambda match: _ARTICLES[match[1]] + match[2], between)
            parts += [between, new]
            last = end
        return "".join(parts) + text[last:]


@cache
def get_lexicon(name: str) -> Lexicon:
    """
    A lexicon of the package.

    Args:
        name (`str`): `"sentiment"`, `"politeness"`, `"confidence"` or `"complexity"`.

    Returns:
        [`Lexicon`]

    Raises:
        ValueError: There is no such lexicon.
    """
    import yaml

    if name not in LEXICONS:
        raise ValueError(f"there is no lexicon {name!r}; there are {', '.join(LEXICONS)}")
    file = importlib.resources.files(__package__).joinpath("data", f"lexicon_{name}.yaml")
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    return Lexicon(
        name,
        tuple((one, other) for one, other in content["pairs"]),
        tuple(content.get("positive", ())),
        tuple(content.get("negative", ())),
    )


def lexicon_hits(text: str, lexicon: str | Lexicon) -> tuple[int, int]:
    """
    Count the words and phrases of a lexicon in a text.

    Args:
        text (`str`): The text.
        lexicon (`str` or [`Lexicon`]): Name of one that comes with the package, or a lexicon.

    Returns:
        `tuple[int, int]`: Numbers of positive and of negative entries.

    Example:
        ```python
        >>> from trl_ext.rate import lexicon_hits
        >>> lexicon_hits("A good plot, awful music, and a wonderful cast.", "sentiment")
        (2, 1)

        ```
    """
    return _as_lexicon(lexicon).hits(_checked(text))


def lexicon_score(text: str, lexicon: str | Lexicon) -> float:
    """
    On which side of a lexicon a text is.

    Args:
        text (`str`): The text.
        lexicon (`str` or [`Lexicon`]):
            Name of one that comes with the package, or a lexicon. Positive is favourable (`"sentiment"`), courteous
            (`"politeness"`), assertive (`"confidence"`) or demanding (`"complexity"`).

    Returns:
        `float`: (positive − negative) / (positive + negative) entries, in [-1, 1]; 0 without any.

    Raises:
        ValueError: There is no such lexicon.
        TypeError: The text is none.

    Example:
        ```python
        >>> from trl_ext.rate import lexicon_score
        >>> lexicon_score("A good plot, awful music, and a wonderful cast.", "sentiment")
        0.3333333333333333
        >>> lexicon_score("I think it might rain.", "confidence")
        -1.0

        ```
    """
    return _as_lexicon(lexicon).score(_checked(text))


def _as_lexicon(lexicon: str | Lexicon) -> Lexicon:
    return lexicon if isinstance(lexicon, Lexicon) else get_lexicon(lexicon)


def _checked(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"a text must be str, got {type(text).__name__}")
    return text


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]
