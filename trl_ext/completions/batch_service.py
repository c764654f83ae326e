"""Where batches go: an OpenAI-compatible server, or the hands of the user."""

import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..atomic_files import atomic_path
from .batch_errors import BatchesUnderWay as BatchesUnderWay
from .batch_errors import BatchServiceFailure
from .batch_files import ENDPOINT, STATE_FILE, Batch, BatchFolder
from .retries import RetryPolicy, classify


logger = logging.getLogger(__name__)

FINAL = ("completed", "failed", "expired", "cancelled")
COMPLETION_WINDOW = "24h"
_LOOKED_THROUGH = 200  # batches of the account, newest first, among which one that was begun is looked for


@dataclass(frozen=True)
class BatchStatus:
    """
    How far a batch is.

    Args:
        status (`str`): `"validating"`, `"in_progress"`, ..., or one of the final ones.
        done (`int`, *optional*): Questions that are through.
        output_file_id (`str`, *optional*): Id of the answers.
        error_file_id (`str`, *optional*): Id of the questions without answers.
        problems (`tuple[str, ...]`, *optional*): What is wrong with the batch, code first.
    """

    status: str
    done: int = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    problems: tuple[str, ...] = ()


class BatchServer:
    """
    The files and batches of an OpenAI-compatible server.

    Args:
        client ([`~openai.OpenAI`]): Client without retries of its own.
        retry ([`RetryPolicy`]): How often and after what wait requests are repeated.
        describe (`Callable`): Text of an error, without what is private.
        seed (`int`): Seed of the jitter.
    """

    def __init__(self, client: Any, retry: RetryPolicy, describe: Callable[[Exception], str], seed: int):
        self._client = client
        self._retry = retry
        self._describe = describe
        self._random = random.Random(seed)

    def submit(self, batch: Batch, folder: BatchFolder) -> None:
        """Begin a batch, or find the one that an interrupted call began: never a second one of the same file."""
        if batch.file_id is None:
            batch.file_id = self._call(
                "upload questions",
                folder,
                lambda: self._client.files.create(file=folder.input(batch), purpose="batch").id,
            )
            folder.save()
            found = None
        else:
            found = self._find(batch.file_id, folder)
        if found is None:
            found = self._call(
                "begin a batch",
                folder,
                lambda: self._create(batch),
                before_retry=lambda: self._find(batch.file_id, folder),
            )
        batch.batch_id = found.id
        batch.status = found.status
        folder.save()
        logger.info("%s is batch %s at the server", batch.name, batch.batch_id)

    def look(self, batch: Batch, folder: BatchFolder) -> BatchStatus:
        """How far it is."""
        found = self._call(
            f"look at {batch.name} ({batch.batch_id})", folder, lambda: self._client.batches.retrieve(batch.batch_id)
        )
        counts = found.request_counts
        problems = getattr(found.errors, "data", None) or ()
        return BatchStatus(
            found.status,
            0 if counts is None else counts.completed + counts.failed,
            found.output_file_id,
            found.error_file_id,
            tuple(f"{problem.code}: {problem.message}" for problem in problems),
        )

    def fetch(self, batch: Batch, status: BatchStatus, folder: BatchFolder) -> None:
        """Bring what came back to the folder."""
        for file_id, path in (
            (status.output_file_id, folder.output(batch)),
            (status.error_file_id, folder.errors(batch)),
        ):
            if file_id is None:
                continue
            content = self._call(
                f"fetch answers of {batch.name}",
                folder,
                lambda file_id=file_id: self._client.files.content(file_id).read(),
            )
            with atomic_path(path) as temporary:
                temporary.write_bytes(content)

    def _create(self, batch: Batch) -> Any:
        return self._client.batches.create(
            input_file_id=batch.file_id, endpoint=ENDPOINT, completion_window=COMPLETION_WINDOW
        )

    def _find(self, file_id: str, folder: BatchFolder) -> Any | None:
        def look_through() -> Any | None:
            for number, batch in enumerate(self._client.batches.list(limit=100)):
                if batch.input_file_id == file_id:
                    return batch
                if number == _LOOKED_THROUGH:
                    break
            return None

        return self._call("list batches", folder, look_through)

    def _call(
        self,
        what: str,
        folder: BatchFolder,
        request: Callable[[], Any],
        *,
        before_retry: Callable[[], Any | None] = lambda: None,
    ) -> Any:
        """Do it, again after transient errors; `before_retry` may find that it was done although an error came."""
        for retry in range(self._retry.max_retries + 1):
            try:
                return request()
            except Exception as error:
                found = classify(error)
                if found is None:
                    raise
                kind, is_transient = found
                wait = self._retry.wait(retry, error, self._random) if is_transient else None
                if wait is None or retry == self._retry.max_retries:
                    raise BatchServiceFailure(
                        f"could not {what}: {kind}: {self._describe(error)} What is under way is recorded; the same call "
                        f"goes on.{_lost(folder) if kind == 'not_found' else ''}"
                    ) from None
            logger.info("could not %s: %s; again in %.1f s", what, kind, wait)
            time.sleep(wait)
            done = before_retry()
            if done is not None:
                return done
        raise AssertionError("unreachable")


def _lost(folder: BatchFolder) -> str:
    return (
        " Is the key that of the account that began it? If the server has forgotten it, set `collected` of the batch to true "
        f"in {folder.path / STATE_FILE}: its questions are then asked again."
    )


class BatchFiles:
    """Nothing is sent: the user takes the questions to a server and puts the answers into the folder."""

    def submit(self, batch: Batch, folder: BatchFolder) -> None:
        """The file is written; that is all."""
        batch.status = "to be submitted"
        folder.save()

    def look(self, batch: Batch, folder: BatchFolder) -> BatchStatus:
        """Completed when there is an output or a file of errors."""
        there = folder.output(batch).exists() or folder.errors(batch).exists()
        return BatchStatus("completed" if there else "to be submitted")

    def fetch(self, batch: Batch, status: BatchStatus, folder: BatchFolder) -> None:
        """The user did."""
