"""Questions to chat models, local or behind an OpenAI-compatible server, with answers that are never lost."""

from typing import TYPE_CHECKING

from ..lazy_exports import lazy_exports


_EXPORTS = {
    "Answer": "answers",
    "AnswerForm": "requests",
    "AnswerStore": "store",
    "BatchBackend": "batch_backend",
    "BatchServiceFailure": "batch_errors",
    "BatchesUnderWay": "batch_errors",
    "CompletionRequest": "requests",
    "CompletionResult": "answers",
    "CompletionRun": "engine",
    "CostEstimate": "ledger",
    "Failure": "answers",
    "Job": "answers",
    "Ledger": "ledger",
    "LocalBackend": "local_backend",
    "OpenAIBackend": "openai_backend",
    "Outcome": "answers",
    "Prices": "ledger",
    "RetryPolicy": "retries",
    "Sampling": "requests",
    "StoreInUse": "store",
    "TooManyFailures": "engine",
    "complete_all": "engine",
    "estimate_completions": "engine",
    "request_key": "requests",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .answers import Answer as Answer
    from .answers import CompletionResult as CompletionResult
    from .answers import Failure as Failure
    from .answers import Job as Job
    from .answers import Outcome as Outcome
    from .batch_backend import BatchBackend as BatchBackend
    from .batch_errors import BatchesUnderWay as BatchesUnderWay
    from .batch_errors import BatchServiceFailure as BatchServiceFailure
    from .engine import CompletionRun as CompletionRun
    from .engine import TooManyFailures as TooManyFailures
    from .engine import complete_all as complete_all
    from .engine import estimate_completions as estimate_completions
    from .ledger import CostEstimate as CostEstimate
    from .ledger import Ledger as Ledger
    from .ledger import Prices as Prices
    from .local_backend import LocalBackend as LocalBackend
    from .openai_backend import OpenAIBackend as OpenAIBackend
    from .requests import AnswerForm as AnswerForm
    from .requests import CompletionRequest as CompletionRequest
    from .requests import Sampling as Sampling
    from .requests import request_key as request_key
    from .retries import RetryPolicy as RetryPolicy
    from .store import AnswerStore as AnswerStore
    from .store import StoreInUse as StoreInUse

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
