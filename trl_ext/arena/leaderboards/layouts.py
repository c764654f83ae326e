"""Layouts in which ratings are published: each is read into a table with the columns of `RATING_COLUMNS` and more."""

import csv
import json
import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


logger = logging.getLogger(__name__)

FULL_CATEGORY = "full"
CATALOGUE_FILES = {False: "leaderboard-text.json", True: "leaderboard-text-style-control.json"}
_INTERVAL_COLUMN = "95_pct_ci"
_INTERVAL = re.compile(r"\+(\d+(?:\.\d+)?)\s*/\s*-(\d+(?:\.\d+)?)")
_CATALOGUE_KEYS = ("rating", "rating_q025", "rating_q975")
_SCORE_COLUMNS = ("arena_score", "arena_elo")
_NO_STYLE_SCORES = (
    "{what} has no style-controlled ratings{but}. Read the catalogue's "
    f"{CATALOGUE_FILES[True]}, or use style_control=False."
)


def read_csv_rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """
    Header and rows of a CSV file as text; row i is in line i + 2 where no field has a line break.

    Raises:
        ValueError: There are no rows, a column occurs twice, or a row has more or fewer fields than the header.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = [row for row in csv.reader(file) if row]
    if len(lines) < 2:
        raise ValueError(f"{path.name} has no rows")
    header, rows = lines[0], lines[1:]
    for column in header:
        if header.count(column) > 1:
            raise ValueError(f"{path.name} has column {column!r} twice")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise ValueError(
                f"row {number} of {path.name} is torn: it has {len(row)} fields, the header has {len(header)} "
                f"({', '.join(header)}). The row begins {','.join(row)[:60]!r}."
            )
    return header, rows


def parse_column(
    values: Sequence[Any], column: str, models: Sequence[str], parse: Callable[[Any], Any], allowed: str
) -> list[Any]:
    """
    `parse` of every value of a column.

    Raises:
        ValueError: `parse` raises a `ValueError` or `TypeError`; the message names column, row, model, value and what is
            allowed.
    """
    parsed, bad = [], []
    for row, value in enumerate(values):
        try:
            parsed.append(parse(value))
        except (TypeError, ValueError):
            bad.append(row)
    if bad:
        where = f"row {bad[0]}" + (f" (model {models[bad[0]]!r})" if column != "model" else "")
        raise ValueError(
            f"column {column!r} has {len(bad)} bad values; first: {where}, value {values[bad[0]]!r}. Allowed: {allowed}."
        )
    return parsed


def parse_name(value: Any) -> str:
    """A model's name without blanks around it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError
    return value.strip()


def parse_finite(value: Any) -> float:
    """A finite number, also from text."""
    if isinstance(value, bool) or not math.isfinite(number := float(value)):
        raise ValueError
    return number


def parse_votes(value: Any) -> float:
    """A whole number of votes, or nan for an empty field."""
    if value is None or value == "" or value != value:
        return math.nan
    if (number := parse_finite(value)) < 0 or number % 1:
        raise ValueError
    return number


def _parse_interval(value: str) -> tuple[float, float]:
    match = _INTERVAL.fullmatch(value.strip())
    if not match:
        raise ValueError
    return float(match[1]), float(match[2])


def read_leaderboard_csv(path: Path, style_control: bool, category: str) -> pd.DataFrame:
    """Dated leaderboard: a rating without style control, an interval as "+4/-3", votes, and columns kept as text."""
    header, rows = read_csv_rows(path)
    score = next((column for column in _SCORE_COLUMNS if column in header), None)
    missing = [column for column in ("model", _INTERVAL_COLUMN) if column not in header]
    if score is None or missing:
        lacking = missing[0] if missing else " or ".join(_SCORE_COLUMNS)
        raise ValueError(f"{path.name} has no column {lacking}; its columns are {', '.join(header)}")
    if style_control:
        but = "; its column `rank_stylectrl` is a rank, not a rating" if "rank_stylectrl" in header else ""
        raise ValueError(_NO_STYLE_SCORES.format(what=path.name, but=but))
    check_category(category, [FULL_CATEGORY], path.name)
    texts = {column: [row[number] for row in rows] for number, column in enumerate(header)}
    models = parse_column(texts.pop("model"), "model", (), parse_name, "a name that is not empty")
    ratings = parse_column(texts.pop(score), score, models, parse_finite, "a finite number")
    intervals = parse_column(
        texts.pop(_INTERVAL_COLUMN), _INTERVAL_COLUMN, models, _parse_interval, 'distances as "+4/-3"'
    )
    up, down = np.array(intervals).T
    votes = parse_column(
        texts.pop("votes", [""] * len(rows)), "votes", models, parse_votes, "a whole number of 0 or more"
    )
    table = pd.DataFrame(
        {
            "model": models,
            "rating": ratings,
            "rating_low": ratings - down,
            "rating_high": ratings + up,
            "votes": votes,
            "category": FULL_CATEGORY,
            "style_control": False,
        }
    )
    return _without_repeats(table.assign(**texts), path.name)


def _without_repeats(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Without rows that repeat another in everything but the rank, as some snapshots have them; they are reported."""
    repeats = np.flatnonzero(table.duplicated([column for column in table if not column.startswith("rank")]))
    if repeats.size:
        logger.warning(
            "%s: %d rows repeat another in everything but the rank and are read once: %s",
            name,
            repeats.size,
            ", ".join(f"row {row} ({table['model'][row]!r})" for row in repeats),
        )
    return table.drop(index=repeats).reset_index(drop=True)


def read_catalogue(path: Path, style_control: bool, category: str) -> pd.DataFrame:
    """Catalogue: a JSON object of categories, each an object of models with a rating and its 95 % interval."""
    controlled = "style-control" in path.stem
    if controlled != style_control and (controlled or path.name in CATALOGUE_FILES.values()):
        raise ValueError(
            f"{path.name} has ratings {'with' if controlled else 'without'} style control. Give the folder or "
            f"{CATALOGUE_FILES[style_control]}, or use style_control={controlled}."
        )
    content = load_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} must be a JSON object of categories")
    check_category(category, list(content), path.name)
    entries = content[category]
    if not isinstance(entries, dict) or not entries:
        raise ValueError(f"category {category!r} of {path.name} has no ratings")
    models = parse_column(list(entries), "model", (), parse_name, "a name that is not empty")
    values = {}
    for key in _CATALOGUE_KEYS:
        column = [entry.get(key) if isinstance(entry, dict) else entry for entry in entries.values()]
        values[key] = parse_column(column, key, models, parse_finite, "a finite number in every entry")
    return pd.DataFrame(
        {
            "model": models,
            "rating": values["rating"],
            "rating_low": values["rating_q025"],
            "rating_high": values["rating_q975"],
            "category": category,
            "style_control": style_control,
        }
    )


def read_config(path: Path, style_control: bool, category: str) -> pd.DataFrame:
    """The paper's configuration: a JSON list of objects with `model_name`, `arena_score` and `model_path`."""
    if style_control:
        raise ValueError(_NO_STYLE_SCORES.format(what=path.name, but=""))
    check_category(category, [FULL_CATEGORY], path.name)
    content = load_json(path)
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path.name} must be a JSON list of models")
    for row, entry in enumerate(content):
        lacking = [key for key in ("model_name", "arena_score") if not isinstance(entry, dict) or key not in entry]
        if lacking:
            raise ValueError(f"row {row} of {path.name} has no {lacking[0]!r}: {json.dumps(entry)[:60]}")
    models = parse_column([entry["model_name"] for entry in content], "model_name", (), parse_name, "a name")
    ratings = parse_column(
        [entry["arena_score"] for entry in content], "arena_score", models, parse_finite, "a finite number"
    )
    table = pd.DataFrame(
        {"model": models, "rating": ratings, "category": FULL_CATEGORY, "style_control": False},
    )
    return table.assign(model_path=[entry.get("model_path", "") for entry in content])


def check_category(category: str, allowed: Sequence[str], name: str) -> None:
    """Raise a `ValueError` that lists the categories of a file if there is none of this name."""
    if category not in allowed:
        raise ValueError(f"{name} has no category {category!r}; it has {', '.join(map(repr, allowed))}")


def load_json(path: Path) -> Any:
    """Content of a JSON file; raises a `ValueError` for text that is not JSON, and where an object has a key twice."""

    def check_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise ValueError(f"{path.name} has {key!r} twice in one object")
            seen[key] = value
        return seen

    try:
        return json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=check_keys)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None
