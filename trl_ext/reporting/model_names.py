"""Names of models as labels."""

import unicodedata
from collections.abc import Iterable


def short_names(names: Iterable[str], width: int = 42) -> dict[str, str]:
    """
    Labels of at most `width` characters, all different, for names of models.

    A name that is too long loses its middle: the family is at its beginning, size and version at its end.

    Args:
        names (`Iterable[str]`):
            Names, each once or more often.
        width (`int`, *optional*, defaults to `42`):
            Characters of a label. Labels that would be equal get longer.

    Returns:
        `dict[str, str]`: label by name.

    Example:
        ```python
        >>> short_names(["org/a-reward-model-of-a-long-name-8b", "rm"], width=16)
        {'org/a-reward-model-of-a-long-name-8b': 'org/a-re…name-8b', 'rm': 'rm'}
        ```
    """
    names = list(dict.fromkeys(names))
    longest = max(map(len, names), default=0)
    for size in range(width, longest + 1):
        labels = {name: _shorten(name, size) for name in names}
        if len(set(labels.values())) == len(names):
            return labels
    return {name: name for name in names}


def label_width(labels: Iterable[str]) -> float:
    """Inches that the longest of some labels takes at the size of axis labels."""
    return 0.085 * max(map(len, labels), default=0)


def text_width(text: str) -> float:
    """Width of a text in ordinary characters: wide capitals take one and a half, Chinese characters and emoji two."""
    return sum(map(_width, text))


def _width(one: str) -> float:
    if unicodedata.east_asian_width(one) in "WF":
        return 2.0
    if one in "iljtfrI.,:;|'!() ":
        return 0.6
    return 1.4 if one in "mw@%MW" else 1.2 if one.isupper() else 1.0


def _shorten(name: str, width: int) -> str:
    if len(name) <= width:
        return name
    end = (width - 1) // 2
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"
