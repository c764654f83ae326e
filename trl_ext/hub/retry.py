"""Repetition of requests that huggingface_hub makes only once."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

import httpx2
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError


logger = logging.getLogger(__name__)

T = TypeVar("T")
LONGEST_WAIT = 60.0


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed later: too many requests, an error of the server, or of the connection."""
    if isinstance(error, HfHubHTTPError):
        return error.response.status_code in (408, 429) or error.response.status_code >= 500
    if isinstance(error, (httpx2.TransportError, TimeoutError)):
        return True
    # hf_hub_download and parallel uploads wrap what went wrong
    wraps = isinstance(error, (LocalEntryNotFoundError, RuntimeError))
    return wraps and error.__cause__ is not None and is_transient(error.__cause__)


def with_retries(call: Callable[[], T], what: str, max_retries: int) -> T:
    """
    Call, and again after a transient error, with waits that double from one second and are jittered.

    huggingface_hub does so itself for the transfer of large files, but not for the creation of a repository, the check
    of a model card, the commit, information about a repository, or a download that the server answers with 5xx.
    """
    for retry in range(max_retries + 1):
        try:
            return call()
        except Exception as error:
            if retry == max_retries or not is_transient(error):
                raise
            wait = _wait_asked_for(error)
            if wait is None:
                wait = min(2.0**retry, LONGEST_WAIT) * random.uniform(0.5, 1)
            reason = str(error).strip().splitlines()
            logger.warning(
                "%s failed (%s); again in %.1f s, %d of %d",
                *(what, reason[0] if reason else type(error).__name__, wait, retry + 1, max_retries),
            )
            time.sleep(wait)
    raise AssertionError("unreachable: the last try returns or raises")


def _wait_asked_for(error: Exception) -> float | None:
    value = error.response.headers.get("Retry-After", "") if isinstance(error, HfHubHTTPError) else ""
    return float(value) if value.strip().isdigit() else None
