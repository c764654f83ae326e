"""The files of RM-Bench, read where the user has them."""

import json
from pathlib import Path
from typing import Any

from datasets import Dataset

from .rm_bench import DOMAINS, STYLES


_SIDES = ("chosen", "rejected")
_TOTAL = "total_dataset.json"


def rm_bench_files(path: str | Path) -> list[Path]:
    """
    Files to read: a single file, or those of a folder. Of a folder with `total_dataset.json` that one alone, else its
    `*_filtered.json`, a file per domain.

    Args:
        path (`str` or `pathlib.Path`):
            File or folder; of a clone of THU-KEG/RM-Bench, the folder or its `data/`.

    Returns:
        `list[pathlib.Path]`: sorted by name.
    """
    path = Path(path).expanduser()
    if path.is_file():
        return [path]
    for folder in (path, path / "data"):
        if (folder / _TOTAL).is_file():
            return [folder / _TOTAL]
        files = sorted(folder.glob("*_filtered.json")) if folder.is_dir() else []
        if files:
            return files
    raise FileNotFoundError(
        f"no RM-Bench data at '{path}': give a JSON file, or a folder with {_TOTAL} or with files such as "
        "chat_filtered.json (github.com/THU-KEG/RM-Bench, folder data)"
    )


def load_rm_bench(path: str | Path) -> Dataset:
    """
    Reads RM-Bench: prompts with three right and three wrong answers, in the styles concise, detailed and markdown.

    Args:
        path (`str` or `pathlib.Path`):
            See [`rm_bench_files`]. The domain is that of the row (`domain`), else the file's name without
            `_filtered.json`.

    Returns:
        `datasets.Dataset`: `id` (`<domain>/<id of the row>`: the files of two domains use the same numbers), `domain`,
        `subset`, `prompt`, and `chosen` and `rejected`, lists of three texts.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a file isn't a list of such rows; row and field are named.
    """
    rows, seen = [], {}
    for file in rm_bench_files(path):
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"'{file}' is not JSON in UTF-8: {error}") from error
        if not isinstance(content, list) or not content:
            raise ValueError(f"'{file}' must be a list of rows, got {type(content).__name__} of length {len(content)}")
        for index, row in enumerate(content):
            where = f"'{file}', row {index}"
            read = rm_bench_row(row, file.name.removesuffix(".json").removesuffix("_filtered"), where)
            if read["id"] in seen:
                raise ValueError(f"{where}: the id {read['id']!r} is that of {seen[read['id']]}, too")
            seen[read["id"]] = where
            rows.append(read)
    return Dataset.from_list(rows)


def rm_bench_row(row: Any, file_domain: str | None, where: str) -> dict[str, Any]:
    """
    A row as [`load_rm_bench`] has it.

    Args:
        row (`dict`):
            Row of a file: `id`, `prompt`, `chosen`, `rejected`, and perhaps `domain` and `subset`.
        file_domain (`str` or `None`):
            Domain of rows without one.
        where (`str`):
            How errors call the row.
    """
    if not isinstance(row, dict):
        raise ValueError(f"{where} is not an object with a value per field")
    missing = [field for field in ("id", "prompt", *_SIDES) if field not in row]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}; it has {', '.join(row)}")
    domain = file_domain if row.get("domain") is None else row["domain"]
    if not isinstance(domain, str) or not domain.startswith(DOMAINS):
        raise ValueError(
            f"{where}: domain {domain!r} begins with none of {', '.join(DOMAINS)}. Give rows a field `domain`, or name "
            "the file <domain>_filtered.json."
        )
    for side in _SIDES:
        if not isinstance(row[side], list) or len(row[side]) != len(STYLES):
            raise ValueError(f"{where}: '{side}' must be a list of {len(STYLES)} texts ({', '.join(STYLES)})")
    for field, texts in (("prompt", [row["prompt"]]), *((side, row[side]) for side in _SIDES)):
        for text in texts:
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"{where}: '{field}' holds {text!r}, which must be a text that is not empty")
    return {
        "id": str(row["id"]) if str(row["id"]).startswith(f"{domain}/") else f"{domain}/{row['id']}",
        "domain": domain,
        "subset": row.get("subset"),
        "prompt": row["prompt"],
        **{side: row[side] for side in _SIDES},
    }
