"""What a judge is asked: templates from files, with a hash that tells one wording from another."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml


_FOLDER = Path(__file__).parent / "prompts"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_FIELDS = {"name": str, "kind": str, "system": str, "user": str, "response": str}
_OPTIONAL = {"tie": str, "lowest": int, "highest": int}
_KNOWN = {
    "choice": {"conversation", "responses", "options", "count", "tie"},
    "rating": {"conversation", "responses", "lowest", "highest", "example"},
}


@dataclass(frozen=True)
class JudgeTemplate:
    """
    Wording of a judge's question.

    A template is a YAML file with the fields below. `{placeholders}` are replaced once, so that braces in the data are
    left alone: in `system` and `user` `{conversation}`, `{responses}` (both needed in `user`), and `{options}`,
    `{count}`, `{tie}` of a choice or `{lowest}`, `{highest}`, `{example}` of a rating; in `response` `{label}` and
    `{response}`.

    Args:
        name (`str`):
            Name, for records.
        kind (`str`):
            `"choice"` (one label of several responses) or `"rating"` (a number for one response).
        system (`str`):
            System message; empty for none.
        user (`str`):
            User message.
        response (`str`):
            How each response is shown.
        tie (`str`, *optional*):
            What a judge calls a tie, if it may declare one.
        lowest, highest (`int`, *optional*, defaults to `1` and `10`):
            Ends of the scale of ratings.

    Example:
        ```python
        >>> from trl_ext.scoring.judges import JudgeTemplate
        >>> template = JudgeTemplate.load("choice")
        >>> messages = template.messages("<conversation>...</conversation>", ["Paris", "Rome"], labels="AB")
        >>> [message["role"] for message in messages], messages[1]["content"].splitlines()[-1]
        (['system', 'user'], 'Which of the 2 answers is best? Finish with one label in double square brackets: [[A]] or [[B]].')
        ```
    """

    name: str
    kind: str
    system: str
    user: str
    response: str
    tie: str | None = None
    lowest: int = 1
    highest: int = 10

    def __post_init__(self):
        if self.kind not in _KNOWN:
            raise ValueError(f"template {self.name!r}: kind must be 'choice' or 'rating', got {self.kind!r}")
        if self.lowest >= self.highest:
            raise ValueError(f"template {self.name!r}: lowest {self.lowest} must be less than highest {self.highest}")
        if self.tie is not None and not re.fullmatch(r"[A-Z]{2,}", self.tie):
            raise ValueError(f"template {self.name!r}: 'tie' must be a word in capitals such as TIE, got {self.tie!r}")
        needed = {"label", "response"} if self.kind == "choice" else {"response"}
        self._check("user", {"conversation", "responses"}, _KNOWN[self.kind])
        self._check("system", set(), _KNOWN[self.kind] - {"conversation", "responses"})
        self._check("response", needed, {"label", "response"})

    @classmethod
    def load(cls, source: "str | Path | JudgeTemplate") -> "JudgeTemplate":
        """
        A template of this package by name (`choice`, `choice_ties`, `rating`, `rating_ties`), or from a YAML file.

        Raises:
            `ValueError`: There is no such template, or a field is missing, unknown or of another type.
        """
        if isinstance(source, JudgeTemplate):
            return source
        bundled = {path.stem: path for path in _FOLDER.glob("*.yaml")}
        path = bundled.get(str(source), Path(source))
        if not path.is_file():
            raise ValueError(
                f"there is no template {str(source)!r}: give a YAML file, or one of {', '.join(sorted(bundled))}"
            )
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ValueError(f"{path.name} is not YAML: {error}") from None
        if not isinstance(content, dict):
            raise ValueError(f"{path.name} must hold the fields {', '.join(_FIELDS)}, got {type(content).__name__}")
        _check_fields(path.name, content)
        return cls(**content)

    @property
    def sha256(self) -> str:
        """Hash of all that a judge's question is made of."""
        facts = [self.kind, self.system, self.user, self.response, self.tie, self.lowest, self.highest]
        return hashlib.sha256("\x00".join(map(str, facts)).encode()).hexdigest()

    def messages(
        self, conversation: str, responses: Sequence[str], labels: Sequence[str] = ()
    ) -> list[dict[str, str]]:
        """
        The question about some responses.

        Args:
            conversation (`str`): The conversation, as it is shown.
            responses (`Sequence[str]`): The responses in the order in which they are shown; one for a rating.
            labels (`Sequence[str]`, *optional*): Label of each, for a choice.

        Returns:
            `list[dict[str, str]]`: System message, if the template has one, and user message.
        """
        names = labels if self.kind == "choice" else [""] * len(responses)
        blocks = [
            _fill(self.response, {"label": label, "response": response})
            for label, response in zip(names, responses, strict=True)
        ]
        values = {
            "conversation": conversation,
            "responses": "\n\n".join(blocks),
            "options": _enumerated([f"[[{label}]]" for label in labels]),
            "count": str(len(responses)),
            "tie": self.tie or "",
            "lowest": str(self.lowest),
            "highest": str(self.highest),
            "example": str((self.lowest + self.highest) // 2),
        }
        texts = [("system", _fill(self.system, values)), ("user", _fill(self.user, values))]
        return [{"role": role, "content": text} for role, text in texts if text]

    def facts(self) -> dict[str, Any]:
        """Name and hash, for records."""
        return {"name": self.name, "kind": self.kind, "sha256": self.sha256}

    def _check(self, field: str, needed: set[str], known: set[str]) -> None:
        found = set(_PLACEHOLDER.findall(getattr(self, field)))
        for problem, names in (("lacks", needed - found), ("has the unknown", found - known)):
            if names:
                raise ValueError(
                    f"template {self.name!r}: {field!r} {problem} {', '.join(f'{{{name}}}' for name in sorted(names))}; "
                    f"known are {', '.join(f'{{{name}}}' for name in sorted(known))}"
                )
        if "tie" in found and self.tie is None:
            raise ValueError(f"template {self.name!r}: {field!r} speaks of {{tie}}, but there is no field 'tie'")


def _check_fields(file: str, content: dict[str, Any]) -> None:
    fields = _FIELDS | _OPTIONAL
    missing = [name for name in _FIELDS if name not in content]
    if missing:
        raise ValueError(f"{file} lacks the field{'s' if len(missing) > 1 else ''} {', '.join(missing)} (text)")
    for name, value in content.items():
        if name not in fields:
            raise ValueError(f"{file} has the unknown field {name!r}; known are {', '.join(fields)}")
        if not isinstance(value, fields[name]) or isinstance(value, bool):
            raise ValueError(f"{file}: field {name!r} must be of type {fields[name].__name__}, got {value!r}")


def _fill(text: str, values: dict[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), text)


def _enumerated(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)
