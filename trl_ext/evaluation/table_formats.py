"""Tables as Markdown and LaTeX."""

from collections.abc import Sequence
from typing import Any

import pandas as pd


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "…": r"\dots{}", "≤": r"$\le$", "±": r"$\pm$",
}  # fmt: skip


def to_markdown(table: pd.DataFrame, *, digits: int = 4) -> str:
    """
    A table as Markdown, numbers to the right.

    Args:
        table (`pandas.DataFrame`):
            Its columns are the header, its index is not shown.
        digits (`int`, *optional*, defaults to `4`):
            Digits after the point of numbers that are not whole. Missing values are empty.

    Returns:
        `str`: lines that end with a line break.

    Example:
        ```python
        >>> print(to_markdown(pd.DataFrame({"model": ["a|b"], "accuracy": [0.5]})), end="")
        | model | accuracy |
        |:---|---:|
        | a\\|b | 0.5000 |
        ```
    """
    rows = [[str(name) for name in table], *_cells(table, digits)]
    lines = ["| " + " | ".join(_markdown(cell) for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("---:" if right else ":---" for right in _numeric(table)) + "|")
    return "\n".join(lines) + "\n"


def to_latex(table: pd.DataFrame, *, digits: int = 4, caption: str | None = None) -> str:
    """
    A table as LaTeX that compiles without packages; special characters are escaped.

    Args:
        table (`pandas.DataFrame`):
            As in [`to_markdown`].
        digits (`int`, *optional*, defaults to `4`):
            Likewise.
        caption (`str`, *optional*):
            If given, the tabular is in a `table` with it.

    Returns:
        `str`: lines that end with a line break.

    Example:
        ```python
        >>> print(to_latex(pd.DataFrame({"model": ["a_b"], "accuracy": [0.5]})), end="")
        \\begin{tabular}{lr}
        \\hline
        model & accuracy \\\\
        \\hline
        a\\_b & 0.5000 \\\\
        \\hline
        \\end{tabular}
        ```
    """
    rows = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in _cells(table, digits)]
    header = " & ".join(_latex(str(name)) for name in table) + r" \\"
    columns = "".join("r" if right else "l" for right in _numeric(table))
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\hline", header, r"\hline", *rows, r"\hline", r"\end{tabular}"]
    if caption is not None:
        lines = [r"\begin{table}", r"\centering", *lines, rf"\caption{{{_latex(caption)}}}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _numeric(table: pd.DataFrame) -> Sequence[bool]:
    return [pd.api.types.is_numeric_dtype(table.iloc[:, column]) for column in range(table.shape[1])]


def _cells(table: pd.DataFrame, digits: int) -> list[list[str]]:
    return [[_text(value, digits) for value in row] for row in table.itertuples(index=False, name=None)]


def _text(value: Any, digits: int) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _markdown(text: str) -> str:
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").split())


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))
