"""An attribute of texts whose effect on rewards is wanted: how it is named, recognised and changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


TEXT, TARGET = "{text}", "{target}"

# (text, row) -> whether the text has the attribute; None if that can't be said
Classifier = Callable[[str, Mapping[str, Any]], bool | None]


@dataclass(frozen=True)
class Attribute:
    """
    A binary attribute of a text.

    Args:
        name (`str`):
            Name in tables and files.
        treated (`str`):
            What a text with the attribute (w = 1) is, as a model is told: `"longer"`.
        untreated (`str`):
            The opposite (w = 0): `"shorter"`.
        instruction (`str`):
            What a model is asked, with `{text}` and `{target}` (`treated` or `untreated`). Braces elsewhere are left
            alone.
        classifier (`Callable`, *optional*):
            Function from a text and the other columns of its row to `True`, `False`, or `None` if it can't be said. It
            must also do for rewrites if their compliance is to be measured: then the row has no columns but the prompt.
        description (`str`, *optional*):
            What it means, for readers.
        settings (`Mapping`, *optional*):
            What the classifier depends on, for JSON.

    Example:
        ```python
        >>> from trl_ext.rate import Attribute
        >>> length = Attribute(
        ...     "length", "longer", "shorter", "Make this {target}: {text}", lambda text, row: len(text) > 20
        ... )
        >>> length.classify("A short text."), length.ask("A short text.", True)
        (False, [{'role': 'user', 'content': 'Make this longer: A short text.'}])

        ```
    """

    name: str
    treated: str
    untreated: str
    instruction: str
    classifier: Classifier | None = None
    description: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for part in ("name", "treated", "untreated", "instruction"):
            value = getattr(self, part)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"`{part}` of an attribute must be a text that is not empty, got {value!r}")
        if self.treated == self.untreated:
            raise ValueError(f"attribute {self.name!r}: `treated` and `untreated` are both {self.treated!r}")
        for part in (TEXT, TARGET):
            if part not in self.instruction:
                raise ValueError(
                    f"attribute {self.name!r}: `instruction` must contain {part}, got {self.instruction!r}"
                )

    def target(self, value: bool) -> str:
        """What a text with this value of the attribute is, in words."""
        return self.treated if value else self.untreated

    def ask(self, text: str, target: bool) -> list[dict[str, str]]:
        """The conversation that asks a model for a rewrite."""
        # The text last: it may contain the other mark
        content = self.instruction.replace(TARGET, self.target(target)).replace(TEXT, text)
        return [{"role": "user", "content": content}]

    def classify(self, text: str, row: Mapping[str, Any] | None = None) -> bool | None:
        """
        Whether a text has the attribute.

        Args:
            text (`str`): The text.
            row (`Mapping`, *optional*): Other columns of its row, such as metadata.

        Returns:
            `bool` or `None`: `None` if it can't be said.

        Raises:
            ValueError: The attribute has no classifier.
        """
        if self.classifier is None:
            raise ValueError(f"attribute {self.name!r} has no classifier: give one to recognise it in texts")
        value = self.classifier(text, row or {})
        return None if value is None else bool(value)
