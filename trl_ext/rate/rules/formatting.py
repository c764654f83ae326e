"""A rule that lays texts out with Markdown, or takes that away."""

import re

import numpy as np

from ..attributes.classifiers import has_markdown
from .base import Rule
from .sentences import SENTENCE_GAP


# What begins a line: of a list, a header, a quotation
_LINE_MARKS = re.compile(r"^\s*(?:[-*+]|\d+[.)]|#{1,6}|>)\s+(?=\S)")
_FENCE = re.compile(r"^\s*(?:```|~~~).*$\n?", re.MULTILINE)
_RULE_OF_TABLE = re.compile(r"^\s*\|[\s|:-]+\|\s*$\n?", re.MULTILINE)
_ROW_OF_TABLE = re.compile(r"^\s*\|(.+)\|\s*$", re.MULTILINE)
_AROUND_WORDS = re.compile(r"\*\*([^\s*][^*\n]*)\*\*|(?<!`)`([^`\n]+)`(?!`)|\[([^\]\n]+)\]\([^)\s]+\)")
_BLANK_LINES = re.compile(r"(\n\s*\n)")
_FIRST_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def formatting_rule() -> Rule:
    """
    Every paragraph becomes a list of its sentences, the first with its first word in bold; and back.

    Words stay as they are. Where sentences are parted by single spaces and paragraphs by blank lines, this can be undone.
    Other Markdown (headers, numbers, tables, quotations, code, links) is taken away, but not restored.
    """

    def flip(text: str, target: bool, rng: np.random.Generator) -> str:
        convert = _formatted if target else _plain
        if not target:
            text = _without_blocks(text)
        return "".join(
            part if index % 2 or not part.strip() else convert(part)
            for index, part in enumerate(_BLANK_LINES.split(text))
        )

    return Rule(has_markdown, flip, {"rule": "formatting"})


def _formatted(paragraph: str) -> str:
    lines = [f"- {sentence}" for sentence in SENTENCE_GAP.split(paragraph)]
    lines[0] = _FIRST_WORD.sub(lambda word: f"**{word.group()}**", lines[0], count=1)
    return "\n".join(lines)


def _without_blocks(text: str) -> str:
    """A text without the marks of blocks of code, and with the cells of tables as words of a line."""
    text = _RULE_OF_TABLE.sub("", _FENCE.sub("", text))
    return _ROW_OF_TABLE.sub(lambda row: " ".join(cell.strip() for cell in row[1].split("|")), text)


def _plain(paragraph: str) -> str:
    paragraph = _AROUND_WORDS.sub(lambda words: words[1] or words[2] or words[3], paragraph)
    text, was_list = "", False
    for line in paragraph.split("\n"):
        bare = line
        while (less := _LINE_MARKS.sub("", bare)) != bare:
            bare = less
        # items were one paragraph; other lines keep their ends
        joint = "" if not text else " " if was_list else "\n"
        text, was_list = text + joint + bare, bare != line
    return text
