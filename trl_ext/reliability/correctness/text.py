"""How a comparison (prompt, response A, response B) is written as one text. The only place that knows."""

import re
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


DEFAULT_TEMPLATE = "Human: {prompt}\n\nResponse A: {response_a}\n\nResponse B: {response_b}"
_FIELDS = ("prompt", "response_a", "response_b")

_ROLE_NAMES = {"user": "Human", "assistant": "Assistant", "system": "System"}
# Preference data keeps these marks in the prompt, or not: a model should see the same text either way
_OPENING_MARK = re.compile(r"^\s*Human:\s*")
_CLOSING_MARK = re.compile(r"\s*Assistant:\s*$")


@dataclass(frozen=True)
class ComparisonFormat:
    r"""
    The text of a comparison.

    Args:
        template (`str`, *optional*):
            Text with the fields `{prompt}`, `{response_a}` and `{response_b}`, each once. Defaults to
            `"Human: {prompt}\n\nResponse A: {response_a}\n\nResponse B: {response_b}"`.
        examples (`str`, *optional*, defaults to `""`):
            Text in front of it, e.g. solved examples for a model that has not been trained.

    Example:
        ```python
        >>> ComparisonFormat().render("Human: What is 1 + 1?", "2", "3")
        'Human: What is 1 + 1?\n\nResponse A: 2\n\nResponse B: 3'
        ```
    """

    template: str = DEFAULT_TEMPLATE
    examples: str = ""

    def __post_init__(self):
        fields = sorted(field for _, field, _, _ in string.Formatter().parse(self.template) if field is not None)
        if fields != sorted(_FIELDS):
            raise ValueError(
                f"template must have each of the fields {', '.join(f'{{{f}}}' for f in _FIELDS)} once, found "
                f"{', '.join(f'{{{f}}}' for f in fields) or 'none'}"
            )

    def render(self, prompt: str, response_a: str, response_b: str) -> str:
        """The text of one comparison. Marks `Human:` and `Assistant:` around the prompt are not doubled."""
        return self.examples + self.template.format(
            prompt=bare_prompt(prompt), response_a=response_a.strip(), response_b=response_b.strip()
        )

    def to_dict(self) -> dict[str, str]:
        """Plain Python types, for JSON."""
        return asdict(self)


def bare_prompt(prompt: str) -> str:
    """The prompt without a `Human:` that opens and an `Assistant:` that closes it."""
    return _CLOSING_MARK.sub("", _OPENING_MARK.sub("", prompt)).strip()


def prompt_text(prompt: str | Sequence[dict[str, Any]]) -> str:
    """
    A prompt as text: text as it is, messages as turns (`Human:`, `Assistant:`, `System:`).

    Raises:
        ValueError: If a message has no text.
    """
    if isinstance(prompt, str):
        return prompt
    messages = list(prompt)
    if len(messages) == 1 and messages[0]["role"] == "user":
        return message_text(messages[0])
    return "\n\n".join(
        f"{_ROLE_NAMES.get(message['role'], message['role'].capitalize())}: {message_text(message)}"
        for message in messages
    )


def response_text(response: str | Sequence[dict[str, Any]]) -> str:
    """A response as text: messages joined by empty lines."""
    return response if isinstance(response, str) else "\n\n".join(message_text(message) for message in response)


def message_text(message: dict[str, Any]) -> str:
    """The text of a message whose content is text or a list of parts."""
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") for part in content]
        content = None if any(text is None for text in texts) else "\n".join(texts)
    if not isinstance(content, str):
        raise ValueError(
            f"a message of role {message.get('role')!r} has content that is not text; comparisons of images, sounds or "
            "bare tool calls have no text for this model to read"
        )
    return content
