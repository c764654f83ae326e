"""A chat model as judge of whether texts have an attribute: did rewriting work?"""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .attribute import Attribute


if TYPE_CHECKING:
    from ...completions import Sampling
    from ...completions.engine import Backend


logger = logging.getLogger(__name__)

QUESTION = (
    "Two descriptions of the text between the lines of dashes:\n1: {first}\n2: {second}\n\n"
    "----------\n{text}\n----------\n\n"
    "Which description fits better? Answer with the digit 1 or 2 and nothing else."
)
_ANSWER = re.compile(r"^\W*([12])\b(?!\s*(?:[.,]\d|or\b|and\b))")


class ChatClassifier:
    """
    Asks a chat model which of two descriptions fits a text better, in both orders: models prefer the first one, or the
    last. Only where both answers agree the text is classified.

    It is a classifier as [`Attribute`] takes one. Another model should judge than the one that rewrote: a model finds
    that its own rewrites are what it was asked for. Answers are kept in a store, and none is asked for twice.

    Args:
        backend ([`~trl_ext.completions.OpenAIBackend`], [`~trl_ext.completions.LocalBackend`] or another):
            What answers.
        attribute ([`Attribute`]):
            What is judged, described by its `treated` and `untreated`.
        store_path (`str` or `Path`):
            JSONL file of the answers.
        descriptions (`tuple[str, str]`, *optional*):
            Of texts with the attribute, and without, instead of the attribute's own: those of a change, such as "longer",
            are no descriptions of a single text.
        sampling ([`~trl_ext.completions.Sampling`], *optional*):
            By default temperature 0 and 8 tokens; a local model fills in the digit.
        parse_attempts (`int`, *optional*, defaults to `2`):
            Answers to ask for until one can be read.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.

    Attributes:
        failures (`dict[str, int]`): Questions of the last call without an answer that can be read, by kind.
        contradictions (`int`): Texts of the last call whose answers in both orders differ.

    Raises:
        ValueError: The descriptions are equal or empty, or the backend can't sample as asked.

    Example:
        ```python
        >>> from dataclasses import replace
        >>> from trl_ext.completions import OpenAIBackend
        >>> from trl_ext.rate import Attribute, ChatClassifier
        >>> mood = Attribute("mood", "of positive sentiment", "of negative sentiment", "Make this text {target}: {text}")
        >>> judge = OpenAIBackend("llama", base_url="http://localhost:8000/v1", api_key_env=None)
        >>> mood = replace(mood, classifier=ChatClassifier(judge, mood, "judgements.jsonl"))
        >>> mood.classifier.settings()["model"]
        'llama'

        ```
    """

    def __init__(
        self,
        backend: "Backend",
        attribute: Attribute,
        store_path: str | Path,
        *,
        descriptions: tuple[str, str] | None = None,
        sampling: "Sampling | None" = None,
        parse_attempts: int = 2,
        progress: bool = True,
    ):
        self.backend = backend
        self.attribute = attribute.name
        self.descriptions = (attribute.treated, attribute.untreated) if descriptions is None else tuple(descriptions)
        if len(set(self.descriptions)) < 2 or not all(isinstance(d, str) and d.strip() for d in self.descriptions):
            raise ValueError(f"descriptions must be two different texts, got {self.descriptions!r}")
        self.store_path = Path(store_path)
        self.sampling = _default_sampling(backend) if sampling is None else sampling
        self.parse_attempts = parse_attempts
        self.progress = progress
        self.failures: dict[str, int] = {}
        self.contradictions = 0
        backend.check(self.sampling)

    def __call__(self, text: str, row: Mapping[str, Any]) -> bool | None:
        """Whether one text has the attribute; for many, [`ChatClassifier.classify_batch`] asks at once."""
        return self.classify_batch([text])[0]

    def classify_batch(self, texts: Sequence[str]) -> list[bool | None]:
        """
        Whether texts have the attribute.

        Args:
            texts (`Sequence[str]`): N texts.

        Returns:
            `list[bool | None]`: N values; `None` where answers contradict each other or can't be read.

        Raises:
            TooManyFailures: Ten questions in a row got no answer.
        """
        from ...completions import CompletionRequest, complete_all

        different = list(dict.fromkeys(texts))
        requests = [
            CompletionRequest(f"{number}/{order}", self.question(text, order), self.sampling)
            for number, text in enumerate(different)
            for order in (0, 1)
        ]
        run = complete_all(
            requests,
            self.backend,
            self.store_path,
            parse=_digit,
            parse_attempts=self.parse_attempts,
            progress=self.progress,
            description=f"Judging {self.attribute}",
        )
        failures = Counter(result.failure.kind for result in run.results if result.failure is not None)
        self.failures, self.contradictions = dict(failures), 0
        said: dict[str, bool | None] = {}
        for number, text in enumerate(different):
            first, second = (result.value for result in run.results[2 * number : 2 * number + 2])
            said[text] = None if None in (first, second) or first == second else first == 1
            self.contradictions += first is not None and first == second
        if failures or self.contradictions:
            logger.warning(
                "%s: of %d texts %d got contradicting answers; questions without a readable answer: %s",
                self.attribute,
                len(different),
                self.contradictions,
                self.failures or "none",
            )
        return [said[text] for text in texts]

    def question(self, text: str, order: int) -> list[dict[str, str]]:
        """The conversation that asks about a text, with the description of the attribute in front (order 0) or last."""
        first, second = self.descriptions if order == 0 else self.descriptions[::-1]
        # The text last: it may contain the other marks
        content = QUESTION.replace("{first}", first).replace("{second}", second).replace("{text}", text)
        return [{"role": "user", "content": content}]

    def settings(self) -> dict[str, Any]:
        """What the judgements depend on, for JSON."""
        return {
            "kind": "chat",
            "model": self.backend.model_id,
            "question": QUESTION,
            "descriptions": list(self.descriptions),
            "temperature": self.sampling.temperature,
            "seed": self.sampling.seed,
        }


def _digit(answer: str) -> int:
    match = _ANSWER.search(answer)
    if match is None:
        raise ValueError(f"the answer must be 1 or 2, got {answer[:40]!r}")
    return int(match[1])


def _default_sampling(backend: "Backend") -> "Sampling":
    from ...completions import AnswerForm, Sampling

    # Small local models don't answer with a digit alone, unless they can't but
    if getattr(backend, "tokenizer", None) is not None:
        return Sampling(form=AnswerForm((("(", ("1", "2")),), end=")"))
    return Sampling(max_tokens=8)
