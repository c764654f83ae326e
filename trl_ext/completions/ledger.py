"""Tokens and money: what answers have cost, and what is still to come."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .answers import Answer
from .requests import CompletionRequest


BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4


@dataclass(frozen=True)
class Prices:
    """
    What a million tokens costs, in the user's currency.

    Args:
        prompt (`float`): Price of a million tokens of questions.
        completion (`float`): Price of a million tokens of answers.
    """

    prompt: float
    completion: float

    def __post_init__(self):
        for name, value in asdict(self).items():
            if not value >= 0:
                raise ValueError(f"price of {name} tokens must be at least 0 per million, got {value!r}")

    def cost(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Price of that many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class Ledger:
    """
    Tokens that stored answers took, those that were of no use included.

    Args:
        answers (`int`): Answers received.
        unusable (`int`): Those of them that were empty or could not be parsed.
        prompt_tokens (`int`): Tokens of the questions of all of them.
        completion_tokens (`int`): Tokens of all of them.
        unusable_prompt_tokens (`int`): Tokens of the questions of the unusable ones.
        unusable_completion_tokens (`int`): Tokens of the unusable ones.
        without_usage (`int`): Answers whose tokens the server did not tell: they are in none of the sums.
        cost (`float` or `None`): Price of the sums; `None` without prices.
    """

    answers: int
    unusable: int
    prompt_tokens: int
    completion_tokens: int
    unusable_prompt_tokens: int
    unusable_completion_tokens: int
    without_usage: int
    cost: float | None

    @classmethod
    def of(cls, answers: Iterable[tuple[Answer, bool]], prices: Prices | None = None) -> "Ledger":
        """Sums over answers and whether each was of use."""
        answers = list(answers)
        counted = [(a.prompt_tokens, a.completion_tokens, usable) for a, usable in answers if _has_usage(a)]
        prompt, completion = sum(row[0] for row in counted), sum(row[1] for row in counted)
        return cls(
            answers=len(answers),
            unusable=sum(not usable for _, usable in answers),
            prompt_tokens=prompt,
            completion_tokens=completion,
            unusable_prompt_tokens=sum(row[0] for row in counted if not row[2]),
            unusable_completion_tokens=sum(row[1] for row in counted if not row[2]),
            without_usage=len(answers) - len(counted),
            cost=None if prices is None else prices.cost(prompt, completion),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CostEstimate:
    """
    What is still to be asked, before anything is sent. Repeated attempts are not foreseen.

    Args:
        requests (`int`): Requests in the list.
        answered (`int`): Requests whose answers are stored, equal questions counted for each request.
        duplicates (`int`): Requests that are equal to another one, so that one answer serves both.
        to_ask (`int`): Questions that will be sent.
        prompt_tokens (`int`): Tokens of those questions.
        completion_tokens (`int` or `None`): Tokens of their answers; `None` if nothing bounds them.
        cost (`float` or `None`): Their price; `None` without prices or without a bound.
        rule (`str`): How the tokens were counted.
    """

    requests: int
    answered: int
    duplicates: int
    to_ask: int
    prompt_tokens: int
    completion_tokens: int | None
    cost: float | None
    rule: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def approximate_prompt_tokens(messages: Sequence[Mapping[str, str]]) -> int:
    """
    Tokens of a conversation, where the tokenizer is not at hand: one per four bytes of UTF-8, rounded up for each
    message, and four for each message.

    Example:
        ```python
        >>> approximate_prompt_tokens([{"role": "user", "content": "Hello, world"}])
        7
        ```
    """
    return sum(-(-len(m["content"].encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN) for m in messages) + (
        TOKENS_PER_MESSAGE * len(messages)
    )


APPROXIMATE_RULE = f"prompts: 1 token per {BYTES_PER_TOKEN} bytes of UTF-8, {TOKENS_PER_MESSAGE} more for each message"


def expected_completion_tokens(
    requests: Sequence[CompletionRequest], stored: Iterable[Answer]
) -> tuple[int | None, str]:
    """Tokens of the answers to come, and the rule: the mean of those received, else the longest that is allowed."""
    lengths = [answer.completion_tokens for answer in stored if _has_usage(answer)]
    if lengths:
        mean = sum(lengths) / len(lengths)
        return round(mean * len(requests)), f"answers: {mean:.1f} tokens, the mean of {len(lengths)} stored ones"
    limits = [request.sampling.max_tokens for request in requests]
    if None in limits:
        return None, "answers: not bounded, as max_tokens is None and none is stored"
    return sum(limits), "answers: as long as max_tokens allows"


def estimate_cost(
    requests: Sequence[CompletionRequest],
    to_ask: Sequence[CompletionRequest],
    *,
    answered: int,
    stored: Iterable[Answer],
    count_prompt_tokens: Callable[[Sequence[Mapping[str, str]]], int],
    prompt_rule: str,
    prices: Prices | None,
) -> CostEstimate:
    """Puts together a [`CostEstimate`]; [`estimate_completions`] finds out what is to be asked."""
    prompt = sum(count_prompt_tokens(request.messages) for request in to_ask)
    completion, completion_rule = expected_completion_tokens(to_ask, stored)
    return CostEstimate(
        requests=len(requests),
        answered=answered,
        duplicates=len(requests) - answered - len(to_ask),
        to_ask=len(to_ask),
        prompt_tokens=prompt,
        completion_tokens=completion,
        cost=None if prices is None or completion is None else prices.cost(prompt, completion),
        rule=f"{prompt_rule}; {completion_rule}",
    )


def _has_usage(answer: Answer) -> bool:
    return answer.prompt_tokens is not None and answer.completion_tokens is not None
