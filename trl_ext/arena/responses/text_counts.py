"""Length and Markdown of responses, counted: what reward models are known to like for its own sake."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from .response_table import ResponseTable


FEATURES = ("words", "headers", "lists", "bold", "code_blocks")
_FENCE = re.compile(r"^ {0,3}(```+|~~~+)")
_HEADER = re.compile(r"^ {0,3}#{1,6}\s+\S", re.MULTILINE)
_LIST_ITEM = re.compile(r"^\s*(?:[-*+]|\d{1,9}[.)])\s+\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=\S)[^\n]+?(?<=\S)\*\*|(?<!\w)__(?=\S)[^\n]+?(?<=\S)__(?!\w)")


def text_features(texts: Sequence[str], *, tokenizer: Any = None) -> pd.DataFrame:
    """
    Counts of words and of Markdown elements of texts. What is inside fenced code counts as words only.

    Args:
        texts (`Sequence[str]`):
            Responses.
        tokenizer (`Callable`, *optional*):
            A tokenizer of transformers, for a column `tokens` (without special tokens).

    Returns:
        `pandas.DataFrame`: A row per text: `words` (parted by white space), `headers` (`#` to `######`), `lists` (items with
        `-`, `*`, `+` or a number), `bold` (stretches between `**` or `__`), `code_blocks` (fenced by three backquotes or
        tildes), and with a tokenizer `tokens`.

    Raises:
        TypeError: Something is not a text; the first is named.

    Example:
        ```python
        >>> from trl_ext.arena import text_features
        >>> text_features(["# Answer\\n- **Paris**, of course\\n- not Rome", "Paris."]).to_dict("list")
        {'words': [9, 1], 'headers': [1, 0], 'lists': [2, 0], 'bold': [1, 0], 'code_blocks': [0, 0]}

        ```
    """
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(f"texts must be str; the one at position {position} is {type(text).__name__}")
    rows = []
    for text in texts:
        prose, blocks = _without_code(text)
        rows.append(
            {
                "words": len(text.split()),
                "headers": len(_HEADER.findall(prose)),
                "lists": len(_LIST_ITEM.findall(prose)),
                "bold": len(_BOLD.findall(prose)),
                "code_blocks": blocks,
            }
        )
    table = pd.DataFrame(rows, columns=list(FEATURES)).astype(np.int64)
    if tokenizer is not None and len(table):
        table["tokens"] = _token_counts(texts, tokenizer)
    return table


def response_features(responses: ResponseTable, *, tokenizer: Callable | None = None) -> dict[str, np.ndarray]:
    """
    [`text_features`] of all responses.

    Args:
        responses ([`ResponseTable`]):
            N prompts, M models.
        tokenizer (`Callable`, *optional*):
            As in [`text_features`].

    Returns:
        `dict[str, np.ndarray]`: For each feature an array `(N, M)`, row by prompt and column by model.
    """
    flat = [text for row in responses.responses for text in row]
    table = text_features(flat, tokenizer=tokenizer)
    shape = (len(responses), len(responses.models))
    return {name: table[name].to_numpy(dtype=np.float64).reshape(shape) for name in table}


def _without_code(text: str) -> tuple[str, int]:
    """A text without its fenced code, and the number of its blocks; a block without end goes to the end of the text."""
    lines, blocks, fence = [], 0, None
    for line in text.splitlines():
        mark = _FENCE.match(line)
        if fence is None:
            if mark:
                fence, blocks = mark[1], blocks + 1
            else:
                lines.append(line)
        elif mark and mark[1].startswith(fence) and not line.strip().strip(fence[0]):
            fence = None
    return "\n".join(lines), blocks


def _token_counts(texts: Sequence[str], tokenizer: Callable) -> list[int]:
    return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]
