"""A rule that lays texts out with Markdown, or takes that away."""

import re

import numpy as np

from .base import Rule
from .sentences import SENTENCE_GAP


_LIST_MARK = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s+(?=\S)", re.MULTILINE)
_HEADER_MARK = re.compile(r"^ {0,3}#{1,6}\s+(?=\S)", re.MULTILINE)
_FENCE = re.compile(r"^ {0,3}(?:```+|~~~+).*$\n?", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=\S)([^\n]+?)(?<=\S)\*\*|(?<!\w)__(?=\S)([^\n]+?)(?<=\S)__(?!\w)")
_MARKDOWN = re.compile("|".join(mark.pattern for mark in (_LIST_MARK, _HEADER_MARK, _FENCE, _BOLD)), re.MULTILINE)
_BLANK_LINES = re.compile(r"(\n\s*\n)")
_FIRST_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def has_markdown(text: str) -> bool:
    """Whether a text has headers, items of lists, bold words or blocks of code."""
    return _MARKDOWN.search(text) is not None


def formatting_rule() -> Rule:
    """
    Every paragraph becomes a list of its sentences, the first with its first word in bold; and back.

    Words stay as they are. Of texts whose sentences are parted by single spaces and paragraphs by blank lines, layout can be
    undone. Other Markdown (headers, numbers, code) is taken away, but not restored.
    """

    def flip(text: str, target: bool, rng: np.random.Generator) -> str:
        convert = _formatted if target else _plain
        if not target:
            text = _FENCE.sub("", text)
        return "".join(
            part if index % 2 or not part.strip() else convert(part)
            for index, part in enumerate(_BLANK_LINES.split(text))
        )

    return Rule(has_markdown, flip, {"rule": "formatting"})


def _formatted(paragraph: str) -> str:
    lines = [f"- {sentence}" for sentence in SENTENCE_GAP.split(paragraph)]
    lines[0] = _FIRST_WORD.sub(lambda word: f"**{word.group()}**", lines[0], count=1)
    return "\n".join(lines)


def _plain(paragraph: str) -> str:
    paragraph = _BOLD.sub(lambda bold: bold[1] or bold[2], paragraph)
    text, was_list = "", False
    for line in paragraph.split("\n"):
        bare = _HEADER_MARK.sub("", _LIST_MARK.sub("", line))
        # items were one paragraph; other lines keep their ends
        joint = "" if not text else " " if was_list else "\n"
        text, was_list = text + joint + bare, bare != line
    return text
