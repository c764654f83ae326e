"""Ask a model many questions: every answer is stored once, and none is asked for again."""

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tqdm.auto import tqdm

from .answers import Answer, CompletionResult, Failure, Job, Outcome
from .ledger import CostEstimate, Ledger, Prices, estimate_cost
from .requests import CompletionRequest, Sampling, attempt_seed, request_key
from .store import AnswerStore


logger = logging.getLogger(__name__)

UNPARSABLE = "unparsable"


class Backend(Protocol):
    """
    What answers. [`OpenAIBackend`] and [`LocalBackend`] do.

    Attributes:
        model_id (`str`): Identity of the model: part of the key of every answer.
        prompt_rule (`str`): How `count_prompt_tokens` counts.
    """

    model_id: str
    prompt_rule: str

    def check(self, sampling: Sampling) -> None: ...
    def is_deterministic(self, sampling: Sampling) -> bool: ...
    def count_prompt_tokens(self, messages: Sequence[Mapping[str, str]]) -> int: ...
    def run(self, next_job: Callable[[], Job | None], finished: Callable[[Outcome], None]) -> None: ...


class TooManyFailures(RuntimeError):
    """So many requests failed that going on makes no sense. What was answered is stored."""


@dataclass(frozen=True)
class CompletionRun:
    """
    Results of a list of requests.

    Args:
        results (`list[CompletionResult]`): One for each request, in their order.
        ledger ([`Ledger`]): Tokens and cost of all stored answers to these requests, those of earlier runs included.
        failures (`dict[str, int]`): Failed requests by kind.
        asked (`int`): Jobs that this run gave to the backend (requests and repeated attempts, not retries).
        retries (`dict[str, int]`): Repetitions after transient errors in this run, by kind of the error.
        repaired_lines (`int`): Torn lines found in the store: 1 after a kill in the middle of writing.
    """

    results: list[CompletionResult]
    ledger: Ledger
    failures: dict[str, int]
    asked: int
    retries: dict[str, int]
    repaired_lines: int

    def to_dict(self) -> dict[str, Any]:
        """Counts and sums without the answers, for JSON."""
        return {
            "requests": len(self.results),
            "failures": self.failures,
            "ledger": self.ledger.to_dict(),
            "this_run": {"asked": self.asked, "retries": self.retries, "repaired_lines": self.repaired_lines},
        }


def complete_all(
    requests: Iterable[CompletionRequest],
    backend: Backend,
    store_path: str | Path,
    *,
    parse: Callable[[str], Any] | None = None,
    parse_attempts: int = 3,
    prices: Prices | None = None,
    max_failures: int | None = None,
    max_consecutive_errors: int | None = 10,
    progress: bool = True,
    description: str = "Answers",
) -> CompletionRun:
    """
    Ask every question that has no answer yet, and return all answers.

    Answers are appended to the store as they arrive, so that the same call continues after an interruption, however it
    came. What is stored is what the model said: whether it can be parsed is decided on reading, so that a better parser
    needs no new answers. Equal questions are asked once; give them different `repetition`s to have several answers.

    Args:
        requests (`Iterable[CompletionRequest]`):
            The questions; each `id` once.
        backend ([`Backend`]):
            What answers.
        store_path (`str` or `Path`):
            JSONL file of the answers. May hold answers of other models and to other questions too.
        parse (`Callable`, *optional*):
            Function from the text of an answer to a value; raises a `ValueError` if it can't be used, and the question is
            asked again. By default the text itself. Empty answers are never of use.
        parse_attempts (`int`, *optional*, defaults to `3`):
            Answers to ask for until one can be parsed. A deterministic backend is asked once.
        prices ([`Prices`], *optional*):
            For the cost in the ledger.
        max_failures (`int`, *optional*):
            Stop when more requests than this have failed, for whatever reason. By default only the next limit holds.
        max_consecutive_errors (`int`, *optional*, defaults to `10`):
            Stop when so many requests in a row got no answer at all, as with a wrong key. `None`: never.
        progress (`bool`, *optional*, defaults to `True`):
            Show a progress bar.
        description (`str`, *optional*, defaults to `"Answers"`):
            Its name.

    Returns:
        [`CompletionRun`]: With a failure in place of each answer that could not be had.

    Raises:
        `TooManyFailures`: A limit on failures was reached. The message has the counts and the last error.
        `StoreInUse`: Another process writes the store.
        `ValueError`: An id occurs twice, or the backend can't sample as asked.
    """
    requests = _checked(requests, backend)
    if parse_attempts < 1:
        raise ValueError(f"parse_attempts must be at least 1, got {parse_attempts}")
    with AnswerStore(store_path) as store:
        run = _Run(requests, backend, store, parse or _as_it_is, parse_attempts, max_failures, max_consecutive_errors)
        with tqdm(
            total=len(run.questions), initial=len(run.settled), desc=description, unit="answer", disable=not progress
        ) as bar:
            run.on_settled = lambda: bar.update()
            if run.queue:
                backend.run(run.next_job, run.finished)
        if run.stop_reason:
            raise TooManyFailures(
                f"{run.stop_reason}. Failures by kind: {dict(run.failures)}; the last: {run.last_failure.message} "
                f"{len(run.settled) - run.failures.total()} of {len(run.questions)} questions are answered and stored in "
                f"'{store.path}'; the same call continues."
            )
        return run.collect(prices)


def estimate_completions(
    requests: Iterable[CompletionRequest],
    backend: Backend,
    store_path: str | Path,
    *,
    prices: Prices | None = None,
) -> CostEstimate:
    """
    Count what [`complete_all`] would ask, and send nothing.

    Args:
        requests (`Iterable[CompletionRequest]`): The questions.
        backend ([`Backend`]): What would answer.
        store_path (`str` or `Path`): Store with the answers that are there already, if it exists.
        prices ([`Prices`], *optional*): For the cost.

    Returns:
        [`CostEstimate`]
    """
    requests = _checked(requests, backend)
    by_key = {request_key(backend.model_id, request): request for request in reversed(requests)}
    keys = [request_key(backend.model_id, request) for request in requests]
    stored: dict[str, list[Answer]] = {}
    if Path(store_path).exists():
        with AnswerStore(store_path) as store:
            stored = {key: store.attempts(key) for key in by_key if store.attempts(key)}
    return estimate_cost(
        requests,
        [by_key[key] for key in dict.fromkeys(keys) if key not in stored],
        answered=sum(key in stored for key in keys),
        stored=[answer for answers in stored.values() for answer in answers],
        count_prompt_tokens=backend.count_prompt_tokens,
        prompt_rule=backend.prompt_rule,
        prices=prices,
    )


def _checked(requests: Iterable[CompletionRequest], backend: Backend) -> list[CompletionRequest]:
    requests = list(requests)
    repeated = [name for name, count in Counter(request.id for request in requests).items() if count > 1]
    if repeated:
        raise ValueError(f"{len(repeated)} request ids occur more than once; the first: {repeated[0]!r}")
    for sampling in {repr(request.sampling): request.sampling for request in requests}.values():
        backend.check(sampling)
    return requests


def _as_it_is(text: str) -> str:
    return text


@dataclass
class _Run:
    """State of one call of [`complete_all`]: what is asked, what is settled, and when to stop."""

    requests: list[CompletionRequest]
    backend: Backend
    store: AnswerStore
    parse: Callable[[str], Any]
    parse_attempts: int
    max_failures: int | None
    max_consecutive_errors: int | None

    questions: dict[str, CompletionRequest] = field(default_factory=dict)
    settled: dict[str, tuple[Any, Answer | None, Failure | None]] = field(default_factory=dict)
    queue: deque[Job] = field(default_factory=deque)
    failures: Counter = field(default_factory=Counter)
    retries: Counter = field(default_factory=Counter)
    asked: int = 0
    consecutive_errors: int = 0
    stop_reason: str = ""
    last_failure: Failure | None = None
    on_settled: Callable[[], None] = lambda: None

    def __post_init__(self):
        self.keys = [request_key(self.backend.model_id, request) for request in self.requests]
        for key, request in zip(self.keys, self.requests, strict=True):
            self.questions.setdefault(key, request)
        for key in self.questions:
            if not self._settle_from_store(key):
                self._enqueue(key)

    def next_job(self) -> Job | None:
        if self.stop_reason or not self.queue:
            return None
        self.asked += 1
        return self.queue.popleft()

    def finished(self, outcome: Outcome) -> None:
        job = outcome.job
        self.retries.update(outcome.retried)
        if isinstance(outcome.result, Answer):
            self.store.append(job, outcome.result, model=self.backend.model_id)
            self.consecutive_errors = 0
            if not self._settle_from_store(job.key):
                self._enqueue(job.key)
                return
        else:
            self.consecutive_errors += 1
            self._settle(job.key, None, None, outcome.result)
        self.on_settled()
        self._check_limits()

    def collect(self, prices: Prices | None) -> CompletionRun:
        results = []
        for key, request in zip(self.keys, self.requests, strict=True):
            value, answer, failure = self.settled[key]
            results.append(CompletionResult(request, value, answer, len(self.store.attempts(key)), failure))
        answers = [(a, a is self.settled[key][1]) for key in self.questions for a in self.store.attempts(key)]
        failures = Counter(result.failure.kind for result in results if result.failure)
        return CompletionRun(
            results,
            Ledger.of(answers, prices),
            dict(failures),
            self.asked,
            dict(self.retries),
            self.store.repaired_lines,
        )

    def _enqueue(self, key: str) -> None:
        request, attempt = self.questions[key], len(self.store.attempts(key))
        # In front: a question that was begun is ended first
        add = self.queue.appendleft if attempt else self.queue.append
        add(Job(key, request, attempt, attempt_seed(request.sampling.seed, key, attempt)))

    def _settle_from_store(self, key: str) -> bool:
        """Settle a question if its stored answers allow it: one can be used, or no more may be asked for."""
        problem = ""
        answers = self.store.attempts(key)
        for answer in answers:
            try:
                value = self._judge(answer)
            except ValueError as error:
                problem = str(error)
            else:
                self._settle(key, value, answer, None)
                return True
        allowed = 1 if self.backend.is_deterministic(self.questions[key].sampling) else self.parse_attempts
        if len(answers) < allowed:
            return False
        message = f"{len(answers)} unusable answers; the last: {problem}"
        self._settle(key, None, None, Failure(UNPARSABLE, message, answers[-1]))
        return True

    def _judge(self, answer: Answer) -> Any:
        if not answer.text.strip():
            reason = f", refusal: {answer.refusal}" if answer.refusal else ""
            raise ValueError(f"the answer is empty (finish_reason {answer.finish_reason!r}{reason})")
        try:
            return self.parse(answer.text)
        except ValueError as error:
            cut = " (the answer was cut at max_tokens)" if answer.finish_reason == "length" else ""
            raise ValueError(f"{error}{cut}") from error

    def _settle(self, key: str, value: Any, answer: Answer | None, failure: Failure | None) -> None:
        self.settled[key] = (value, answer, failure)
        if failure is not None:
            self.failures[failure.kind] += 1
            self.last_failure = failure
            logger.debug("request %s failed: %s", self.questions[key].id, failure)

    def _check_limits(self) -> None:
        if self.max_consecutive_errors is not None and self.consecutive_errors >= self.max_consecutive_errors:
            self.stop_reason = f"stopped: {self.consecutive_errors} requests in a row got no answer"
        elif self.max_failures is not None and self.failures.total() > self.max_failures:
            self.stop_reason = (
                f"stopped: {self.failures.total()} requests failed, more than max_failures={self.max_failures}"
            )
