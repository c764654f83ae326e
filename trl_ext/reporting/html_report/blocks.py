"""What sections of the report are made of, before they are HTML."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from ...evaluation import Estimate
from .svg import figure_to_svg, report_style


if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDE, NARROW = 8.4, 3.6  # inches, each of 100 pixels at most


# Columns of results in words
_COLUMNS = {"ci_low": "95 % from", "ci_high": "to", "p_value": "p", "p_adjusted": "p, corrected", "annotator_id": "annotator",
            "n_checks": "checks", "eta": "η", "more_checks_decision": "more checks to decide", "more_checks_half_width": "more checks for the width",
            "normalised": "effect in sd", "normalised_ci_low": "95 % from", "normalised_ci_high": "to", "reward_model": "reward model",
            "expected_wrong": "expected wrong", "wrong_low": "95 % from", "wrong_high": "to", "n": "n"}  # fmt: skip


@dataclass(frozen=True)
class Text:
    """A paragraph; `kind` is `note` for small print."""

    text: str
    kind: str = "text"


@dataclass(frozen=True)
class Missing:
    """What nobody has measured, and the command that would."""

    text: str
    command: str


@dataclass(frozen=True)
class Heading:
    """A heading within a section: `key` is its anchor."""

    text: str
    key: str = ""


@dataclass(frozen=True)
class Table:
    """
    A table.

    Args:
        columns (`tuple[str, ...]`): Names.
        rows (`tuple[tuple[str, ...], ...]`): Cells, formatted.
        numeric (`tuple[bool, ...]`): Which columns are numbers, aligned to the right.
        caption (`str`): What it shows.
        more (`int`): Rows that are left out.
        folded (`bool`): Whether its caption must be clicked to see it.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    caption: str = ""
    more: int = 0
    folded: bool = False

    def is_long(self, column: int) -> bool:
        """Whether a column holds sentences, which need room."""
        return any(len(row[column]) > 30 for row in self.rows)

    def is_text(self, column: int) -> bool:
        """Whether a column holds more than a sentence: it has lines."""
        return any(len(row[column]) > 90 for row in self.rows)


@dataclass(frozen=True)
class Chart:
    """
    A figure in a wide and in a narrow drawing, with its numbers.

    Args:
        title (`str`): Title.
        caption (`str`): How to read it.
        wide (`str`), narrow (`str`): SVG.
        table ([`Table`] or `None`): Its numbers, to unfold.
    """

    title: str
    caption: str
    wide: str
    narrow: str
    table: Table | None


@dataclass(frozen=True)
class Finding:
    """
    An answer of the summary.

    Args:
        question (`str`): Question.
        figure (`str`): The figure, `""` where there is none.
        interval (`str`): Its interval.
        verdict (`str`): `good`, `bad`, `open`, `told` (nobody can say whether it is good) or `none` (not measured).
        words (`str`): The verdict in words.
        section (`str`): Where to read more.
    """

    question: str
    figure: str
    interval: str
    verdict: str
    words: str
    section: str


@dataclass(frozen=True)
class Findings:
    """The answers for one run."""

    name: str
    lead: str
    rows: tuple[Finding, ...]


@dataclass(frozen=True)
class Section:
    """A section: `key` is its anchor."""

    key: str
    title: str
    lead: str
    blocks: tuple[Any, ...]


class ChartMaker:
    """Makes charts with ids of their own: one for each report."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(
        self, title: str, draw: Callable[[float], "Figure"], *, caption: str = "", table: Table | None = None,
        alt: str | None = None,
    ) -> Chart:  # fmt: skip
        """
        Draw a chart twice.

        Args:
            title (`str`): Title.
            draw (`Callable`): From a width in inches to a figure.
            caption (`str`, *optional*): How to read it.
            table ([`Table`], *optional*): Its numbers.
            alt (`str`, *optional*): What it shows, by default title and caption.
        """
        self.count += 1
        label = alt or ". ".join(part.rstrip(".") for part in (title, caption) if part)
        drawn = {}
        for name, width in (("wide", WIDE), ("narrow", NARROW)):
            with report_style(), warnings.catch_warnings():
                # the reader's fonts count, not those of the machine that lays it out
                warnings.filterwarnings("ignore", message=r"Glyph \d+ .* missing from font")
                drawn[name] = figure_to_svg(draw(width), f"f{self.count}{name[0]}", label)
        return Chart(title, caption, drawn["wide"], drawn["narrow"], table)


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """A number for reading: `−0.123`; `–` where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{value:{'+' if sign else ''}.{digits}f}".replace("-", "−")


def interval(low: float, high: float, digits: int = 3) -> str:
    """`[low, high]`, or nothing where it is not known."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, digits)}, {number(high, digits)}]"


def estimate_rows(figures: Iterable[tuple[str, Estimate]], caption: str = "", folded: bool = False) -> Table:
    """A table of estimates."""
    rows = tuple(
        (name, number(e.value), number(e.se), interval(e.ci_low, e.ci_high), f"{e.n:,}", e.method)
        for name, e in figures
    )
    columns = ("figure", "value", "s.e.", "95 % interval", "n", "method")
    return Table(columns, rows, (False, True, True, True, True, False), caption, folded=folded)


def frame_table(
    frame: pd.DataFrame, columns: Sequence[str] | None = None, *, most: int = 40, caption: str = ""
) -> Table:
    """A table of a data frame: numbers with three digits, texts as they are, at most `most` rows."""
    shown = frame if columns is None else frame[[name for name in columns if name in frame]]
    numeric = tuple(pd.api.types.is_numeric_dtype(shown[name]) for name in shown)
    rows = tuple(tuple(_cell(value) for value in row) for row in shown.head(most).itertuples(index=False, name=None))
    names = tuple(_COLUMNS.get(str(name), str(name).replace("_", " ")) for name in shown)
    return Table(names, rows, numeric, caption, max(0, len(shown) - most))


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool) or not isinstance(value, int | float):
        # numpy's numbers are no subclass of int
        item = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
        return number_cell(item) if isinstance(item, int | float) and not isinstance(item, bool) else str(item)
    return number_cell(value)


def number_cell(value: float) -> str:
    """A number of a table: whole numbers without digits, small ones with two that matter."""
    if isinstance(value, int) or (math.isfinite(value) and float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}".replace("-", "−")
    if math.isfinite(value) and 0 < abs(value) < 0.001:
        return f"{value:.1e}".replace("-", "−")
    return number(value)
