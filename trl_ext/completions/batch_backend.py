"""Answers from batches of an OpenAI-compatible server: half the price, within a day."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock, Timeout
from tqdm.auto import tqdm

from .answers import Failure, Job, Outcome
from .batch_files import Batch, BatchFolder, custom_id, input_line, result_of, split
from .batch_service import FINAL, BatchesUnderWay, BatchFiles, BatchServer, BatchStatus
from .openai_backend import OpenAIBackend
from .retries import RetryPolicy
from .store import StoreInUse


try:
    from openai import OpenAI
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "answers from a server need the openai package: pip install 'trl_ext[rewriters]'", name="openai"
    ) from error


logger = logging.getLogger(__name__)

_TOKEN_LIMIT = "token_limit_exceeded"  # noqa: S105  OpenAI's code for too many tokens in all batches of an organisation


class BatchBackend(OpenAIBackend):
    """
    A model behind the batch endpoint of an OpenAI-compatible server.

    Answers have the same keys as those of [`OpenAIBackend`]: what one has asked, the other need not ask. All questions
    are written to files in `folder`, uploaded, and looked after until their batches end. What is under way is recorded in
    `batches.json` there, so that a call that was interrupted, however it was, finds its batches again: no question is in
    two batches at once.

    | batch or line | what happens |
    |---|---|
    | `completed` | answers are stored; lines that are missing or broken, 429 and 5xx are asked again in a new batch |
    | `expired` | the answers that are there are stored, the others are asked again |
    | `cancelled` | the answers that are there are stored, the others are failures: the next call asks them again |
    | `failed` | failures, with what the server says; too many tokens in the queue: again when another batch has ended |
    | a line with another error | a failure of that question |

    Args:
        model (`str`):
            Name of the model at the server.
        folder (`str` or `Path`):
            Folder of the files, for one server; several stores and models may share it, one after the other.
        base_url (`str`, *optional*):
            Address of the endpoint. By default that of the package (`OPENAI_BASE_URL`, else OpenAI).
        api_key_env (`str`, *optional*, defaults to `"OPENAI_API_KEY"`):
            Environment variable with the API key; `None` for servers without one.
        offline (`bool`, *optional*, defaults to `False`):
            Send nothing: write the files of questions, raise [`BatchesUnderWay`], and read the answers at the next call
            after that, when the user has put them beside the questions.
        max_requests (`int`, *optional*, defaults to `50000`):
            Questions in a file.
        max_bytes (`int`, *optional*, defaults to `200000000`):
            Size of a file. A question that exceeds it alone is a failure (`"too_large"`).
        max_submissions (`int`, *optional*, defaults to `3`):
            Batches that a question is put into, in one call, before it is given up.
        poll_seconds (`float`, *optional*, defaults to `30.0`):
            Wait between two looks at the batches.
        longest_wait (`float`, *optional*):
            Seconds after which [`BatchesUnderWay`] is raised; 0 to submit and leave. By default there is no limit.
        timeout (`float`, *optional*, defaults to `600.0`):
            Seconds a request (an upload, say) may take.
        retry ([`RetryPolicy`], *optional*):
            How often and after what wait requests are repeated.
        max_tokens_field (`str`, *optional*, defaults to `"max_tokens"`):
            What the server calls the longest answer; OpenAI's reasoning models want `"max_completion_tokens"`.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the jitter.
        progress (`bool`, *optional*, defaults to `True`):
            Show how far the batches are.

    Raises:
        ValueError: A setting is out of range, the environment variable is not set, or the folder is of another server.

    Example:
        ```python
        >>> import tempfile
        >>> from trl_ext.completions import BatchBackend, BatchesUnderWay, CompletionRequest, complete_all
        >>> folder = tempfile.mkdtemp()
        >>> backend = BatchBackend("gpt-4o-mini", folder, offline=True)
        >>> request = CompletionRequest("row-1", [{"role": "user", "content": "2 + 2?"}])
        >>> try:
        ...     complete_all([request], backend, f"{folder}/answers.jsonl", progress=False)
        ... except BatchesUnderWay as message:
        ...     print(str(message).split(".")[0])
        batches not done: 1

        ```
    """

    def __init__(
        self,
        model: str,
        folder: str | Path,
        *,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        offline: bool = False,
        max_requests: int = 50_000,
        max_bytes: int = 200_000_000,
        max_submissions: int = 3,
        poll_seconds: float = 30.0,
        longest_wait: float | None = None,
        timeout: float = 600.0,
        retry: RetryPolicy | None = None,
        max_tokens_field: str = "max_tokens",
        seed: int = 0,
        progress: bool = True,
    ):
        super().__init__(
            model,
            base_url=base_url,
            api_key_env=None if offline else api_key_env,
            timeout=timeout,
            retry=retry,
            max_tokens_field=max_tokens_field,
            seed=seed,
        )
        for name, value in (
            ("max_requests", max_requests),
            ("max_bytes", max_bytes),
            ("max_submissions", max_submissions),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not poll_seconds >= 0:
            raise ValueError(f"poll_seconds must be at least 0, got {poll_seconds}")
        if longest_wait is not None and not longest_wait >= 0:
            raise ValueError(f"longest_wait must be at least 0 or None, got {longest_wait}")
        self.folder = Path(folder)
        self.offline = offline
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self.max_submissions = max_submissions
        self.poll_seconds = poll_seconds
        self.longest_wait = longest_wait
        self.progress = progress
        self._seed = seed
        BatchFolder(self.folder, self._server())

    def run(self, next_job: Callable[[], Job | None], finished: Callable[[Outcome], None]) -> None:
        """Take jobs until there are none, and report each when its batch has ended."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self.folder / ".lock", timeout=0):
                if self.offline:
                    self._run(BatchFiles(), next_job, finished)
                    return
                with OpenAI(
                    api_key=self._api_key or "none", base_url=self.base_url, timeout=self.timeout, max_retries=0
                ) as client:
                    service = BatchServer(client, self.retry, self._describe, self._seed)
                    self._run(service, next_job, finished)
        except Timeout:
            raise StoreInUse(
                f"'{self.folder}' is in use by another process. Wait for it, stop it, or give another folder."
            ) from None

    def _run(
        self,
        service: BatchServer | BatchFiles,
        next_job: Callable[[], Job | None],
        finished: Callable[[Outcome], None],
    ) -> None:
        start = time.monotonic()
        # An answer that is of no use comes back as another job, when all batches of this round have ended
        while jobs := list(iter(next_job, None)):
            round_ = _Round(self, service, {custom_id(job): job for job in jobs}, finished)
            round_.begin()
            round_.wait(start)

    def _server(self) -> str:
        return "files" if self.offline else (self.base_url or "default")

    def _line(self, job: Job) -> bytes:
        arguments = self._arguments(job)
        extra = arguments.pop("extra_body") or {}
        return input_line(job, arguments | extra)


class _Round:
    """Some questions, in batches that are looked after until all of them have ended."""

    def __init__(
        self,
        backend: BatchBackend,
        service: BatchServer | BatchFiles,
        jobs: dict[str, Job],
        finished: Callable[[Outcome], None],
    ):
        self.backend = backend
        self.service = service
        self.finished = finished
        self.folder = BatchFolder(backend.folder, backend._server())
        self.waiting = jobs
        self.held: list[str] = []  # until there is room for their tokens
        self.under_way: list[Batch] = []
        self.submissions: Counter = Counter()
        self.retried: dict[str, tuple[str, ...]] = {}

    def begin(self) -> None:
        """Find the batches that an earlier call began, and begin others for the rest."""
        covered: set[str] = set()
        for batch in self.folder.batches:
            ids = self.waiting.keys() & self.folder.ids(batch)
            if batch.collected or not ids - covered:
                continue
            if batch.file_id is None and len(ids) < len(self.folder.ids(batch)) and not self.backend.offline:
                batch.collected, batch.status = True, "not sent"  # some of it is answered by now
                self.folder.save()
                continue
            if batch.batch_id is None:
                self.service.submit(batch, self.folder)
            self.under_way.append(batch)
            self.submissions.update(ids)
            covered |= ids
        self._submit([name for name in self.waiting if name not in covered])

    def wait(self, start: float) -> None:
        """Look at the batches until all have ended."""
        backend = self.backend
        with tqdm(desc="Batches", unit="answer", leave=False, disable=not backend.progress or backend.offline) as bar:
            while self.under_way:
                through = sum(self._look(batch) for batch in list(self.under_way))
                if not self.under_way:
                    return
                if backend.offline or (
                    backend.longest_wait is not None and time.monotonic() - start >= backend.longest_wait
                ):
                    raise BatchesUnderWay(self._message())
                bar.total = sum(len(self.folder.ids(batch)) for batch in self.under_way)
                bar.n = min(through, bar.total)
                bar.set_postfix_str(", ".join(sorted({batch.status for batch in self.under_way})))
                time.sleep(backend.poll_seconds)

    def _look(self, batch: Batch) -> int:
        """Collect a batch if it has ended; otherwise its questions that are through."""
        status = self.service.look(batch, self.folder)
        if status.status != batch.status:
            batch.status = status.status
            self.folder.save()
        if status.status not in FINAL:
            return status.done
        self.service.fetch(batch, status, self.folder)
        again = self._collect(batch, status)
        # Before its questions are in another batch, and after its answers are stored: a kill in between asks nothing twice
        batch.collected = True
        self.under_way.remove(batch)
        self.folder.save()
        if status.status != "failed" or not self.under_way:
            again += self.held
            self.held = []
        self._submit(again)
        return 0

    def _collect(self, batch: Batch, status: BatchStatus) -> list[str]:
        """Report what became of its questions, but for those that are to be asked again."""
        lines, counts = self.folder.results(batch)
        if counts:
            logger.warning("%s: lines of no use: %s", batch.name, dict(counts))
        again: list[str] = []
        for name in sorted(self.folder.ids(batch) & self.waiting.keys()):
            if name in lines:
                result, may_repeat = result_of(lines[name], self.backend._answer, self._describe)
            else:
                result, may_repeat = self._missing(status), status.status in ("completed", "expired")
            is_held = isinstance(result, Failure) and result.kind == _TOKEN_LIMIT and name not in lines
            if is_held and len(self.under_way) > 1:  # the others take the room: no fault of its own
                self.submissions[name] -= 1
            if (may_repeat or is_held) and self.submissions[name] < self.backend.max_submissions:
                self.retried[name] = (*self.retried.get(name, ()), result.kind)
                (self.held if is_held else again).append(name)
            else:
                self.finished(Outcome(self.waiting.pop(name), result, self.retried.pop(name, ())))
        if again:
            logger.warning("%s (%s): %d of its questions are asked again", batch.name, status.status, len(again))
        return again

    def _missing(self, status: BatchStatus) -> Failure:
        problems = "; ".join(status.problems)
        if status.status == "failed":
            kind = _TOKEN_LIMIT if _TOKEN_LIMIT in problems else "batch_failed"
            hint = " Give smaller files with max_requests." if kind == _TOKEN_LIMIT else ""
            return Failure(
                kind, self._describe(f"the batch failed: {problems or 'the server does not say why'}.{hint}")
            )
        kind = {"completed": "missing"}.get(status.status, status.status)
        return Failure(kind, f"the batch is {status.status} and has no line for it")

    def _submit(self, names: Iterable[str]) -> None:
        lines = {}
        for name in names:
            line = self.backend._line(self.waiting[name])
            if len(line) > self.backend.max_bytes:
                message = f"the question has {len(line)} bytes, and a file may have {self.backend.max_bytes}"
                self.finished(Outcome(self.waiting.pop(name), Failure("too_large", message)))
            else:
                lines[name] = line
        self.submissions.update(lines.keys())
        for part in split(lines.values(), self.backend.max_requests, self.backend.max_bytes):
            self.under_way.append(self.folder.add(part))
        for batch in self.under_way:
            if batch.status == "written":
                self.service.submit(batch, self.folder)

    def _describe(self, text: str) -> str:
        return self.backend._describe(RuntimeError(text))

    def _message(self) -> str:
        count = f"batches not done: {len(self.under_way)}"
        if self.backend.offline:
            files = ", ".join(str(self.folder.input(batch)) for batch in self.under_way)
            return (
                f"{count}. Submit {files}, put what comes back beside it (..._output.jsonl and ..._errors.jsonl for "
                "..._input.jsonl), and repeat the call."
            )
        ids = ", ".join(f"{batch.batch_id} ({batch.status})" for batch in self.under_way)
        return f"{count}: {ids}. Repeat the call later; nothing is asked twice."
