"""What comes back: answers, failures, and what one question led to."""

from dataclasses import dataclass
from typing import Any

from .requests import CompletionRequest


@dataclass(frozen=True)
class Answer:
    """
    What a model answered.

    Args:
        text (`str`): Text of the answer; empty if there was none.
        finish_reason (`str`, *optional*): Why it ended: `"stop"`, `"length"`, or what the server says.
        prompt_tokens (`int`, *optional*): Tokens of the question; `None` if the server does not tell.
        completion_tokens (`int`, *optional*): Tokens of the answer, reasoning included; likewise.
        refusal (`str`, *optional*): Refusal, from servers that keep it apart from the text.
    """

    text: str
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    refusal: str | None = None


@dataclass(frozen=True)
class Failure:
    """
    Why there is no answer.

    Args:
        kind (`str`): One word to count by: `"rate_limit"`, `"authentication"`, `"unparsable"`, ...
        message (`str`): What was wrong, in words.
        answer ([`Answer`], *optional*): The last answer, if there were answers but none that could be used.
    """

    kind: str
    message: str
    answer: Answer | None = None


@dataclass(frozen=True)
class Job:
    """One attempt at one question, as a backend gets it."""

    key: str
    request: CompletionRequest
    attempt: int
    seed: int | None


@dataclass(frozen=True)
class Outcome:
    """
    What became of a job.

    Args:
        job ([`Job`]): The job.
        result ([`Answer`] or [`Failure`]): Answer, or why there is none.
        retried (`tuple[str, ...]`, *optional*): Kind of the error before every repetition of the request.
    """

    job: Job
    result: Answer | Failure
    retried: tuple[str, ...] = ()


@dataclass(frozen=True)
class CompletionResult:
    """
    What became of a request.

    Args:
        request ([`CompletionRequest`]): The request.
        value (`Any`): What `parse` made of the answer, or its text; `None` after a failure.
        answer ([`Answer`] or `None`): The answer `value` was made of.
        attempts (`int`): Answers received to it, the unusable ones included.
        failure ([`Failure`] or `None`): Why there is no value.
    """

    request: CompletionRequest
    value: Any
    answer: Answer | None
    attempts: int
    failure: Failure | None = None
