"""Errors of an OpenAI-compatible server: what they are called, which may pass, and how long to wait."""

import email.utils
import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

import openai


class MalformedResponse(Exception):
    """The server answered 200 with something that is no chat completion."""


@dataclass(frozen=True)
class RetryPolicy:
    """
    How often and after what wait a request is repeated.

    Args:
        max_retries (`int`, *optional*, defaults to `6`): Repetitions of a request after transient errors.
        first_wait (`float`, *optional*, defaults to `1.0`): Seconds before the first repetition; doubled every time.
        longest_wait (`float`, *optional*, defaults to `60.0`): Seconds at which the doubling ends.
        longest_retry_after (`float`, *optional*, defaults to `600.0`):
            A server that asks to wait longer, in its `Retry-After`, is given up.
    """

    max_retries: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_retry_after: float = 600.0

    def __post_init__(self):
        if self.max_retries < 0:
            raise ValueError(f"max_retries must be at least 0, got {self.max_retries}")
        if not 0 <= self.first_wait <= self.longest_wait:
            raise ValueError(f"first_wait must be in [0, longest_wait={self.longest_wait}], got {self.first_wait}")

    def wait(self, retry: int, error: BaseException, random_state: random.Random) -> float | None:
        """Seconds until repetition `retry` (from 0), or `None` if the server asks for more than we give it."""
        backoff = min(self.first_wait * 2.0**retry, self.longest_wait) * random_state.uniform(0.5, 1)
        asked = retry_after(error)
        if asked is None:
            return backoff
        # The jitter on top keeps all that were told the same second from coming back at once
        return None if asked > self.longest_retry_after else asked + min(backoff, self.first_wait)


_TRANSIENT_STATUS = {408: "request_timeout", 409: "conflict", 429: "rate_limit"}
_FINAL_STATUS = {
    400: "bad_request",
    401: "authentication",
    403: "permission_denied",
    404: "not_found",
    413: "too_large",
    422: "bad_request",
}
_OUT_OF_MONEY = {"insufficient_quota", "billing_hard_limit_reached"}


def classify(error: BaseException) -> tuple[str, bool] | None:
    """Kind of an error and whether it may pass; `None` for what is no error of the server or the connection."""
    if isinstance(error, openai.APITimeoutError):
        return "timeout", True
    if isinstance(error, openai.APIConnectionError):
        return "connection", True
    if isinstance(error, openai.APIStatusError):
        return classify_status(error.status_code, error.code)
    if isinstance(error, (MalformedResponse, openai.APIResponseValidationError, json.JSONDecodeError)):
        return "malformed_response", True
    return None


def classify_status(status: int, code: str | None) -> tuple[str, bool]:
    """Kind of an error by its HTTP status and the server's own code, and whether it may pass."""
    if code in _OUT_OF_MONEY:
        return "quota", False
    if code == "context_length_exceeded":
        return "context_length", False
    if status in _TRANSIENT_STATUS:
        return _TRANSIENT_STATUS[status], True
    if status >= 500:
        return "server_error", True
    return _FINAL_STATUS.get(status, f"http_{status}"), False


def retry_after(error: BaseException) -> float | None:
    """Seconds the server asks to wait: `Retry-After` in seconds or as a date, or `retry-after-ms`."""
    if not isinstance(error, openai.APIStatusError):
        return None
    headers: Mapping[str, str] = error.response.headers
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (KeyError, ValueError):
            continue
        if seconds >= 0:  # not NaN
            return seconds
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())
