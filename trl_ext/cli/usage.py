"""Mistakes on the command line."""

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """A mistake on the command line, told without a traceback."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """
    A hint at the known name that is closest, to be put behind a message; empty if none is close.

    Example:
        ```python
        >>> from trl_ext.cli.usage import did_you_mean
        >>> did_you_mean("trian", ["train", "score"])
        " Did you mean 'train'?"

        ```
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
