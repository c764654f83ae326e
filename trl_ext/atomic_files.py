"""Files that are complete or absent."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """
    A temporary path that becomes `path` when the block succeeds and vanishes when it fails.

    The file gets the permissions of any new file, 0644 less the umask of the process. Folders are made if need be.

    Args:
        path (`str` or `pathlib.Path`):
            The file to write.

    Yields:
        `pathlib.Path`: An empty file beside it.

    Example:
        ```python
        >>> import tempfile
        >>> from pathlib import Path
        >>> from trl_ext.atomic_files import atomic_path
        >>> path = Path(tempfile.mkdtemp(), "results", "numbers.txt")
        >>> with atomic_path(path) as temporary:
        ...     written = temporary.write_text("1 2 3")
        >>> [file.name for file in path.parent.iterdir()]
        ['numbers.txt']

        ```
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    # not tempfile, whose files only their owner can read; the system takes the umask away
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: str | Path, text: str) -> None:
    """
    Write a text in UTF-8: the file is complete, or what it was. See [`atomic_path`].

    Args:
        path (`str` or `pathlib.Path`):
            The file.
        text (`str`):
            Its content.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
