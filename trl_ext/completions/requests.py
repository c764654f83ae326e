"""What is asked: requests, how answers are sampled, and the key an answer is stored under."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


# Part of every key: to be raised when the meaning of a request changes
_KEY_VERSION = 1


@dataclass(frozen=True)
class AnswerForm:
    """
    An answer with blanks, of which the model fills in nothing but the blanks. For local models: even a small one then
    gives an answer that can be read.

    Args:
        blanks (`tuple[tuple[str, tuple[str, ...]], ...]`):
            In front of each blank its text, and what may be filled in: each a single token of the model.
        end (`str`, *optional*, defaults to `""`):
            Text after the last blank.
    """

    blanks: tuple[tuple[str, tuple[str, ...]], ...]
    end: str = ""

    def __post_init__(self):
        for text, options in self.blanks:
            if not options or len(set(options)) < len(options):
                raise ValueError(f"the blank after {text!r} needs one option or more, each once; got {options!r}")


@dataclass(frozen=True)
class Sampling:
    """
    How an answer is drawn.

    Args:
        temperature (`float`, *optional*):
            0 takes the most likely token. `None` leaves it to the server (some models refuse any value); a local model
            then samples at temperature 1.
        top_p (`float`, *optional*):
            Probability mass in (0, 1] that tokens are drawn from. `None`: all, or what the server does.
        max_tokens (`int`, *optional*, defaults to `1024`):
            Longest answer, in tokens. `None` leaves it to the server.
        seed (`int`, *optional*, defaults to `0`):
            Every request, repetition and attempt gets a seed of its own that is derived from it. `None` sends no seed;
            a local model needs one unless the temperature is 0.
        extra (`Mapping`, *optional*):
            Further fields of the request as the server knows them, e.g. `{"reasoning_effort": "low"}`. Plain JSON
            types. A local model refuses them.
        form ([`AnswerForm`], *optional*):
            Form to fill in, instead of a free answer of up to `max_tokens`. Local models only; servers have
            `extra={"response_format": ...}`.
    """

    temperature: float | None = 0.0
    top_p: float | None = None
    max_tokens: int | None = 1024
    seed: int | None = 0
    extra: Mapping[str, Any] = field(default_factory=dict)
    form: AnswerForm | None = None

    def __post_init__(self):
        if self.temperature is not None and not 0 <= self.temperature <= 2:
            raise ValueError(f"temperature must be in [0, 2] or None, got {self.temperature!r}")
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1] or None, got {self.top_p!r}")
        if self.max_tokens is not None and not self.max_tokens >= 1:
            raise ValueError(f"max_tokens must be at least 1 or None, got {self.max_tokens!r}")
        taken = {"model", "messages", "temperature", "top_p", "seed", "stream", "n"} & set(self.extra)
        if taken:
            raise ValueError(
                f"extra must not set {', '.join(sorted(taken))}: these have fields of their own or are fixed"
            )


@dataclass(frozen=True)
class CompletionRequest:
    """
    A question to a chat model.

    Args:
        id (`str`):
            Name of the request, once in a list of requests.
        messages (`Sequence[Mapping[str, str]]`):
            Conversation, as `{"role": ..., "content": ...}`.
        sampling ([`Sampling`], *optional*):
            How the answer is drawn.
        repetition (`int`, *optional*, defaults to `0`):
            Number of the answer, when the same question is to be answered several times.
    """

    id: str
    messages: Sequence[Mapping[str, str]]
    sampling: Sampling = field(default_factory=Sampling)
    repetition: int = 0

    def __post_init__(self):
        if not isinstance(self.id, str) or not self.id:
            raise TypeError(f"id must be a text that is not empty, got {self.id!r}")
        if not self.messages:
            raise ValueError(f"request {self.id!r} has no messages")
        for message in self.messages:
            if set(message) != {"role", "content"} or not all(isinstance(text, str) for text in message.values()):
                raise ValueError(
                    f"request {self.id!r}: a message needs 'role' and 'content', both text, and nothing else; got "
                    f"{dict(message)!r}"
                )
        if self.repetition < 0:
            raise ValueError(f"request {self.id!r}: repetition must be at least 0, got {self.repetition}")


def request_key(model: str, request: CompletionRequest) -> str:
    """
    Key of the answer to a request: SHA-256 of model, messages, sampling and repetition. The id is no part of it, so that
    equal questions are asked once.

    Args:
        model (`str`): Identity of the model, as the backend gives it.
        request ([`CompletionRequest`]): The request.

    Returns:
        `str`: 64 hexadecimal digits.

    Example:
        ```python
        >>> hello = [{"role": "user", "content": "Hello"}]
        >>> one, other = CompletionRequest("1", hello), CompletionRequest("2", hello)
        >>> request_key("m", one) == request_key("m", other), request_key("m", one) == request_key("n", one)
        (True, False)
        ```
    """
    content = {
        "version": _KEY_VERSION,
        "model": model,
        "messages": [dict(message) for message in request.messages],
        "sampling": asdict(request.sampling),
        "repetition": request.repetition,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def attempt_seed(seed: int | None, key: str, attempt: int) -> int | None:
    """Seed of one attempt at one request, in [0, 2^31); `None` if no seed is wanted."""
    if seed is None:
        return None
    digest = hashlib.sha256(f"{seed}:{key}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
