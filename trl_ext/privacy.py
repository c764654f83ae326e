"""What files that a run writes must not tell: where the home directory is, and credentials."""

import os
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any


_CREDENTIAL = re.compile(r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|ghp_[A-Za-z0-9]{16,})\b")
_CREDENTIAL_VARIABLE = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIAL)S?$", re.IGNORECASE)
# Word characters that can stand before a path without belonging to it: the end of an escape sequence (colours, \\n in
# quoted text), and options of compilers
_BEFORE_PATH = r"(?<![\w.-])|(?<=\\[nrt])|(?<=\dm)|(?<=\[m)|(?<=-[IL])"
# How a path begins that leads out of the working directory, or to another machine
_PLACE = r"(?:file://)?(?:[\w.-]+@[\w.-]+:(?=[\\/])|~[\w.-]*(?=[\\/])|\.\.(?=[\\/])|[A-Za-z]:(?=[\\/]))?[\\/]"
# Such a path up to its last part; not what follows the host of a URL. A comma or `=` may end a path or be in a name: it
# ends one where another begins
_NAME = r"(?:[^\s\\/\"'=,]|[=,](?!\"|'|\s|~|[\\/]|\.\.[\\/]|[A-Za-z]:[\\/]))+"
_FOLDERS = re.compile(rf"(?<![\w./:~@-]){_PLACE}(?:{_NAME}[\\/]+)*(?=[^\s\\/\"'=,])")
_QUOTED_PATH = re.compile(rf"([\"'])((?:[A-Za-z_][\w.-]*=)?){_PLACE}([^\"'\n]*)\1")
_WHOLE_PATH = re.compile(rf"((?:[A-Za-z_][\w.-]*=)?){_PLACE}([^\n]*)")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_SHORTEST_CREDENTIAL = 8  # a shorter value ("true") would be found in harmless text


@lru_cache
def _home_pattern(home: Path) -> re.Pattern | None:
    names = sorted({str(home), str(home.resolve())} - {home.anchor}, key=len, reverse=True)
    if not names:
        return None
    # However the separators are written: /home//ann, /home/./ann
    either = "|".join("/" + r"/+(?:\./+)*".join(map(re.escape, name.split("/")[1:])) for name in names)
    # A relative path may climb to the root and come down again. /home/ann is not the home directory in /mnt/home/ann,
    # /home/anne and /home/ann.old.
    return re.compile(rf"(?:{_BEFORE_PATH}|(?<![\w-])\.\.(?:/\.\.)*)(?:{either})(?![\w-]|\.\w)")


def map_text(value: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to a text, a path, or every text inside dictionaries and lists. The argument is not changed."""
    if isinstance(value, str):
        changed = change(value)
        return value if changed == value else changed  # an enumeration of strings stays one
    if isinstance(value, PurePath):
        changed = change(str(value))
        return value if changed == str(value) else type(value)(changed)
    if isinstance(value, Mapping):
        return {map_text(key, change): map_text(item, change) for key, item in value.items()}
    if type(value) in (list, tuple, set):
        return type(value)(map_text(item, change) for item in value)
    if isinstance(value, list | tuple) and not hasattr(value, "_fields"):
        return [map_text(item, change) for item in value]
    return value


def hide_home(value: Any) -> Any:
    """
    Write the home directory as `~`, in a text, a path, or every text inside dictionaries and lists.

    Args:
        value (`Any`):
            Text, path, or container of them. Anything else is returned as it is.

    Returns:
        `Any`: The same, with `~` for the home directory. The argument is not changed.

    Example:
        ```python
        >>> from pathlib import Path
        >>> from trl_ext.privacy import hide_home
        >>> hide_home({"output_dir": f"{Path.home()}/models/reward", "seed": 42})
        {'output_dir': '~/models/reward', 'seed': 42}
        ```
    """
    pattern = _home_pattern(Path.home())
    return value if pattern is None else map_text(value, lambda text: pattern.sub("~", text))


def without_folders(text: str) -> str:
    """
    A text, such as a command, in which paths out of the working directory are their last part alone.

    Where a path that is not quoted ends, a text doesn't say if there are spaces in it: for a text that is one path as a
    whole, use [`without_folder`].
    """
    text = _QUOTED_PATH.sub(lambda found: f"{found[1]}{found[2]}{_last_part(found[3])}{found[1]}", text)
    return _FOLDERS.sub("", _USER_IN_URL.sub("", text))


def without_folder(value: str) -> str:
    """
    A value of a configuration, or a word `key=value` of a command: of a path out of the working directory, its last part.

    Example:
        ```python
        >>> from trl_ext.privacy import without_folder
        >>> without_folder("train_data_path=/srv/Ann Smith/pairs.jsonl"), without_folder("outputs/demo")
        ('train_data_path=pairs.jsonl', 'outputs/demo')
        ```
    """
    path = _WHOLE_PATH.fullmatch(value)
    return without_folders(value) if path is None else path[1] + _last_part(path[2])


def _last_part(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def looks_like_credential(text: str) -> bool:
    """Whether a text contains what has the form of a token or of an API key."""
    return _CREDENTIAL.search(text) is not None


def hide_credentials(value: Any) -> Any:
    """
    Replace credentials, in a text or every text inside dictionaries and lists.

    The values of environment variables that are named like one (`HF_TOKEN`, `OPENAI_API_KEY`, ...) are replaced by the
    name of the variable, other text in the form of a token by `<credential>`.

    Args:
        value (`Any`):
            Text, path, or container of them. Anything else is returned as it is.

    Returns:
        `Any`: The same without credentials. The argument is not changed.

    Example:
        ```python
        >>> from trl_ext.privacy import hide_credentials
        >>> hide_credentials("401 for hf_0123456789abcdefghij")
        '401 for <credential>'
        ```
    """
    known = {
        content: f"<{name}>"
        for name, content in os.environ.items()
        if _CREDENTIAL_VARIABLE.search(name) and len(content) >= _SHORTEST_CREDENTIAL
    }

    def change(text: str) -> str:
        for content in sorted(known, key=len, reverse=True):
            text = text.replace(content, known[content])
        return _CREDENTIAL.sub("<credential>", text)

    return map_text(value, change)


def hide_private(value: Any) -> Any:
    """Apply [`hide_credentials`] and [`hide_home`]: for everything that is recorded."""
    return hide_home(hide_credentials(value))
