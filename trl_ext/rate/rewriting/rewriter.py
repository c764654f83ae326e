"""What rewrites texts: the interface of chat models, rules and their combinations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class RewriteRequest:
    """
    A text to rewrite.

    Args:
        id (`str`): Id of the row.
        prompt (`str` or `list[dict]`): What the original text answers. Rewriters may ignore it.
        text (`str`): The text to rewrite.
        target (`bool`): Value of the attribute that the new text is to have.
        step (`int`): 1 for a rewrite of the original, 2 for the rewrite of that, and so on.
    """

    id: str
    prompt: Any
    text: str
    target: bool
    step: int


@dataclass(frozen=True)
class Rewritten:
    """
    What became of a request.

    Args:
        text (`str`, *optional*): The new text; `None` if there is none.
        failure (`str`, *optional*): Why there is none, in one word to count by: `"refusal"`, `"empty"`, `"timeout"`, ...
        finish_reason (`str`, *optional*): Why a model ended: `"stop"`, or `"length"` if it was cut.
    """

    text: str | None
    failure: str | None = None
    finish_reason: str | None = None

    def __post_init__(self):
        if (self.text is None) != (self.failure is not None):
            raise ValueError(f"there is either a text or the kind of a failure, got {self!r}")


class Rewriter(Protocol):
    """
    What rewrites texts. It leaves everything but the attribute as it is, as far as it can.

    Attributes:
        name (`str`): Name in tables.
    """

    name: str

    def rewrite(self, requests: Sequence[RewriteRequest]) -> list[Rewritten]:
        """One result for each request, in their order."""
        ...

    def settings(self) -> dict[str, Any]:
        """What the rewrites depend on, for JSON: a file that was begun with other settings is not continued."""
        ...
