"""RewardBench's files read and written, byte for byte as the original writes them."""

import json
from pathlib import Path
from typing import Any

from ...atomic_files import atomic_path
from .contents import LayoutFile, kind_of


def read_layout_file(path: str | Path) -> LayoutFile:
    """
    Read a file of RewardBench.

    Args:
        path (`str` or `Path`):
            `.json`, or `.jsonl` with the outputs of the command line.

    Returns:
        [`LayoutFile`]

    Raises:
        ValueError: It is not JSON, or not a file of RewardBench; the path, and the line, are named.
    """
    path = Path(path).expanduser()
    text = path.read_text(encoding="utf-8")
    try:
        content = _parse_lines(text) if path.suffix == ".jsonl" else _parse(text, "")
        return LayoutFile(kind_of(content), content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def write_layout_file(path: str | Path, file: LayoutFile) -> Path:
    """
    Write a file of RewardBench in one step, with the original's order of keys and indentation.

    Args:
        path (`str` or `Path`):
            Where; folders are made if need be.
        file ([`LayoutFile`]):
            What.

    Returns:
        `Path`: the file.

    Raises:
        ValueError: A number is not finite, or the content is of another kind.
    """
    if kind_of(file.content) != file.kind:
        raise ValueError(f"the content is of kind {kind_of(file.content)!r}, not {file.kind!r}")
    if file.kind == "outputs":
        text = "".join(f"{_dump(entry)}\n" for entry in file.content)
    elif file.kind == "summary":
        text = _dump(file.content)
    else:
        text = _dump(file.content, indent=4, sort_keys=True)
    path = Path(path)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON{where}: {error}") from error


def _parse_lines(text: str) -> list[Any]:
    # not splitlines: other line separators may stand in a JSON text
    return [_parse(line, f", line {number}") for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _dump(content: Any, **options: Any) -> str:
    return json.dumps(content, allow_nan=False, **options)
