"""Values from data, file names and command lines as Markdown that they can't break."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def one_line(value: Any) -> str:
    """
    A value as text on one line, in which no code, HTML or comment begins.

    Example:
        ```python
        >>> one_line("a\\n---\\n<!-- `b`")
        "a --- &lt;!-- 'b'"
        ```
    """
    return " ".join(str(value).replace("`", "'").replace("<", "&lt;").split())


def cell(value: Any) -> str:
    r"""
    A value for a cell of a table.

    Example:
        ```python
        >>> print(cell("a|b"))
        a\|b
        ```
    """
    if isinstance(value, float):
        value = number(value)
    return one_line(value).replace("\\", "\\\\").replace("|", "\\|").replace("[", "\\[").replace("]", "\\]")


def code(value: Any) -> str:
    """A value as code within a line, in a table too."""
    text = " ".join(str(value).replace("`", "'").split())
    return f"`{text}`".replace("|", "\\|") if text else ""


def number(value: float, digits: int = 4) -> str:
    """A number with some significant digits; a dash for a missing one."""
    value = float(value)
    return "–" if math.isnan(value) else f"{value:.{digits}g}"


def interval(figure: Any) -> str:
    """
    An estimate with its interval: `value [ci_low, ci_high]`.

    Args:
        figure ([`~trl_ext.evaluation.Estimate`]): Anything with these three numbers.
    """
    numbers = [float(figure.value), float(figure.ci_low), float(figure.ci_high)]
    largest = max((abs(one) for one in numbers if math.isfinite(one)), default=0.0)
    # three digits of the largest, and as many decimals for all; one more where the value is much smaller than its bounds
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 12) if largest > 0 else 3
    if numbers[0] and math.isfinite(numbers[0]):
        decimals = min(max(2 - math.floor(math.log10(abs(numbers[0]))), decimals), decimals + 1)
    value, low, high = (f"{one:.{decimals}f}" for one in numbers)
    if math.isnan(numbers[1]) or math.isnan(numbers[2]):
        return f"{value} (no interval)"
    return f"{value} [{low}, {high}]"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already, see [`cell`]; it ends with a line break."""
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def rows_table(rows: Mapping[str, Any]) -> str:
    """A table of names and values; those that are `None` are left out."""
    return table(("", ""), ((cell(name), cell(value)) for name, value in rows.items() if value is not None))


def json_block(content: Any) -> str:
    """JSON in a block of code, which no text in it can end."""
    text = json.dumps(content, indent=2, ensure_ascii=False, default=str).replace("`", "\\u0060")
    return f"```json\n{text}\n```\n"
