"""Known words: to count misspelled ones, and to repair them."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from ...atomic_files import write_text_atomically
from ..attributes.words import WORD, words_of


# Two letters can't be told to be misspelled, and `add_typos` leaves them alone
SHORTEST = 3


class Vocabulary:
    """
    Words that are spelled as they should be.

    Args:
        words (`Iterable[str]`):
            The words, in any case.

    Raises:
        ValueError: There are none, or one is no word.

    Example:
        ```python
        >>> from trl_ext.rate import Vocabulary
        >>> vocabulary = Vocabulary.from_texts(["The film was short and the acting was good."])
        >>> vocabulary.unknown_share("The iflm was shrot."), vocabulary.repair("The iflm was shrot.")
        (0.5, 'The film was short.')

        ```
    """

    def __init__(self, words: Iterable[str]):
        if isinstance(words, str):
            raise TypeError("words must be a list of words, got a text: use Vocabulary.from_texts([text])")
        self.words = frozenset(word.lower().replace("’", "'") for word in words)
        bad = sorted(word for word in self.words if not WORD.fullmatch(word))
        if bad:
            raise ValueError(f"a vocabulary holds words of letters; {len(bad)} are none, first: {bad[0]!r}")
        if not self.words:
            raise ValueError("a vocabulary needs words, got none")

    @classmethod
    def from_texts(cls, texts: Iterable[str], min_count: int = 1) -> "Vocabulary":
        """
        The words of texts.

        Args:
            texts (`Iterable[str]`): Texts that are spelled well, or many of which most are.
            min_count (`int`, *optional*, defaults to `1`):
                In how many texts a word must occur. 2 leaves out most misspelled words.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of texts, got one text")
        if min_count < 1:
            raise ValueError(f"`min_count` must be at least 1, got {min_count}")
        counts = Counter(word for text in texts for word in set(words_of(text)))
        words = [word for word, count in counts.items() if count >= min_count]
        if not words:
            raise ValueError(f"no word is in {min_count} or more of the texts: there is no vocabulary")
        return cls(words)

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word.lower().replace("’", "'") in self.words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Vocabulary) and self.words == other.words

    def __hash__(self) -> int:
        return hash(self.words)

    @cached_property
    def version(self) -> str:
        """Hash of the words."""
        return sha256("\n".join(sorted(self.words)).encode()).hexdigest()[:16]

    @cached_property
    def _anagrams(self) -> dict[str, list[str]]:
        anagrams: dict[str, list[str]] = {}
        for word in sorted(self.words):
            anagrams.setdefault("".join(sorted(word)), []).append(word)
        return anagrams

    def unknown_share(self, text: str) -> float:
        """Share of the words of three letters and more that are unknown, in [0, 1]; 0 without such words."""
        words = [word for word in words_of(text) if len(word) >= SHORTEST]
        return sum(word not in self.words for word in words) / len(words) if words else 0.0

    def correction(self, word: str) -> str | None:
        """
        The word that an unknown word is meant to be, in lower case; `None` if it is known, or can't be told.

        It has the same letters in another order. Of several such words it is the one in which only two neighbours are
        exchanged, if there is only one.
        """
        word = word.lower().replace("’", "'")
        if word in self.words or len(word) < SHORTEST:
            return None
        candidates = self._anagrams.get("".join(sorted(word)), [])
        if len(candidates) > 1:
            candidates = [other for other in candidates if _is_neighbour_swap(word, other)]
        return candidates[0] if len(candidates) == 1 else None

    def repair(self, text: str, *, probability: float = 1.0, rng: np.random.Generator | None = None) -> str:
        """
        Repair unknown words. What can't be told for certain stays.

        Args:
            text (`str`): The text.
            probability (`float`, *optional*, defaults to `1.0`): That a word that can be repaired is repaired.
            rng (`np.random.Generator`, *optional*): Needed if the probability is not 1.

        Returns:
            `str`: The text; all but the repaired words is unchanged.
        """
        if all(word in self.words for word in words_of(text)):
            return text
        if probability != 1 and rng is None:
            raise ValueError(f"repair with probability {probability} needs a generator: pass rng")

        def repaired(match) -> str:
            word = match.group()
            right = None if word.lower() in self.words else self.correction(word)
            if right is None or (probability != 1 and rng.random() >= probability):
                return word
            if word.isupper():
                return right.upper()
            return right.capitalize() if any(letter.isupper() for letter in word) else right

        return WORD.sub(repaired, text)

    def save(self, path: str | Path) -> None:
        """Write the words to a text file, one a line."""
        write_text_atomically(path, "\n".join(sorted(self.words)) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> "Vocabulary":
        """Read a text file of words, one a line."""
        try:
            words = Path(path).read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"can't read the vocabulary {path}: {error}") from error
        try:
            return cls(word.strip() for word in words if word.strip())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def _is_neighbour_swap(one: str, other: str) -> bool:
    differs = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
    return len(differs) == 2 and differs[1] == differs[0] + 1
