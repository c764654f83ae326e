"""Questions of a judge through the engine for completions, and why an answer was of no use."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...completions import CompletionRequest, CompletionResult, Failure, Sampling, complete_all
from ...completions.answers import Answer, Job, Outcome
from ...completions.engine import UNPARSABLE, Backend
from .parsing import Reject
from .questions import Question


# What an answer that ended at max_tokens may lack because it ended there
_UNFINISHED = ("empty", "no_verdict", "no_rating", "unfinished_reasoning")


class JudgeFailure(RuntimeError):
    """Questions got no answer at all. What was answered is stored, and the same call continues."""


@dataclass(frozen=True)
class Asking:
    """
    How a judge's questions are asked.

    Args:
        sampling ([`~trl_ext.completions.Sampling`]): How answers are drawn.
        parse (`Callable`): Function of an answer and the number of responses shown; raises a [`Reject`].
        parse_attempts (`int`): Answers to ask for until one can be read.
        is_strict (`bool`): Whether an answer that was cut counts only if its verdict is closed by brackets.
        on_failure (`str`): `"error"` or `"ignore"`, for questions without an answer.
    """

    sampling: Sampling
    parse: Callable[[str, int], Any]
    parse_attempts: int
    is_strict: bool
    on_failure: str

    def ask(self, questions: Sequence[Question], names: Sequence[str], backend: Backend, store: Path) -> "Asked":
        """
        Ask all questions.

        Args:
            questions (`Sequence[Question]`): The questions.
            names (`Sequence[str]`): What each is called in the store.
            backend ([`Backend`]): What answers.
            store (`Path`): Where answers are kept.

        Returns:
            [`Asked`]

        Raises:
            `JudgeFailure` or `TooManyFailures`: Questions got no answer.
        """
        requests = [
            CompletionRequest(f"{number}: {name}", question.messages, self.sampling, question.repetition)
            for number, (question, name) in enumerate(zip(questions, names, strict=True))
        ]
        results: dict[str, CompletionResult] = {}
        tokens = 0
        # Which labels there are, and so what can be read, depends on the number of responses
        for size in sorted({len(question.order) for question in questions}):
            run = complete_all(
                [r for r, question in zip(requests, questions, strict=True) if len(question.order) == size],
                backend,
                store,
                parse=lambda text, size=size: self.parse(text, size),
                parse_attempts=self.parse_attempts,
                max_consecutive_errors=10 if self.on_failure == "error" else None,
                progress=False,
            )
            results |= {result.request.id: result for result in run.results}
            tokens += run.ledger.prompt_tokens + run.ledger.completion_tokens
        in_order = [results[request.id] for request in requests]
        if self.on_failure == "error":
            _refuse_failures(in_order)
        return Asked(in_order, tokens)

    def recall(self, questions: Sequence[Question], names: Sequence[str], backend: Backend, store: Path) -> "Asked":
        """What is stored, without asking anything: what is not there is a failure of the kind `not_stored`."""
        return dataclasses.replace(self, on_failure="ignore").ask(questions, names, _NothingAsked(backend), store)

    def outcome(self, result: CompletionResult, count: int) -> tuple[str, Any]:
        """`"value"`, `"reject"` or `"failure"` with the value or the reason."""
        if result.failure is None:
            # "Rating: 1" may be the beginning of 10
            is_open = self.is_strict and result.answer.finish_reason == "length" and "]]" not in result.answer.text
            return ("reject", "cut") if is_open else ("value", result.value)
        if result.failure.kind != UNPARSABLE:
            return "failure", result.failure.kind
        return "reject", self._reason(result.failure.answer, count)

    def _reason(self, answer: Answer, count: int) -> str:
        reason = "empty"
        if answer.text.strip():
            try:
                self.parse(answer.text, count)
            except Reject as reject:
                reason = reject.kind
        elif answer.refusal:
            return "refusal"
        return "cut" if answer.finish_reason == "length" and reason in _UNFINISHED else reason


@dataclass(frozen=True)
class Asked:
    """
    Args:
        results (`list[CompletionResult]`): One for each question, in order.
        tokens (`int`): Tokens of questions and answers, as far as known.
    """

    results: list[CompletionResult]
    tokens: int


class _NothingAsked:
    """A backend in place of another, which fails every question that has no stored answer."""

    def __init__(self, backend: Backend):
        self.model_id, self.prompt_rule = backend.model_id, backend.prompt_rule
        self.check, self.is_deterministic = backend.check, backend.is_deterministic
        self.count_prompt_tokens = backend.count_prompt_tokens

    def run(self, next_job: Callable[[], Job | None], finished: Callable[[Outcome], None]) -> None:
        while (job := next_job()) is not None:
            finished(Outcome(job, Failure("not_stored", "the answer was not stored")))


def _refuse_failures(results: Sequence[CompletionResult]) -> None:
    failed = [result for result in results if result.failure and result.failure.kind != UNPARSABLE]
    if failed:
        kinds = dict(Counter(result.failure.kind for result in failed))
        raise JudgeFailure(
            f"{len(failed)} of {len(results)} questions got no answer: {kinds}. The first is {failed[0].request.id!r}: "
            f"{failed[0].failure.message}. What was answered is stored, and the same call continues; on_failure='ignore' "
            "counts them as answers that can't be read."
        )
