"""Which texts have an attribute: by a rule, a lexicon, a column of the data, a model, or a function of the user's."""

import importlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...data.checks import shorten
from .attribute import Attribute, Classifier
from .classifier_settings import DATA, MEDIAN, classifier_problems, with_defaults


if TYPE_CHECKING:
    from ..rules import Vocabulary

_SHOWN = 5  # values of a column
_LETTER = re.compile(r"[^\W\d_]")
_MARKDOWN = re.compile(
    r"""^\#{1,6}\s+\S            # heading
      | ^\s*(?:[-*+]|\d+[.)])\s+\S   # item of a list
      | ^\s*(?:```|~~~)          # block of code
      | ^\s*>\s+\S               # quotation
      | ^\s*\|.+\|\s*$           # row of a table
      | \*\*[^\s*][^*\n]*\*\*    # bold
      | (?<!`)`[^`\n]+`(?!`)     # code
      | \[[^\]\n]+\]\([^)\s]+\)  # link
    """,
    re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True)
class RuleClassifier:
    """Characters or words above a threshold, a vowel at the start, Markdown, or a share of unknown words above one."""

    measure: str
    threshold: float | str | None = None
    vocabulary: str | None = None
    fitted: Mapping[str, Any] | None = None
    words: "Vocabulary | None" = field(default=None, compare=False, repr=False)

    def fit(self, texts: Sequence[str]) -> "RuleClassifier":
        """The same with the median of these texts, or with their words, where that is wanted."""
        if self.threshold == MEDIAN:
            return replace(self, **_median([self._count(text) for text in texts]))
        if self.vocabulary == DATA and self.words is None:
            from ..rules import Vocabulary

            # Words that occur in two texts or more: a typing mistake seldom does
            words = Vocabulary.from_texts(texts, min_count=2)
            return replace(
                self, words=words, fitted={"texts": len(texts), "words": len(words), "version": words.version}
            )
        return self

    def __call__(self, text: str, row: Mapping[str, Any]) -> bool | None:
        if self.measure == "starts_with_vowel":
            return starts_with_vowel(text)
        if self.measure == "markdown":
            return has_markdown(text)
        if self.measure == "unknown_words":
            if self.words is None:
                raise ValueError(_not_fitted("the vocabulary is that of the data"))
            return self.words.unknown_share(text) > self.threshold
        if self.threshold == MEDIAN:
            raise ValueError(_not_fitted("the threshold is the median of the data"))
        return self._count(text) > self.threshold

    def _count(self, text: str) -> int:
        return len(text) if self.measure == "characters" else len(text.split())

    def settings(self) -> dict[str, Any]:
        shown = {"measure": self.measure, "threshold": self.threshold, "vocabulary": self.vocabulary}
        shown["fitted"] = self.fitted
        return {"kind": "rule"} | {key: value for key, value in shown.items() if value is not None}


@dataclass(frozen=True)
class LexiconClassifier:
    """A score of words from a lexicon, in [-1, 1]: above or below a neutral zone, in which nothing is said."""

    lexicon: str
    threshold: float | str = 0.0
    neutral: float = 0.0
    fitted: Mapping[str, Any] | None = None

    def fit(self, texts: Sequence[str]) -> "LexiconClassifier":
        """The same with the median score of these texts, where that is wanted."""
        if self.threshold != MEDIAN:
            return self
        return replace(self, **_median([self._score(text) for text in texts]))

    def __call__(self, text: str, row: Mapping[str, Any]) -> bool | None:
        if self.threshold == MEDIAN:
            raise ValueError(_not_fitted("the threshold is the median of the data"))
        return side_of(self._score(text), self.threshold, self.neutral)

    def _score(self, text: str) -> float:
        from .lexicons import lexicon_score

        return lexicon_score(text, self.lexicon)

    def settings(self) -> dict[str, Any]:
        shown = {"lexicon": self.lexicon, "threshold": self.threshold, "neutral": self.neutral}
        return {"kind": "lexicon"} | shown | ({} if self.fitted is None else {"fitted": self.fitted})


@dataclass(frozen=True)
class MetadataClassifier:
    """A column of the data with values for the one side and the other; any other value says nothing."""

    column: str
    treated: tuple[Any, ...]
    untreated: tuple[Any, ...]

    def __call__(self, text: str, row: Mapping[str, Any]) -> bool | None:
        value = row.get(self.column)
        return True if value in self.treated else False if value in self.untreated else None

    def explain(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """What is wanted of the column, and the first other values that rows have."""
        others = {repr(row.get(self.column)): None for row in rows if self("", row) is None}
        shown = ", ".join(list(others)[:_SHOWN]) + (", ..." if len(others) > _SHOWN else "")
        return (
            f"column {self.column!r} decides: with the attribute {', '.join(map(repr, self.treated))}; without "
            f"{', '.join(map(repr, self.untreated)) or 'no value'}; other values found: {shown or 'none'}"
        )

    def settings(self) -> dict[str, Any]:
        return {
            "kind": "metadata",
            "column": self.column,
            "treated": list(self.treated),
            "untreated": list(self.untreated),
        }


@dataclass(frozen=True)
class PythonClassifier:
    """A function of the user's, `module:function`, of a text and its row to `True`, `False` or `None`."""

    function: str

    def __post_init__(self):
        self._load()  # a misspelt name is found at once

    def _load(self) -> Classifier:
        module, name = self.function.split(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise ValueError(f"function {self.function!r} can't be loaded: {error}") from error
        if not callable(function):
            raise ValueError(f"function {self.function!r} is no function, it is {function!r}")
        return function

    def __call__(self, text: str, row: Mapping[str, Any]) -> bool | None:
        value = self._load()(text, row)
        if value is not None and not isinstance(value, bool | np.bool_):
            raise ValueError(f"{self.function} must return True, False or None, got {value!r} for {shorten(text)}")
        return None if value is None else bool(value)

    def settings(self) -> dict[str, Any]:
        return {"kind": "python", "function": self.function}


def make_classifier(settings: Mapping[str, Any]) -> Classifier:
    """
    A classifier of its settings.

    Args:
        settings (`Mapping`):
            `kind` (`"rule"`, `"lexicon"`, `"metadata"`, `"model"` or `"python"`), and the settings of that kind; see
            `docs/rate_attributes.md`.

    Returns:
        `Callable`: Function from a text and its row to `True`, `False` or `None`. It has `settings()`.

    Raises:
        ValueError: A setting is missing, unknown or wrong; a vocabulary or function is not there.

    Example:
        ```python
        >>> from trl_ext.rate import make_classifier
        >>> is_liked = make_classifier({"kind": "metadata", "column": "stars", "treated": [4, 5], "untreated": [1, 2]})
        >>> is_liked("Fine.", {"stars": 5}), is_liked("Fine.", {"stars": 3})
        (True, None)

        ```
    """
    problems = classifier_problems(settings)
    if problems:
        raise ValueError("classifier: " + "; ".join(problems))
    values = with_defaults(settings)
    kind = values.pop("kind")
    if kind == "rule":
        words = None
        if values["vocabulary"] not in (None, DATA):
            words = _read_words(values["vocabulary"])
            values["fitted"] = {"words": len(words), "version": words.version}
        return RuleClassifier(**values, words=words)
    if kind == "metadata":
        return MetadataClassifier(values["column"], tuple(values["treated"]), tuple(values["untreated"]))
    if kind == "model":
        from .model_classifier import ModelClassifier

        return ModelClassifier(**values)
    return LexiconClassifier(**values) if kind == "lexicon" else PythonClassifier(**values)


def fit_attribute(attribute: Attribute, texts: Sequence[str]) -> Attribute:
    """
    Fix what a classifier takes from the data: a median as threshold, or the vocabulary.

    Args:
        attribute ([`Attribute`]): The attribute; one whose classifier takes nothing from data is returned as it is.
        texts (`Sequence[str]`): The original texts.

    Returns:
        [`Attribute`]: With a classifier that can be used, and what was found in its `settings`.

    Example:
        ```python
        >>> from trl_ext.rate import fit_attribute, get_attribute
        >>> length = fit_attribute(get_attribute("length"), ["Short.", "A bit longer.", "By far the longest of them."])
        >>> length.settings["threshold"], length.classify("Is this one long?")
        (13.0, True)

        ```
    """
    fit = getattr(attribute.classifier, "fit", None)
    if fit is None:
        return attribute
    if not texts:
        raise ValueError(f"attribute {attribute.name!r}: there are no texts to fit its classifier to")
    classifier = fit(texts)
    return replace(attribute, classifier=classifier, settings=classifier.settings())


def classify_texts(
    attribute: Attribute, texts: Sequence[str], rows: Sequence[Mapping[str, Any]] | None = None
) -> list[bool | None]:
    """
    Whether texts have an attribute, many at once.

    Args:
        attribute ([`Attribute`]): The attribute. A model classifies in batches.
        texts (`Sequence[str]`): N texts.
        rows (`Sequence[Mapping]`, *optional*): N rows with their other columns.

    Returns:
        `list[bool | None]`: N answers; `None` where nothing can be said.

    Raises:
        ValueError: The attribute has no classifier, or it needs [`fit_attribute`] first; N differ.
    """
    rows = [{}] * len(texts) if rows is None else rows
    if len(rows) != len(texts):
        raise ValueError(f"there are {len(texts)} texts, but {len(rows)} rows: give one per text")
    batch = getattr(attribute.classifier, "classify_batch", None)
    if batch is not None:
        return batch(texts)
    return [attribute.classify(text, row) for text, row in zip(texts, rows, strict=True)]


def side_of(score: float, threshold: float, neutral: float) -> bool | None:
    """Whether a score is above a threshold, `None` at most `neutral` away from it."""
    return None if abs(score - threshold) <= neutral else score > threshold


def has_markdown(text: str) -> bool:
    """Whether a text has a heading, a list, a table, a quotation, code, a link or bold words in Markdown."""
    return _MARKDOWN.search(text) is not None


def starts_with_vowel(text: str) -> bool | None:
    """Whether the first letter of a text is one of a, e, i, o, u, accents ignored; `None` without a letter."""
    letter = _LETTER.search(text)
    return None if letter is None else unicodedata.normalize("NFD", letter.group())[0].lower() in "aeiou"


def _read_words(path: str) -> "Vocabulary":
    from ..rules import Vocabulary

    try:
        return Vocabulary.read(Path(path).expanduser())
    except (OSError, ValueError) as error:
        raise ValueError(f"classifier: vocabulary {path!r} can't be read: {error}") from error


def _median(values: Sequence[float]) -> dict[str, Any]:
    return {"threshold": float(np.median(values)), "fitted": {"texts": len(values), "threshold": MEDIAN}}


def _not_fitted(what: str) -> str:
    return (
        f"{what}, which are not known yet: use fit_attribute(attribute, texts), or set it, as in "
        "get_attribute(name, classifier={...})"
    )
