"""What all judges have in common: questions of a window are asked, answers read, and what can't be used is counted."""

import abc
import dataclasses
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from ...completions import AnswerStore, Ledger, Prices, Sampling, request_key
from ...completions.engine import Backend
from ..base import WindowScorer
from ..groups import Group, windows
from ..processes import gathered, on_main_process
from ..results import ScoredWindow
from .asking import Asked, Asking
from .parsers import STRICT
from .parsing import PARSER_VERSION
from .questions import Judgement, Question, as_columns
from .statistics import JudgeStatistics, judge_statistics
from .stores import SharedStore
from .template import JudgeTemplate


logger = logging.getLogger(__name__)


class Judge(WindowScorer):
    """
    A scorer that asks a language model. Subclasses: [`FourWayJudge`], [`PairwiseJudge`], [`RatingsJudge`].

    Answers are stored as they arrive, so that a call that was interrupted asks nothing twice. An answer that can't be
    read counts for no response, and is counted by kind. A question without any answer (no connection, wrong key, too
    long) is an error unless `on_failure` says otherwise.

    Args:
        backend ([`~trl_ext.completions.LocalBackend`] or [`~trl_ext.completions.OpenAIBackend`]):
            What answers.
        store_path (`str` or `Path`):
            JSONL file of the answers; may be shared with other judges.
        template (`str` or `Path` or [`JudgeTemplate`]):
            What is asked.
        sampling ([`~trl_ext.completions.Sampling`], *optional*):
            How answers are drawn. By default the most likely tokens, up to 1024.
        repetitions (`int`, *optional*, defaults to `1`):
            Answers to each question; more than one needs a temperature.
        parse_attempts (`int`, *optional*, defaults to `1`):
            Answers to ask for until one can be read. A local model at temperature 0 is asked once.
        parser (`str`, *optional*, defaults to `"strict"`):
            How answers are read: `"strict"`, or as RewardBench reads them, `"legacy"` (pairs: also `"legacy:<family>"`,
            see [`legacy_parse_verdict`]).
        on_failure (`str`, *optional*, defaults to `"error"`):
            Questions without an answer: `"error"`, or `"ignore"`: as answers that can't be read.
        system_prompt (`bool`, *optional*, defaults to `True`):
            Whether the model knows system messages. If not, theirs stands in front of the user's.
        prices ([`~trl_ext.completions.Prices`], *optional*):
            For the cost in the report.

    Raises:
        `ValueError`: The template is of another kind, or the backend can't answer so.
    """

    window_size: ClassVar[int] = 128
    has_report: ClassVar[bool] = True
    template_kind: ClassVar[str]

    def __init__(
        self,
        backend: Backend,
        store_path: str | Path,
        *,
        template: str | Path | JudgeTemplate,
        sampling: Sampling | None = None,
        repetitions: int = 1,
        parse_attempts: int = 1,
        parser: str = "strict",
        on_failure: str = "error",
        system_prompt: bool = True,
        prices: Prices | None = None,
    ):
        self.template = JudgeTemplate.load(template)
        if self.template.kind != self.template_kind:
            raise ValueError(
                f"{type(self).__name__} needs a template of kind {self.template_kind!r}, but {self.template.name!r} is of "
                f"kind {self.template.kind!r}"
            )
        if on_failure not in ("error", "ignore"):
            raise ValueError(f"on_failure must be 'error' or 'ignore', got {on_failure!r}")
        for name, value in (("repetitions", repetitions), ("parse_attempts", parse_attempts)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.sampling = sampling or Sampling()
        backend.check(self.sampling)
        if repetitions > 1 and (backend.is_deterministic(self.sampling) or self.sampling.temperature == 0):
            raise ValueError(
                f"{repetitions} repetitions at temperature 0 are one answer: give a temperature, or repetitions=1"
            )
        self.backend = backend
        self.store = SharedStore(store_path)
        self.repetitions = repetitions
        self.parse_attempts = parse_attempts
        self.parser = parser
        self.on_failure = on_failure
        self.system_prompt = system_prompt
        self.prices = prices
        self._judgements: list[Judgement] = []

    @abc.abstractmethod
    def questions(self, group: Group, index: int) -> Iterable[Question]:
        """What is asked about a prompt, each question once. `index` is that of the prompt in its window."""

    @abc.abstractmethod
    def parse(self, text: str, count: int) -> Any:
        """What an answer says on so many responses; raises a [`Reject`]."""

    @abc.abstractmethod
    def fields(self, value: Any, order: tuple[int, ...]) -> dict[str, Any]:
        """Fields `outcome`, and `choice` or `rating`, of the [`Judgement`] that a value of [`Judge.parse`] is."""

    @abc.abstractmethod
    def rewards(self, group: Group, judgements: list[Judgement]) -> np.ndarray:
        """Rewards of the responses to a prompt, from all judgements on it."""

    def score_groups(self, groups: list[Group]) -> tuple[np.ndarray, Mapping[str, int]]:
        """See [`WindowScorer.score_groups`]."""
        questions = self._questions(groups)
        asked = self._asking().ask(questions, _names(questions, groups), self.backend, self.store.mine())
        rewards = self._rewards(groups, self._take_up(questions, groups, asked))
        return rewards, {"computed_tokens": asked.tokens, "sequence_tokens": asked.tokens}

    def score_windows(self, groups: Callable[[], Iterable[Group]], **kwargs: Any) -> Iterator[ScoredWindow]:
        """See [`Scorer.score_windows`]."""
        yield from super().score_windows(groups, **kwargs)
        self.finish()

    def prepare(self) -> None:
        """Take up what processes of an interrupted call have left."""
        self.store.collect()

    def finish(self) -> None:
        """Bring together what the processes asked. All processes call it."""
        self.store.collect()
        reasons = Counter(judgement.reason for judgement in self._judgements if judgement.reason)
        if reasons:
            logger.warning(
                "%d of %d answers of %s count for no response: %s",
                reasons.total(),
                len(self._judgements),
                self.backend.model_id,
                dict(reasons.most_common()),
            )

    def check_first_windows(self, groups: Iterable[Group], window_size: int) -> int:
        """Look at the questions of the first window before anything is asked."""
        for index, group in enumerate(next(windows(groups, window_size), [])):
            list(self.questions(group, index))
        return 0

    def reset_report(self) -> None:
        """Forget the judgements of earlier calls."""
        self._judgements = []

    def recall(self, groups: list[Group]) -> None:
        """Read the judgements on prompts that were scored before, and ask nothing."""
        self._recall(groups)

    def recalled_rewards(self, groups: list[Group]) -> np.ndarray:
        """Recall prompts, and give their rewards again."""
        return self._rewards(groups, self._recall(groups))

    def judgements(self) -> pd.DataFrame:
        """
        All judgements of the last call, a row per answer. Every process has to call it.

        Returns:
            `pandas.DataFrame`: `prompt_id`, `order` (responses as they were shown), `repetition`, `key` (of the answer in
            the store), `outcome`, `choice`, `rating`, `reason`; see [`Judgement`].
        """
        return pd.DataFrame(as_columns(gathered(self._judgements)))

    def statistics(self) -> JudgeStatistics:
        """Position bias, consistency, unusable answers and cost of the last call. Every process has to call it."""
        table = self.judgements()
        return judge_statistics(table, ledger=on_main_process(lambda: self._ledger(table)))

    def report(self) -> dict[str, Any]:
        """See [`Scorer.report`]: [`JudgeStatistics.to_dict`]."""
        return self.statistics().to_dict()

    def settings(self) -> dict[str, Any]:
        """See [`Scorer.settings`]."""
        return {
            "scorer": type(self).__name__,
            "model": self.backend.model_id,
            "template": self.template.facts(),
            "sampling": dataclasses.asdict(self.sampling),
            "repetitions": self.repetitions,
            "parse_attempts": self.parse_attempts,
            "parser": {"name": self.parser, "version": PARSER_VERSION},
            "on_failure": self.on_failure,
            "system_prompt": self.system_prompt,
        }

    def provenance(self) -> dict[str, Any]:
        """See [`Scorer.provenance`]."""
        facts = {"model": self.backend.model_id, "store": str(self.store.path), "backend": type(self.backend).__name__}
        address = getattr(self.backend, "base_url", None)
        return facts if address is None else facts | {"base_url": address}

    def _asking(self) -> Asking:
        return Asking(self.sampling, self.parse, self.parse_attempts, self.parser == STRICT, self.on_failure)

    def _questions(self, groups: list[Group]) -> list[Question]:
        return [
            dataclasses.replace(question, messages=self._sent(question.messages), repetition=repetition)
            for index, group in enumerate(groups)
            for question in self.questions(group, index)
            for repetition in range(self.repetitions)
        ]

    def _sent(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        if self.system_prompt or len(messages) == 1:
            return messages
        return [{"role": "user", "content": "\n\n".join(message["content"] for message in messages)}]

    def _recall(self, groups: list[Group]) -> list[list[Judgement]]:
        questions = self._questions(groups)
        asked = self._asking().recall(questions, _names(questions, groups), self.backend, self.store.path)
        return self._take_up(questions, groups, asked)

    def _rewards(self, groups: list[Group], judgements: list[list[Judgement]]) -> np.ndarray:
        return np.concatenate([self.rewards(group, own) for group, own in zip(groups, judgements, strict=True)])

    def _take_up(self, questions: list[Question], groups: list[Group], asked: Asked) -> list[list[Judgement]]:
        """Judgements on every prompt, which are kept for the report."""
        asking = self._asking()
        found: list[list[Judgement]] = [[] for _ in groups]
        for question, result in zip(questions, asked.results, strict=True):
            outcome, value = asking.outcome(result, len(question.order))
            fields = (
                self.fields(value, question.order) if outcome == "value" else {"outcome": outcome, "reason": value}
            )
            judgement = Judgement(
                prompt_id=groups[question.group].prompt_id,
                order=question.order,
                repetition=question.repetition,
                key=request_key(self.backend.model_id, result.request),
                **fields,
            )
            found[question.group].append(judgement)
            self._judgements.append(judgement)
        return found

    def _ledger(self, table: pd.DataFrame) -> Ledger:
        """Tokens of all answers behind the judgements, each once."""
        usable = dict(zip(table["key"], ~table["outcome"].isin(("reject", "failure")), strict=True))
        counted = []
        with AnswerStore(self.store.path) as store:
            for key, is_usable in usable.items():
                answers = store.attempts(key)
                counted += [(answer, is_usable and answer is answers[-1]) for answer in answers]
        return Ledger.of(counted, self.prices)


def _names(questions: list[Question], groups: list[Group]) -> list[str]:
    return [f"{groups[q.group].prompt_id} {'-'.join(map(str, q.order))}" for q in questions]
