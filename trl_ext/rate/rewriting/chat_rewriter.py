"""Rewrites by a chat model: behind an OpenAI-compatible server, in batches, or in this process."""

import logging
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...reasoning_tags import reasoning_end
from ..attributes.attribute import Attribute
from ..chains.steps import step_names
from ..quality.text_faults import preamble_end
from .rewriter import RewriteRequest, Rewritten


if TYPE_CHECKING:
    from ...completions import CompletionRequest, CompletionResult, Ledger, Prices, Sampling
    from ...completions.engine import Backend


logger = logging.getLogger(__name__)

SHORTEST_LIMIT = 256  # tokens: a text of one word may become a paragraph
LENGTH_FACTOR = 4.0


class ChatRewriter:
    """
    Asks a chat model for rewrites, and keeps every answer in a store.

    What is asked is [`Attribute.ask`]; the prompt that a text answers is not shown. Equal questions (the same model,
    instruction, text, target and sampling) are asked once and share their answer, whatever row or step they belong to;
    give another `repetition` to draw all rewrites anew. A repeated call, after an interruption or not, asks only what
    has no answer yet.

    An answer is taken as it is, but for white space at its ends, and lone surrogates, which no file can hold and which
    become U+FFFD. Quotes, code fences and announcements stay: whether a rewrite is one is judged later, by what measures
    its quality. With `strip_preamble=True` words in front that announce the text ("Sure! Here is the rewritten review:")
    are taken away, with reasoning that ends with `</think>`, and counted in `stripped`.

    Failures are those of their rows: `"empty"` and `"refusal"` (by the server's own field) after `parse_attempts`
    answers, or the kind of the error that was left after all retries (`"timeout"`, `"rate_limit"`, `"connection"`,
    `"context_length"`, ...). Errors are not stored: the next call asks these again.

    Args:
        backend ([`~trl_ext.completions.OpenAIBackend`], [`~trl_ext.completions.LocalBackend`] or another):
            What answers.
        attribute ([`Attribute`]):
            What is changed.
        store_path (`str` or `Path`):
            JSONL file of the answers. Several attributes and models may share one.
        sampling ([`~trl_ext.completions.Sampling`], *optional*):
            By default temperature 0.7, seed 0, and answers as long as `length_factor` says.
        length_factor (`float`, *optional*, defaults to `4.0`):
            Longest answer to each question if `sampling` has no `max_tokens`: this many times the tokens of the text (one
            per four bytes of UTF-8), at least 256, rounded up to a power of two. `None`: what the server does. Answers
            that are cut there have the finish reason `"length"`.
        repetition (`int`, *optional*, defaults to `0`):
            Number of the set of rewrites.
        prices ([`~trl_ext.completions.Prices`], *optional*):
            For the cost in the ledger.
        parse_attempts (`int`, *optional*, defaults to `3`):
            Answers to ask for until one is not empty. A local model at temperature 0 is asked once.
        max_failures (`int`, *optional*):
            Stop when more questions of a step than this have failed.
        max_consecutive_errors (`int`, *optional*, defaults to `10`):
            Stop when so many questions in a row got no answer at all, as with a wrong key. `None`: never.
        strip_preamble (`bool`, *optional*, defaults to `False`):
            Take announcements and reasoning away.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar for every step.

    Attributes:
        name (`str`): Identity of the model.
        stripped (`int`): Answers in all calls of this object of which something was taken away.
        replaced (`int`): Likewise, answers with lone surrogates.

    Raises:
        ValueError: A setting is out of range, or the backend can't sample as asked.

    References:
        - Reber et al., RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, 2025, algorithm 1.

    Example:
        ```python
        >>> from trl_ext.completions import OpenAIBackend
        >>> from trl_ext.rate import Attribute, ChatRewriter
        >>> length = Attribute("length", "longer", "shorter", "Make this text {target}, and change nothing else: {text}")
        >>> backend = OpenAIBackend("llama", base_url="http://localhost:8000/v1", api_key_env=None)
        >>> rewriter = ChatRewriter(backend, length, "answers.jsonl")
        >>> rewriter.name, rewriter.settings()["sampling"]["temperature"]
        ('llama', 0.7)

        ```
    """

    def __init__(
        self,
        backend: "Backend",
        attribute: Attribute,
        store_path: str | Path,
        *,
        sampling: "Sampling | None" = None,
        length_factor: float | None = LENGTH_FACTOR,
        repetition: int = 0,
        prices: "Prices | None" = None,
        parse_attempts: int = 3,
        max_failures: int | None = None,
        max_consecutive_errors: int | None = 10,
        strip_preamble: bool = False,
        progress: bool = True,
    ):
        from ...completions import Sampling

        if not isinstance(attribute, Attribute):
            raise TypeError(f"attribute must be an Attribute, got {type(attribute).__name__}: {attribute!r}")
        if length_factor is not None and not 0 < length_factor < math.inf:
            raise ValueError(f"length_factor must be positive or None, got {length_factor!r}")
        if repetition < 0:
            raise ValueError(f"repetition must be at least 0, got {repetition}")
        if parse_attempts < 1:
            raise ValueError(f"parse_attempts must be at least 1, got {parse_attempts}")
        self.backend = backend
        self.attribute = attribute
        self.store_path = Path(store_path)
        self.sampling = Sampling(temperature=0.7, max_tokens=None) if sampling is None else sampling
        if self.sampling.form is not None:
            raise ValueError("a rewrite is a free text: `sampling` must have no `form`")
        self.length_factor = length_factor
        self.repetition = repetition
        self.prices = prices
        self.parse_attempts = parse_attempts
        self.max_failures = max_failures
        self.max_consecutive_errors = max_consecutive_errors
        self.strip_preamble = strip_preamble
        self.progress = progress
        self.name = backend.model_id
        self.stripped = self.replaced = 0
        self._rewritten: list[RewriteRequest] = []
        backend.check(self.completion_request("check", "text", True).sampling)

    def settings(self) -> dict[str, Any]:
        """
        What the rewrites depend on, for JSON. The address of a server, the store, and limits on failures are no part of
        it: a run may go on with others.
        """
        return {
            "kind": "chat",
            "model": self.backend.model_id,
            "sampling": asdict(self.sampling),
            "length_factor": self.length_factor if self.sampling.max_tokens is None else None,
            "repetition": self.repetition,
            "strip_preamble": self.strip_preamble,
        }

    def completion_request(self, name: str, text: str, target: bool) -> "CompletionRequest":
        """The question that asks for a rewrite of a text."""
        from ...completions import CompletionRequest

        sampling = self.sampling
        if sampling.max_tokens is None and self.length_factor is not None:
            sampling = replace(sampling, max_tokens=longest_answer(text, self.length_factor))
        return CompletionRequest(name, self.attribute.ask(text, target), sampling, self.repetition)

    def rewrite(self, requests: Sequence[RewriteRequest]) -> list[Rewritten]:
        """
        Ask for all rewrites that are not stored yet.

        Args:
            requests (`Sequence[RewriteRequest]`): Texts; each id once for each step.

        Returns:
            `list[Rewritten]`: One for each request, in their order.

        Raises:
            TooManyFailures: A limit on failures was reached; what was answered is stored, and the same call goes on.
            StoreInUse: Another process writes the store.
        """
        from ...completions import complete_all

        requests = list(requests)
        steps = sorted({request.step for request in requests})
        label = ", ".join(step_names(step + 1)[-1] for step in steps)
        run = complete_all(
            self._questions(requests),
            self.backend,
            self.store_path,
            parse_attempts=self.parse_attempts,
            max_failures=self.max_failures,
            max_consecutive_errors=self.max_consecutive_errors,
            progress=self.progress,
            description=f"{self.attribute.name}: {label}",
        )
        self._rewritten += requests
        results = [self._rewritten_text(result) for result in run.results]
        failures = Counter(result.failure for result in results if result.failure is not None)
        if failures:
            logger.warning(
                "%s: no rewrite of %d of %d texts: %s", label, failures.total(), len(results), dict(failures)
            )
        return results

    @property
    def ledger(self) -> "Ledger":
        """Tokens and cost of all stored answers to what this object was asked to rewrite, see [`ledger_of`]."""
        return self.ledger_of(self._rewritten)

    def ledger_of(self, requests: Iterable[RewriteRequest]) -> "Ledger":
        """
        Tokens and cost of all stored answers to some requests: those of earlier runs and those of no use included, and
        an answer that several requests share counted once.
        """
        from ...completions import AnswerStore, Ledger, request_key

        questions = (self.completion_request("ledger", request.text, request.target) for request in requests)
        keys = dict.fromkeys(request_key(self.backend.model_id, question) for question in questions)
        if not self.store_path.exists():
            return Ledger.of([], self.prices)
        with AnswerStore(self.store_path) as store:
            answers = [answer for key in keys for answer in store.attempts(key)]
        return Ledger.of([(answer, bool(answer.text.strip())) for answer in answers], self.prices)

    def _questions(self, requests: Sequence[RewriteRequest]) -> "list[CompletionRequest]":
        return [self.completion_request(f"{r.id}/{r.step}", r.text, r.target) for r in requests]

    def _rewritten_text(self, result: "CompletionResult") -> Rewritten:
        if result.failure is not None:
            answer = result.failure.answer
            if answer is None:
                return Rewritten(None, result.failure.kind)
            return Rewritten(None, "refusal" if answer.refusal else "empty", answer.finish_reason)
        whole = without_lone_surrogates(result.value)
        self.replaced += whole != result.value
        text = self.clean(result.value)
        self.stripped += text != whole.strip()
        return Rewritten(text, None, result.answer.finish_reason)

    def clean(self, answer: str) -> str:
        """The rewrite in an answer that is not empty: all that is changed in it is said above."""
        text = without_lone_surrogates(answer)
        return (without_preamble(text) if self.strip_preamble else text).strip()


def longest_answer(text: str, factor: float) -> int:
    """
    Tokens that a rewrite of a text may have.

    Powers of two, so that questions of similar length can share a batch of a local model.

    Args:
        text (`str`): The text.
        factor (`float`): How many times its tokens, at one per four bytes of UTF-8.

    Returns:
        `int`: At least 256.

    Example:
        ```python
        >>> from trl_ext.rate.rewriting.chat_rewriter import longest_answer
        >>> longest_answer("short", 4.0), longest_answer("a text of 1000 bytes" * 50, 4.0)
        (256, 1024)

        ```
    """
    tokens = factor * len(text.encode("utf-8", "surrogatepass")) / 4
    return max(SHORTEST_LIMIT, 2 ** math.ceil(math.log2(max(tokens, 1.0))))


def without_preamble(text: str) -> str:
    """
    A text without reasoning in front, up to the last `</think>`, and without the announcement that
    [`~trl_ext.rate.quality.text_faults.has_preamble`] finds. A text that is nothing else is left as it is.

    Example:
        ```python
        >>> from trl_ext.rate.rewriting.chat_rewriter import without_preamble
        >>> without_preamble("Sure! Here is the rewritten review:\\n\\nA fine film."), without_preamble("Here is a film.")
        ('A fine film.', 'Here is a film.')
        >>> without_preamble("<think>It should be kinder.</think>\\n**Rewritten:** A fine film.")
        'A fine film.'

        ```
    """
    rest = text[reasoning_end(text) :].lstrip()
    while end := preamble_end(rest):  # "Sure!", and then "Here is the review:"
        rest = rest[end:].lstrip()
    return rest if rest.strip() else text


def without_lone_surrogates(text: str) -> str:
    """A text that can be written as UTF-8: halves of characters, which JSON allows, become U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
