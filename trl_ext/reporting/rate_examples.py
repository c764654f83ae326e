"""Examples of rewrites side by side, as Markdown or HTML."""

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..atomic_files import write_text_atomically
from ..rate.chains.steps import step_names


if TYPE_CHECKING:
    from ..rate import TextChains

_HEADINGS = {"original": "original", "rewrite": "rewrite", "rewritten_rewrite": "rewrite of the rewrite"}
# all that may mean something in Markdown; what HTML takes for itself is escaped before
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-!|~:$])")
_STYLE = (
    "body{font-family:sans-serif;margin:1.5em}table{border-collapse:collapse}"
    "td,th{border:1px solid #bbb;padding:.5em;vertical-align:top;text-align:left}"
    "td.text{white-space:pre-wrap;overflow-wrap:anywhere;max-width:32em}"
)


def rewrite_examples(
    chains: "TextChains", path: str | Path, *, rows: int = 6, seed: int = 0, width: int = 600, title: str | None = None
) -> Path:
    """
    Write a table of originals, their rewrites, and the rewrites of those: half of the rows with the attribute, half without.

    Texts are shown as they are, whatever they contain: marks of Markdown and HTML are escaped.

    Args:
        chains ([`~trl_ext.rate.TextChains`]):
            Originals and rewrites. Rows with all their texts are drawn from.
        path (`str` or `pathlib.Path`):
            The file: `.md` or `.html`.
        rows (`int`, *optional*, defaults to `6`):
            How many examples at most.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draw.
        width (`int`, *optional*, defaults to `600`):
            Characters of a text; of longer ones the beginning is shown, with their length.
        title (`str`, *optional*):
            Heading, by default the name of the attribute.

    Returns:
        `pathlib.Path`: The file.

    Raises:
        ValueError: The file has another ending, `rows` or `width` is less than 1, or no row has all its texts.
    """
    path = Path(path)
    if path.suffix not in (".md", ".html"):
        raise ValueError(f"path must end with .md or .html, got '{path}'")
    for name, value in (("rows", rows), ("width", width)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    picked = _pick(chains, rows, np.random.default_rng(seed))
    names = [_HEADINGS.get(name, name.replace("_", " ")) for name in step_names(chains.steps + 1)]
    head = ["id", "original has it", *names]
    body = [[chains.ids[row], "yes" if chains.w[row] else "no", *chains.texts[row]] for row in picked]
    heading = title or f"Rewrites: {chains.attribute.replace('_', ' ')}"
    note = f"{len(picked)} of {int(chains.complete.sum())} rows with all their texts ({len(chains)} rows in all)."
    content = (_markdown if path.suffix == ".md" else _html)(heading, note, head, body, width)
    write_text_atomically(path, content)
    return path


def _pick(chains: "TextChains", rows: int, rng: np.random.Generator) -> list[int]:
    """Rows with all their texts, as many with the attribute as without if there are enough."""
    sides = [rng.permutation(np.flatnonzero(chains.complete & (chains.w == value))) for value in (True, False)]
    if not sum(map(len, sides)):
        raise ValueError("no row has all its texts: there is no example to show")
    first = min(len(sides[0]), max(-(-rows // 2), rows - len(sides[1])))
    return [*sorted(sides[0][:first].tolist()), *sorted(sides[1][: rows - first].tolist())]


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[:width].rstrip()} … ({len(text):,} characters)"


def _markdown(title: str, note: str, head: list[str], body: list[list[str]], width: int) -> str:
    def cell(text: str) -> str:
        escaped = _MARKDOWN.sub(r"\\\1", html.escape(_cut(text, width), quote=False))
        # a line break ends a row of a table
        return re.sub(r"\r\n|[\r\n\v\f\x85\u2028\u2029]", "<br>", escaped)

    lines = [f"# {cell(title)}", "", note, "", _line(head), _line(["---"] * len(head))]
    return "\n".join([*lines, *(_line([cell(text) for text in row]) for row in body)]) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _html(title: str, note: str, head: list[str], body: list[list[str]], width: int) -> str:
    def cell(column: int, text: str) -> str:
        kind = ' class="text"' if column > 1 else ""
        return f"<td{kind}>{html.escape(_cut(text, width))}</td>"

    rows = "\n".join(f"<tr>{''.join(cell(column, text) for column, text in enumerate(row))}</tr>" for row in body)
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n<p>{html.escape(note)}</p>\n"
        f"<table>\n<tr>{heads}</tr>\n{rows}\n</table>\n</body>\n</html>\n"
    )
