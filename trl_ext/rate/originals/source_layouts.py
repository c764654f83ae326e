"""Rows of public data sets as prompts and texts: IMDB, HelpSteer, HH-RLHF, ELI5, preference pairs, and plain ones."""

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...data.checks import shorten
from ...data.prompts import check_prompt


SIDES = ("both", "chosen", "rejected")
TURNS = ("last", "first")
REVIEW_PROMPT = "Write a review of a film that you have seen."
_TURN = re.compile(r"\n\n(Human|Assistant):[ \t]*")
_ROLES = {"Human": "user", "Assistant": "assistant"}
_DELETED = ("[deleted]", "[removed]", "")


@dataclass(frozen=True)
class LayoutOptions:
    """What can be chosen of a layout: the prompt of texts without one, the answers of a pair, the turn of a dialogue."""

    prompt: str | None = None
    sides: str = "both"
    turn: str = "last"


@dataclass(frozen=True)
class Candidate:
    """A text that may become an original, or the reason why not."""

    id: str
    prompt: Any
    text: Any
    metadata: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None

    def checked(self) -> "Candidate":
        """The same, with the reason if prompt or text are of no use."""
        if self.problem is not None:
            return self
        if self.text is not None and not isinstance(self.text, str):
            nested = "; columns with lists are of layout eli5 (answers) or preferences (messages)"
            hint = nested if isinstance(self.text, list) else ""
            raise ValueError(f"row with id {self.id!r}: the text must be a string, got {shorten(self.text)}{hint}")
        if self.text is None or not self.text.strip():
            return Candidate(self.id, None, None, problem="empty_text")
        if isinstance(self.prompt, str) and not self.prompt.strip() or self.prompt is None:
            return Candidate(self.id, None, None, problem="empty_prompt")
        check_prompt(self.prompt, f"row with id {self.id!r}: the prompt")
        return self


@dataclass(frozen=True)
class SourceLayout:
    """
    How the rows of a data set hold prompts and texts.

    Args:
        columns (`tuple[tuple[str, ...], ...]`): Needed columns; of each group, one.
        candidates (`Callable`): From a row, its id and the options to the texts in it.
        classifiers (`Mapping`, *optional*): Settings of classifiers by column, by name of the attribute.
        unlabelled (`tuple`, *optional*):
            Values of such a column that say nothing. Where there are some, values that are not known are refused.
    """

    columns: tuple[tuple[str, ...], ...]
    candidates: Callable[[Mapping[str, Any], str, LayoutOptions], Iterator[Candidate]]
    classifiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    unlabelled: tuple[Any, ...] = ()

    def fits(self, columns: Sequence[str]) -> bool:
        return all(any(name in columns for name in group) for group in self.columns)


def _metadata(row: Mapping[str, Any], without: Sequence[str]) -> dict[str, Any]:
    """Columns that are plain values; NaN, as empty cells of CSV are read, is none."""
    return {
        key: value
        for key, value in row.items()
        if key not in without
        and isinstance(value, str | int | float | bool)
        and not (isinstance(value, float) and not math.isfinite(value))
    }


def _imdb(row: Mapping[str, Any], name: str, options: LayoutOptions) -> Iterator[Candidate]:
    yield Candidate(name, options.prompt or REVIEW_PROMPT, row["text"], _metadata(row, ("text", "id")))


def _helpsteer(row: Mapping[str, Any], name: str, options: LayoutOptions) -> Iterator[Candidate]:
    yield Candidate(name, row["prompt"], row["response"], _metadata(row, ("prompt", "response", "id")))


def _plain(row: Mapping[str, Any], name: str, options: LayoutOptions) -> Iterator[Candidate]:
    prompt = row["prompt"] if row.get("prompt") is not None else options.prompt
    yield Candidate(name, prompt, row["text"], _metadata(row, ("prompt", "text", "id")))


def _sides(options: LayoutOptions) -> tuple[str, ...]:
    return ("chosen", "rejected") if options.sides == "both" else (options.sides,)


def parse_dialogue(text: str) -> list[dict[str, str]] | None:
    r"""
    Messages of a dialogue of HH-RLHF, such as `"\n\nHuman: Hi\n\nAssistant: Hello."`.

    Returns:
        `list[dict]` or `None`: `None` unless it begins with the human's turn and the turns alternate.

    Example:
        ```python
        >>> from trl_ext.rate.originals.source_layouts import parse_dialogue
        >>> parse_dialogue("\n\nHuman: Hi\n\nAssistant: Hello.")
        [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello.'}]

        ```
    """
    parts = _TURN.split(text)
    if parts[0].strip() or len(parts) < 3:
        return None
    roles = [_ROLES[role] for role in parts[1::2]]
    if any(role != ("user", "assistant")[i % 2] for i, role in enumerate(roles)):
        return None
    return [{"role": role, "content": part.strip()} for role, part in zip(roles, parts[2::2], strict=True)]


def _hh_rlhf(row: Mapping[str, Any], name: str, options: LayoutOptions) -> Iterator[Candidate]:
    for side in _sides(options):
        own = f"{name}-{side}"
        messages = parse_dialogue(row[side]) if isinstance(row[side], str) else None
        if messages is not None and options.turn == "first":
            messages = messages[:2]
        if messages is None or messages[-1]["role"] != "assistant":
            yield Candidate(own, None, None, problem="malformed_dialogue")
        elif not all(message["content"] for message in messages[:-1]):
            yield Candidate(own, None, None, problem="empty_prompt")
        else:
            metadata = {"side": side, "turns": len(messages)} | _metadata(row, ("chosen", "rejected", "id"))
            yield Candidate(own, messages[:-1], messages[-1]["content"], metadata)


def _preferences(row: Mapping[str, Any], name: str, options: LayoutOptions) -> Iterator[Candidate]:
    for side in _sides(options):
        prompt, answer = row.get("prompt"), row[side]
        if answer is not None and not isinstance(answer, str):
            if answer and answer[-1].get("role", "assistant") != "assistant":
                yield Candidate(f"{name}-{side}", None, None, problem="malformed_dialogue")
                continue
            before, answer = list(answer[:-1]), answer[-1]["content"] if answer else None
            if before:
                prompt = _with_turns(prompt, before)
        metadata = {"side": side} | _metadata(row, ("prompt", "chosen", "rejected", "id"))
        if row.get(f"source_{side}") is not None:
            metadata["source"] = row[f"source_{side}"]
        yield Candidate(f"{name}-{side}", prompt, answer, metadata)


def _with_turns(prompt: Any, before: list[Mapping[str, Any]]) -> list[Any]:
    """Prompt and the messages before an answer, which often begin with the prompt themselves: it is there once."""
    if not prompt:
        return before
    if isinstance(prompt, str):
        questions = [message["content"].strip() for message in before if message["role"] == "user"]
        return before if prompt.strip() in questions else [{"role": "user", "content": prompt}, *before]
    spoken = [[(message["role"], message["content"]) for message in messages] for messages in (prompt, before)]
    return before if spoken[1][: len(prompt)] == spoken[0] else [*prompt, *before]


def _eli5(row: Mapping[str, Any], name: str, options: LayoutOptions) -> Iterator[Candidate]:
    question = row.get("title") or row.get("question")
    if isinstance(row.get("selftext"), str) and row["selftext"].strip() not in _DELETED:
        details = row["selftext"].strip()
        question = f"{question}\n\n{details}" if question else details
    metadata = _metadata(row, ("title", "question", "selftext", "answer", "answers", "id", "q_id"))
    for number, (text, more) in enumerate(_answers(row)):
        own = name if "answers" not in row else f"{name}-{number}"
        if isinstance(text, str) and text.strip() in _DELETED[:2]:
            yield Candidate(own, None, None, problem="deleted_answer")
        else:
            yield Candidate(own, question, text, metadata | more)


def _answers(row: Mapping[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Answers to a question, however they are nested: one, a list, a list of objects, or an object of lists."""
    answers = row.get("answers", row.get("answer"))
    if answers is None or isinstance(answers, str):
        return [(answers, {})]
    if isinstance(answers, Mapping) and isinstance(answers.get("text"), list):
        scores = answers.get("score") or [None] * len(answers["text"])
        return [
            (text, {} if score is None else {"score": score})
            for text, score in zip(answers["text"], scores, strict=True)
        ]
    if not isinstance(answers, list):
        raise ValueError(f"answers must be a text, a list, or an object with a list `text`, got {shorten(answers)}")
    found = []
    for answer in answers:
        if isinstance(answer, Mapping):
            key = next((key for key in ("text", "answer", "body", "comment") if key in answer), None)
            if key is None:
                raise ValueError(f"an answer must have one of text, answer, body, comment, got {shorten(answer)}")
            found.append((answer[key], _metadata(answer, (key,))))
        else:
            found.append((answer, {}))
    return found


def _graded(column: str) -> dict[str, Any]:
    grades = {"treated": [3, 4], "untreated": [0, 1, 2]}
    # Some copies of the data hold numbers as texts
    return {"kind": "metadata", "column": column} | {
        side: [*values, *map(str, values)] for side, values in grades.items()
    }


# The more special ones first: the first whose columns are there is taken
LAYOUTS: dict[str, SourceLayout] = {
    "helpsteer": SourceLayout(
        (("prompt",), ("response",), ("helpfulness",), ("complexity",)),
        _helpsteer,
        {"helpfulness": _graded("helpfulness"), "complexity": _graded("complexity")},
    ),
    "hh_rlhf": SourceLayout(
        (("chosen",), ("rejected",)),
        _hh_rlhf,
        {"helpfulness": {"kind": "metadata", "column": "side", "treated": ["chosen"], "untreated": ["rejected"]}},
    ),
    "preferences": SourceLayout((("chosen",), ("rejected",)), _preferences),
    "eli5": SourceLayout((("title", "question"), ("answers", "answer")), _eli5),
    "imdb": SourceLayout(
        (("text",), ("label",)),
        _imdb,
        {
            "sentiment": {
                "kind": "metadata",
                "column": "label",
                "treated": [1, "1", "pos", "positive"],
                "untreated": [0, "0", "neg", "negative"],
            }
        },
        unlabelled=(-1, "-1", "unsup"),
    ),
    "plain": SourceLayout((("text",),), _plain),
}


def find_layout(layout: str | None, rows: Any, source: str) -> tuple[str, SourceLayout]:
    """
    The layout of rows, by its name or by their columns.

    Raises:
        ValueError: There is no such layout, or the columns are not those of it, or of any.
    """
    columns = rows.column_names
    if layout is not None and layout not in LAYOUTS:
        raise ValueError(f"`layout` must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if layout is None:
        layout = _guess(columns, rows[0])
        if layout is None:
            listed = "; ".join(f"{name}: {_wanted(known)}" for name, known in LAYOUTS.items())
            raise ValueError(f"{source} has columns {', '.join(columns)}, which are of no known layout ({listed})")
    known = LAYOUTS[layout]
    if not known.fits(columns):
        raise ValueError(f"{source} must have columns {_wanted(known)} (layout {layout}); it has {', '.join(columns)}")
    return layout, known


def _wanted(layout: SourceLayout) -> str:
    return ", ".join(" or ".join(group) for group in layout.columns)


def _is_dialogue(row: Mapping[str, Any]) -> bool:
    return any(str(row[side]).startswith("\n\nHuman:") for side in ("chosen", "rejected"))


def _guess(columns: Sequence[str], first: Mapping[str, Any]) -> str | None:
    fitting = [name for name, layout in LAYOUTS.items() if layout.fits(columns)]
    if "hh_rlhf" in fitting and not ("prompt" not in columns and _is_dialogue(first)):
        fitting.remove("hh_rlhf")
    if "imdb" in fitting and "prompt" in columns:
        fitting.remove("imdb")
    return fitting[0] if fitting else None
