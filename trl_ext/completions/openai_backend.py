"""Answers from an OpenAI-compatible server."""

import asyncio
import logging
import os
import random
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from ..privacy import hide_private
from .answers import Answer, Failure, Job, Outcome
from .ledger import APPROXIMATE_RULE, approximate_prompt_tokens
from .requests import Sampling


try:
    from openai import AsyncOpenAI
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "answers from a server need the openai package: pip install 'trl_ext[rewriters]'", name="openai"
    ) from error

from .retries import MalformedResponse, RetryPolicy, classify, retry_after


logger = logging.getLogger(__name__)

_LONGEST_MESSAGE = 500
_SHORTEST_KEY = 8  # servers without keys take any: "none" or "EMPTY" would be found in harmless text


class OpenAIBackend:
    """
    A model behind an OpenAI-compatible endpoint (OpenAI, vLLM, llama.cpp, ...), asked through the `openai` package.

    At most `concurrency` requests are under way. Errors 408, 409, 429 and 5xx, timeouts, lost connections and malformed
    responses are repeated after a wait that doubles and is jittered, or as long as `Retry-After` says; everything else
    is a failure of the request. The package's own retries are off, so that what is counted is what was sent.

    Args:
        model (`str`):
            Name of the model at the server.
        base_url (`str`, *optional*):
            Address of the endpoint, e.g. `http://localhost:8000/v1`. By default that of the package
            (`OPENAI_BASE_URL`, else OpenAI).
        api_key_env (`str`, *optional*, defaults to `"OPENAI_API_KEY"`):
            Environment variable with the API key. The key is taken from nowhere else, and is not recorded. `None` for
            servers without one.
        concurrency (`int`, *optional*, defaults to `8`):
            Requests under way at once.
        timeout (`float`, *optional*, defaults to `600.0`):
            Seconds a server may take to answer.
        retry ([`RetryPolicy`], *optional*):
            How often and after what wait requests are repeated.
        max_tokens_field (`str`, *optional*, defaults to `"max_tokens"`):
            What the server calls the longest answer; OpenAI's reasoning models want `"max_completion_tokens"`.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the jitter.

    Raises:
        `ValueError`: The environment variable is not set, or the address contains credentials.
    """

    prompt_rule = APPROXIMATE_RULE
    count_prompt_tokens = staticmethod(approximate_prompt_tokens)

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key_env: str | None = "OPENAI_API_KEY",
        concurrency: int = 8,
        timeout: float = 600.0,
        retry: RetryPolicy | None = None,
        max_tokens_field: str = "max_tokens",
        seed: int = 0,
    ):
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, got {concurrency}")
        if not timeout > 0:
            raise ValueError(f"timeout must be positive, got {timeout}")
        if max_tokens_field not in ("max_tokens", "max_completion_tokens"):
            raise ValueError(
                f"max_tokens_field must be 'max_tokens' or 'max_completion_tokens', got {max_tokens_field!r}"
            )
        check_base_url(base_url)
        self._api_key = read_api_key(api_key_env)
        self.model = self.model_id = model
        self.base_url = base_url
        self.api_key_env = api_key_env
        self.concurrency = concurrency
        self.timeout = timeout
        self.retry = retry or RetryPolicy()
        self.max_tokens_field = max_tokens_field
        self._random = random.Random(seed)

    def is_deterministic(self, sampling: Sampling) -> bool:
        """Whether a repeated request gets the same answer for certain: never, from a server."""
        return False

    def check(self, sampling: Sampling) -> None:
        """Raise a `ValueError` if this backend can't draw answers so."""
        if sampling.form is not None:
            raise ValueError('a server does not fill in forms; ask it for JSON with extra={"response_format": ...}')

    def run(self, next_job: Callable[[], Job | None], finished: Callable[[Outcome], None]) -> None:
        """Take jobs until there are none, and report each as it ends."""
        _run(self._run(next_job, finished))

    async def _run(self, next_job: Callable[[], Job | None], finished: Callable[[Outcome], None]) -> None:
        async with AsyncOpenAI(
            api_key=self._api_key or "none", base_url=self.base_url, timeout=self.timeout, max_retries=0
        ) as client:

            async def work() -> None:
                # `finished` may add a job, so a worker that ends leaves no job behind
                while (job := next_job()) is not None:
                    finished(await self._ask(client, job))

            try:
                async with asyncio.TaskGroup() as group:
                    for _ in range(self.concurrency):
                        group.create_task(work())
            except ExceptionGroup as errors:
                raise errors.exceptions[0] from None  # a full disk is to be read as one

    async def _ask(self, client: Any, job: Job) -> Outcome:
        retried: list[str] = []
        while True:
            try:
                response = await client.chat.completions.create(**self._arguments(job))
                return Outcome(job, self._answer(response), tuple(retried))
            except Exception as error:
                found = classify(error)
                if found is None:
                    raise
                kind, is_transient = found
                message = self._describe(error)
                if not is_transient:
                    return Outcome(job, Failure(kind, message), tuple(retried))
                if len(retried) == self.retry.max_retries:
                    return Outcome(
                        job, Failure(kind, f"still after {len(retried)} retries: {message}"), tuple(retried)
                    )
                wait = self.retry.wait(len(retried), error, self._random)
                if wait is None:
                    asked = f"the server asks to wait {retry_after(error):.0f} s: {message}"
                    return Outcome(job, Failure(kind, asked), tuple(retried))
            retried.append(kind)
            logger.info("request %s: %s; again in %.1f s", job.request.id, kind, wait)
            await asyncio.sleep(wait)

    def _arguments(self, job: Job) -> dict[str, Any]:
        sampling = job.request.sampling
        fields = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            self.max_tokens_field: sampling.max_tokens,
            "seed": job.seed,
        }
        return {
            "model": self.model,
            "messages": [dict(message) for message in job.request.messages],
            "extra_body": dict(sampling.extra) or None,
            **{name: value for name, value in fields.items() if value is not None},
        }

    def _answer(self, response: Any) -> Answer:
        # The package builds its objects without checks: a page of a proxy is a text, fields may be absent
        choices: Sequence[Any] | None = getattr(response, "choices", None)
        message = getattr(choices[0], "message", None) if isinstance(choices, list) and choices else None
        content = getattr(message, "content", None)
        if message is None or not isinstance(content, str | None):
            raise MalformedResponse("the response has no message")
        usage = getattr(response, "usage", None)
        return Answer(
            text=self._without_key(content or ""),
            finish_reason=self._stored(getattr(choices[0], "finish_reason", None)),
            prompt_tokens=_count(getattr(usage, "prompt_tokens", None)),
            completion_tokens=_count(getattr(usage, "completion_tokens", None)),
            refusal=self._stored(getattr(message, "refusal", None)),
        )

    def _describe(self, error: Exception) -> str:
        text = str(error) or type(error).__name__
        if error.__cause__ is not None:
            text = f"{text} ({type(error.__cause__).__name__}: {error.__cause__})"
        return hide_private(self._without_key(text))[:_LONGEST_MESSAGE]

    def _stored(self, value: Any) -> str | None:
        """A field of the answer as it is stored: a text, whatever the server sent."""
        return None if value is None else self._without_key(str(value))

    def _without_key(self, text: str) -> str:
        """Some servers repeat the key, in an error or worse."""
        if self._api_key is None or len(self._api_key) < _SHORTEST_KEY:
            return text
        return text.replace(self._api_key, f"<{self.api_key_env}>")


def check_base_url(base_url: str | None) -> None:
    """Raise a `ValueError` unless an address is one of HTTP without credentials."""
    if base_url is None:
        return
    parts = urlsplit(base_url)
    if parts.username is not None or parts.password is not None or parts.query:
        raise ValueError(
            "base_url contains a user name, a password or a query, which would be recorded. Give the plain address; "
            "the key comes from the environment."
        )
    try:
        parts.port  # noqa: B018  it is read here
    except ValueError as error:
        raise ValueError(f"base_url {base_url!r}: {error}") from error
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"base_url must be an address such as http://localhost:8000/v1, got {base_url!r}")


def read_api_key(api_key_env: str | None) -> str | None:
    """The API key, from the environment variable of that name; `None` if there is to be none: with `None` or an empty name."""
    if not api_key_env:
        return None
    check_variable_name(api_key_env)
    key = os.environ.get(api_key_env, "").strip()
    if not key:
        raise ValueError(
            f"the environment variable {api_key_env} with the API key is not set. Set it, name another variable with "
            'api_key_env, or set api_key_env="" for a server without keys.'
        )
    return key


def check_variable_name(api_key_env: str) -> None:
    """Raise a `ValueError`, which does not repeat it, unless this can be the name of a variable: it may be the key itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", api_key_env):
        raise ValueError(
            "api_key_env must be the name of an environment variable, such as OPENAI_API_KEY: of letters, digits and _. The "
            "key itself is never given here, where it would be recorded."
        )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _run(coroutine: Any) -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(coroutine)
        return
    with ThreadPoolExecutor(1) as pool:  # a notebook has a loop of its own, which can't wait for another
        pool.submit(asyncio.run, coroutine).result()
