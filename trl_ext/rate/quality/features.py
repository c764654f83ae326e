"""What can be counted of a text: its off-target features should not depend on the attribute it was rewritten to."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ...arena.responses.text_counts import FEATURES as MARKDOWN
from ...arena.responses.text_counts import text_features
from ..attributes.lexicons import LEXICONS, lexicon_score
from ..attributes.readability import count_sentences, reading_ease
from ..attributes.words import words_of
from ..chains.steps import step_names
from ..chains.text_chains import TextChains


if TYPE_CHECKING:
    from ..rules import Vocabulary
    from .text_encoder import Encoder

PLAIN = ("characters", "sentences", "readability", "type_token_ratio", "punctuation_rate", "capital_rate")
UNKNOWN, DISTANCE = "unknown_share", "embedding_distance"
_PUNCTUATION = re.compile(r"[^\w\s]|_")
FEATURES = ("characters", *MARKDOWN, *PLAIN[1:], *LEXICONS, UNKNOWN, DISTANCE)


def measure_features(
    texts: Sequence[str],
    *,
    originals: Sequence[str] | None = None,
    vocabulary: "Vocabulary | None" = None,
    encoder: "Encoder | None" = None,
    features: Sequence[str] | None = None,
) -> pd.DataFrame:
    """
    Features of texts.

    Args:
        texts (`Sequence[str]`):
            N texts.
        originals (`Sequence[str]`, *optional*):
            What each was made of, for `embedding_distance`.
        vocabulary ([`Vocabulary`], *optional*):
            Known words, for `unknown_share`.
        encoder (`Callable`, *optional*):
            Function from texts to vectors `(N, D)`, such as [`load_encoder`] gives, for `embedding_distance`.
        features (`Sequence[str]`, *optional*):
            Which of the columns below. By default all that can be measured of what was given.

    Returns:
        `pandas.DataFrame`: N rows of

        | column | |
        |---|---|
        | `characters`, `words`, `sentences` | counts; words are parted by white space |
        | `headers`, `lists`, `bold`, `code_blocks` | Markdown, see [`~trl_ext.arena.text_features`] |
        | `readability` | Flesch's reading ease, see [`reading_ease`] |
        | `type_token_ratio` | distinct words / words, in [0, 1]; falls with length |
        | `punctuation_rate` | characters that are neither letters, digits nor white space, share of all |
        | `capital_rate` | capital letters, share of letters |
        | `sentiment`, `politeness`, `confidence`, `complexity` | lexicon scores in [-1, 1], see [`lexicon_score`] |
        | `unknown_share` | share of words that are not in the vocabulary, in [0, 1] |
        | `embedding_distance` | 1 - cosine of the vectors of text and original |

        `readability`, `type_token_ratio` and `capital_rate` are `nan` for texts without letters.

    Raises:
        ValueError: A feature is unknown or needs what was not given, or a text is empty.
        TypeError: Something is not a text; the first is named.

    Example:
        ```python
        >>> from trl_ext.rate import measure_features
        >>> measure_features(["Good, good."], features=["words", "type_token_ratio", "capital_rate"]).to_dict("list")
        {'words': [2], 'type_token_ratio': [0.5], 'capital_rate': [0.125]}

        ```
    """
    texts = _checked(texts)
    impossible = {UNKNOWN} if vocabulary is None else set()
    if encoder is None or originals is None:
        impossible.add(DISTANCE)
    can = [name for name in FEATURES if name not in impossible]
    names = can if features is None else _known(features, can)
    columns: dict[str, Any] = {}
    if set(names) & set(MARKDOWN):
        columns |= text_features(texts).to_dict("series")
    if set(names) & set(PLAIN):
        rows = pd.DataFrame([_plain(text) for text in texts], columns=list(PLAIN))
        columns |= rows.to_dict("series")
    for name in set(names) & set(LEXICONS):
        columns[name] = [lexicon_score(text, name) for text in texts]
    if UNKNOWN in names:
        columns[UNKNOWN] = [vocabulary.unknown_share(text) for text in texts]
    if DISTANCE in names:
        columns[DISTANCE] = _distances(texts, originals, encoder)
    return pd.DataFrame({name: columns[name] for name in names})


def feature_differences(
    chains: TextChains,
    features: Sequence[str] | None = None,
    *,
    vocabulary: "Vocabulary | None" = None,
    encoder: "Encoder | None" = None,
) -> pd.DataFrame:
    """
    Within every chain, features of the text that was rewritten to have the attribute minus those of the text that was
    rewritten not to have it: of rewritten rewrite and rewrite where the original has it, else the other way round. They
    are what off-target edits contribute to the effect of a row, and regressors of [`feature_adjusted_effects`].

    Args:
        chains ([`TextChains`]): N chains with two rewrites or more, none missing.
        features (`Sequence[str]`, *optional*): Features, see [`measure_features`]. By default all that can be measured.
        vocabulary, encoder: As in [`measure_features`].

    Returns:
        `pandas.DataFrame`: N rows, a column per feature, in the feature's unit.

    Raises:
        ValueError: There are less than two rewrites, or one is missing. The row is named.

    Example:
        ```python
        >>> from trl_ext.rate import TextChains, feature_differences
        >>> texts = (("Short.", "A longer text.", "Short text."),)
        >>> chains = TextChains("length", ("a",), ("Write.",), np.array([False]), texts)
        >>> feature_differences(chains, ["words"])["words"].tolist()
        [1.0]

        ```
    """
    if chains.steps < 2:
        raise ValueError(f"differences need two rewrites of every text, there {_is(chains.steps)}")
    tables = [
        features_of_step(chains, step, features=features, vocabulary=vocabulary, encoder=encoder) for step in (1, 2)
    ]
    sign = np.where(chains.w, 1.0, -1.0)
    return (tables[1].astype(np.float64) - tables[0].astype(np.float64)).mul(sign, axis=0)


def features_of_step(chains: TextChains, step: int, **options: Any) -> pd.DataFrame:
    """[`measure_features`] of the texts of a step, 0 for the originals. The distance is that to the original."""
    texts = chains.of(step)
    if None in texts:
        row = texts.index(None)
        raise ValueError(
            f"row {row} (id {chains.ids[row]!r}) has no {step_names(step + 1)[-1]!r}: leave out such rows with "
            "chains.select(chains.complete)"
        )
    return measure_features(texts, originals=chains.of(0), **options)


def _is(steps: int) -> str:
    return f"{'is' if steps == 1 else 'are'} {steps}"


def _checked(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts, got a single text")
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts must be str; the one at position {position} is {type(text).__name__}")
        if not text.strip():
            raise ValueError(f"the text at position {position} is empty")
    return list(texts)


def _known(features: Sequence[str], can: Sequence[str]) -> list[str]:
    if isinstance(features, str):
        raise TypeError(f"features must be a list of names, got the text {features!r}")
    for name in features:
        if name not in FEATURES:
            raise ValueError(f"there is no feature {name!r}; the features are {', '.join(FEATURES)}")
        if name not in can:
            needs = "a vocabulary" if name == UNKNOWN else "an encoder and the originals"
            raise ValueError(f"feature {name!r} needs {needs}")
    repeated = [name for name in features if list(features).count(name) > 1]
    if repeated:
        raise ValueError(f"feature {repeated[0]!r} is named more than once")
    return list(features)


def _plain(text: str) -> tuple[float, ...]:
    words = words_of(text)
    letters = sum(map(str.isalpha, text))
    return (
        len(text),
        count_sentences(text),
        reading_ease(text),
        len(set(words)) / len(words) if words else np.nan,
        len(_PUNCTUATION.findall(text)) / len(text),
        sum(map(str.isupper, text)) / letters if letters else np.nan,
    )


def _distances(texts: list[str], originals: Sequence[str], encoder: "Encoder") -> np.ndarray:
    originals = _checked(originals)
    if len(originals) != len(texts):
        raise ValueError(f"originals must have one text per text, {len(texts)}, got {len(originals)}")
    different = list(dict.fromkeys([*texts, *originals]))
    vectors = np.asarray(encoder(different), dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(different):
        raise ValueError(f"an encoder must give a vector per text, ({len(different)}, D), got shape {vectors.shape}")
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    place = {text: row for row, text in enumerate(different)}
    pairs = zip(texts, originals, strict=True)
    # equal texts differ by rounding alone
    return np.array([0.0 if a == b else 1 - vectors[place[a]] @ vectors[place[b]] for a, b in pairs])
