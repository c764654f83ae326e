"""Reads leaderboards, in whatever layout they are published."""

import csv
import datetime
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..ratings.model_names import known_aliases
from ..ratings.rating_table import RatingTable
from .layouts import (
    CATALOGUE_FILES,
    FULL_CATEGORY,
    load_json,
    read_catalogue,
    read_config,
    read_leaderboard_csv,
)
from .rating_files import read_rating_table


LAYOUTS = ("leaderboard_csv", "catalogue", "config", "table")
_TEXT_SUFFIXES = (".csv", ".json", ".jsonl")
_DATE = re.compile(r"(?<!\d)(\d{4})-?(\d{2})-?(\d{2})(?!\d)")
_READERS = {"leaderboard_csv": read_leaderboard_csv, "catalogue": read_catalogue, "config": read_config}


def read_leaderboard(
    path: str | Path,
    *,
    layout: str | None = None,
    style_control: bool = False,
    category: str = FULL_CATEGORY,
    snapshot: str | None = None,
    aliases: Mapping[str, str] | None = None,
) -> RatingTable:
    """
    Ratings from a file.

    | layout | what it is | style control | categories |
    |---|---|---|---|
    | `"leaderboard_csv"` | dated CSV with `arena_elo` or `arena_score` and `95_pct_ci`, as in fboulnois/llm-leaderboard-csv | no (a rank only) | `"full"` |
    | `"catalogue"` | JSON by category and model, as in lmarena/arena-catalog; give one of its files, or their folder | two files | those of the file |
    | `"config"` | the paper's JSON list of `model_name`, `arena_score`, `model_path` | no | `"full"` |
    | `"table"` | CSV, parquet or JSON lines with at least `model` and `rating`, as [`write_ratings`] writes | column `style_control` | column `category` |

    Args:
        path (`str` or `pathlib.Path`):
            The file; for the catalogue also the folder with both of its files, of which `style_control` picks one.
        layout (`str`, *optional*):
            One of the above. By default recognised from the content.
        style_control (`bool`, *optional*, defaults to `False`):
            Whether the ratings wanted are those corrected for the style of the answers. A file without such ratings is
            refused, never read as something else.
        category (`str`, *optional*, defaults to `"full"`):
            Category of prompts.
        snapshot (`str`, *optional*):
            Date of the ratings, as YYYY-MM-DD. By default the one in the file's name or its column `snapshot`; else it is
            missing. In a table of several snapshots it chooses one.
        aliases (`Mapping[str, str]`, *optional*):
            Other names of models, to names in the file. Common ones are known: see
            [`~trl_ext.arena.ratings.model_names.known_aliases`].

    Returns:
        [`RatingTable`]: With intervals of the 95 % level where the file has them.

    Raises:
        ValueError: The layout is not recognised, a row is torn, a value missing or wrong, an interval does not hold its
            rating, a model occurs twice with different values, or the file has no such category, snapshot or style
            control.

    Example:
        ```python
        >>> import tempfile
        >>> from pathlib import Path
        >>> from trl_ext.arena import read_leaderboard
        >>> path = Path(tempfile.mkdtemp(), "lmsys_2024-12-31.csv")
        >>> _ = path.write_text("rank,model,arena_score,95_pct_ci,votes\\n1,Meta-Llama-3.1-8B-Instruct,1176,+4/-3,52578\\n")
        >>> ratings = read_leaderboard(path)
        >>> ratings.of(["meta-llama/Llama-3.1-8B-Instruct"]), ratings.table["snapshot"][0]
        (array([1176.]), '2024-12-31')

        ```
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no leaderboard {str(path)!r}")
    if path.is_file():
        _check_encoding(path)
    if layout is None:
        layout = _recognise(path)
    elif layout not in LAYOUTS:
        raise ValueError(f"layout must be one of {', '.join(map(repr, LAYOUTS))}, got {layout!r}")
    if path.is_dir():
        if layout != "catalogue":
            raise ValueError(f"{path.name} is a folder: only the catalogue is read from one, not layout {layout!r}")
        path = path / CATALOGUE_FILES[style_control]
        if not path.is_file():
            raise FileNotFoundError(f"the folder {path.parent.name!r} has no file {path.name}")
        _check_encoding(path)
    snapshot = _snapshot(path, snapshot)
    if layout == "table":
        ratings = read_rating_table(path, style_control, category, snapshot)
        table = ratings.table
    else:
        table = _READERS[layout](path, style_control, category)
        ratings = RatingTable(table)
        table = ratings.table.assign(source=path.name)
    if snapshot is not None:
        table = table.assign(snapshot=snapshot)
    known = known_aliases(list(table["model"]), aliases)
    return replace(ratings, table=table, aliases={**known, **ratings.aliases, **_given(known, aliases)})


def _given(known: dict[str, str], aliases: Mapping[str, str] | None) -> dict[str, str]:
    """The user's aliases, which go before those of the file."""
    return {alias: known[alias] for alias in aliases or {}}


def _check_encoding(path: Path) -> None:
    if path.suffix not in _TEXT_SUFFIXES:
        return
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not UTF-8, save it as such: {error}") from None


def _recognise(path: Path) -> str:
    if path.is_dir():
        return "catalogue"
    if path.suffix == ".json":
        content = load_json(path)
        if isinstance(content, dict):
            return "catalogue"
        if isinstance(content, list):
            return "config"
        raise ValueError(f"{path.name} is neither an object of categories nor a list of models")
    if path.suffix in (".jsonl", ".parquet"):
        return "table"
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8-sig") as file:
            header = next(csv.reader(file), [])
        if {"arena_elo", "arena_score", "95_pct_ci"} & set(header):
            return "leaderboard_csv"
        if {"model", "rating"} <= set(header):
            return "table"
        raise ValueError(
            f"the layout of {path.name} is not known: its columns are {', '.join(header) or 'none'}. A leaderboard has "
            "'model', 'arena_score' (or 'arena_elo') and '95_pct_ci'; a plain table 'model' and 'rating'."
        )
    raise ValueError(f"a leaderboard is a .csv, .json, .jsonl or .parquet file or a folder, got {path.name!r}")


def _snapshot(path: Path, snapshot: str | None) -> str | None:
    """The date in the file's name or as given, as YYYY-MM-DD."""
    if snapshot is not None:
        try:
            snapshot = datetime.date.fromisoformat(str(snapshot)).isoformat()
        except ValueError:
            raise ValueError(f"snapshot must be a date as YYYY-MM-DD, got {snapshot!r}") from None
    named = None
    for match in _DATE.finditer(path.stem):
        try:
            named = datetime.date(*map(int, match.groups())).isoformat()
        except ValueError:  # digits that are no date
            continue
    if snapshot is not None and named is not None and snapshot != named:
        raise ValueError(
            f"snapshot is {snapshot!r}, but the name of {path.name} says {named!r}: rename it, or give none"
        )
    return snapshot or named
