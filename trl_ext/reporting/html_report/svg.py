"""matplotlib figures as SVG inside a page: they take its colours and its font, and several of them don't collide."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING

from ..figures import COLOURS


if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Sizes in points of a drawing of which an inch is shown as 100 pixels: 8.6 are 12 pixels
_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "report",
    "text.parse_math": False,  # a dollar in the name of a model is a dollar
    "font.size": 8.6,
    "axes.titlesize": 9.2,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.6,
    "xtick.labelsize": 8.2,
    "ytick.labelsize": 8.2,
    "legend.fontsize": 8.4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.7,
    "xtick.color": "#888888",
    "ytick.color": "#888888",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "grid.color": "#CCCCCC",
    "grid.alpha": 1.0,
    "grid.linewidth": 0.6,
}
_PALETTE = {colour.lower(): f"var(--c{index})" for index, colour in enumerate(COLOURS[:6])}
_FONT = re.compile(r"font: (?:(?:italic|oblique) )?(?:(\d+) )?([\d.]+)px [^;\"]*")
_FAMILY = re.compile(r"font-family: [^;\"]*;? ?")
_COLOUR = re.compile(r"(?<=: )#[0-9a-f]{6}\b")


@contextmanager
def report_style() -> Iterator[None]:
    """Within it, figures are drawn as the report wants them."""
    from matplotlib import rc_context

    with rc_context(_STYLE):
        yield


def figure_to_svg(figure: "Figure", prefix: str, label: str) -> str:
    """
    An `<svg>` element for a page.

    Colours of `COLOURS` become the variables `--c0` … `--c5` of the page, black its text colour, greys `--muted` and
    `--rule`, white `--paper`.

    Args:
        figure (`matplotlib.figure.Figure`):
            Drawn within [`report_style`].
        prefix (`str`):
            Before all ids, which are those of the page: different for every figure.
        label (`str`):
            What it shows, for those who can't see it.

    Returns:
        `str`: The element. Its width is that of its box, at most 100 pixels for an inch.

    Example:
        ```python
        >>> from trl_ext.reporting.figures import new_figure
        >>> with report_style():
        ...     figure = new_figure(2, 1)
        ...     _ = figure.text(0.5, 0.5, "<b>")
        >>> svg = figure_to_svg(figure, "a", "a text")
        >>> svg[:4], "&lt;b&gt;" in svg, 'id="a-figure_1"' in svg
        ('<svg', True, True)
        ```
    """
    buffer = io.StringIO()
    with report_style():
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = svg.replace('xlink:href="#', f'xlink:href="#{prefix}-').replace("url(#", f"url(#{prefix}-")
    svg = _FONT.sub(lambda match: f"font-size: {match[2]}px" + (f"; font-weight: {match[1]}" if match[1] else ""), svg)
    svg = _FAMILY.sub("", svg)
    svg = _COLOUR.sub(lambda match: theme_colour(match[0]), svg)
    box = re.search(r'viewBox="([^"]+)"', svg)[1]
    width = 100 * figure.get_figwidth()
    head = (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="{box}" role="img" aria-label="{escape(label)}" '
        f'style="max-width: {width:.0f}px">'
    )
    return head + svg[svg.index(">") + 1 :].strip()


def theme_colour(colour: str) -> str:
    """The page's word for a colour `#rrggbb`; colours that it has no word for stay."""
    if colour in _PALETTE:
        return _PALETTE[colour]
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    if not red == green == blue:
        return colour
    if red < 0x30:
        return "currentColor"
    if red < 0x9C:
        return "var(--muted)"
    return "var(--rule)" if red < 0xF4 else "var(--paper)"
