"""The rule for a prompt: a text, or messages that end with the user's."""

from collections.abc import Mapping, Sequence
from typing import Any

from .checks import shorten


def check_prompt(prompt: Any, where: str) -> None:
    """Raise a `ValueError` that begins with `where` unless a prompt is a text with content, or messages that end with the user's."""
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ValueError(f"{where} is empty")
        return
    if not isinstance(prompt, Sequence) or not prompt:
        raise ValueError(f"{where} must be a text or a list of messages, got {shorten(prompt)}")
    for message in prompt:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise ValueError(f"{where}: a message needs 'role' and 'content', both text; got {shorten(message)}")
    if prompt[-1]["role"] != "user":
        raise ValueError(f"{where}: the last message must be the user's, it is of role {prompt[-1]['role']!r}")
