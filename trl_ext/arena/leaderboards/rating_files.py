"""Ratings as a plain table in a file, with all that a rating table knows."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ...atomic_files import atomic_path
from ..ratings.rating_table import RatingTable
from .layouts import (
    FULL_CATEGORY,
    check_category,
    parse_column,
    parse_finite,
    parse_name,
    parse_votes,
    read_csv_rows,
)


TABLE_SUFFIXES = (".csv", ".parquet", ".jsonl")
_COVARIANCE = "covariance["  # one column per model: "covariance[name]"
_BOOLEANS = {"true": True, "false": False, "1": True, "0": False}


def write_ratings(ratings: RatingTable, path: str | Path) -> None:
    """
    Write ratings as a plain table that [`read_leaderboard`] reads back: the columns of `RATING_COLUMNS`, `aliases` (a JSON
    list of other names), `level`, `method`, those the table has besides, and where there is a covariance, a column
    `covariance[model]` per model. Numbers keep all digits. Effects of style
    in [`FittedRatings`] are not kept. The file is complete, or what it was.

    Args:
        ratings ([`RatingTable`]):
            The ratings.
        path (`str` or `pathlib.Path`):
            The file; its suffix says how it is written: `.csv`, `.parquet` or `.jsonl`.

    Raises:
        ValueError: The suffix is another.

    Example:
        ```python
        >>> import tempfile
        >>> from pathlib import Path
        >>> from trl_ext.arena import RatingTable, read_leaderboard, write_ratings
        >>> path = Path(tempfile.mkdtemp(), "ratings.csv")
        >>> write_ratings(RatingTable.from_ratings({"strong": 1200.0, "weak": 1100.0}), path)
        >>> read_leaderboard(path).of(["weak", "strong"])
        array([1100., 1200.])

        ```
    """
    path = Path(path)
    _check_suffix(path)
    names: dict[str, list[str]] = {model: [] for model in ratings.models}
    for alias, model in ratings.aliases.items():
        names[model].append(alias)
    table = ratings.table.assign(
        aliases=[json.dumps(names[model], ensure_ascii=False) for model in ratings.models],
        level=ratings.level,
        method=ratings.method,
    )
    if ratings.covariance is not None:
        columns = [f"{_COVARIANCE}{model}]" for model in ratings.models]
        table = pd.concat([table, pd.DataFrame(np.asarray(ratings.covariance), columns=columns)], axis=1)
    with atomic_path(path) as temporary:
        if path.suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        elif path.suffix == ".csv":
            table.to_csv(temporary, index=False)
        else:
            # not pandas' own JSON, which keeps 15 digits at most
            records = table.astype(object).where(table.notna(), None).to_dict("records")
            temporary.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


def _check_suffix(path: Path) -> None:
    if path.suffix not in TABLE_SUFFIXES:
        raise ValueError(f"a table of ratings is a {', '.join(TABLE_SUFFIXES)} file, got {path.name!r}")


def read_rating_table(path: Path, style_control: bool, category: str, snapshot: str | None) -> RatingTable:
    """Ratings from a plain table: rows of one category and snapshot, with or without style control."""
    table = _load(path)
    for column in ("model", "rating"):
        if column not in table.columns:
            raise ValueError(f"{path.name} has no column {column!r}; its columns are {', '.join(table.columns)}")
    table = _parse(table)
    table = _with_category(table, category, path.name)
    table = _with_style_control(table, style_control, path.name)
    table = _with_snapshot(table, snapshot, path.name)
    table = table.reset_index(drop=True)
    covariance = _covariance(table, path.name)
    aliases = _aliases(table)
    level, method = (_only_value(table, column, path.name) for column in ("level", "method"))
    extra = [column for column in table if column in ("aliases", "level", "method") or column.startswith(_COVARIANCE)]
    given: dict[str, Any] = {} if method is None else {"method": method}
    if level is not None:
        given["level"] = parse_column([level], "level", table["model"], _parse_level, "a number between 0 and 1")[0]
    return RatingTable(table.drop(columns=extra), covariance, aliases=aliases, **given)


def _load(path: Path) -> pd.DataFrame:
    """Rows as they are, with None for what is empty."""
    _check_suffix(path)
    if path.suffix == ".parquet":
        table = pd.read_parquet(path).astype(object)
    elif path.suffix == ".csv":
        header, rows = read_csv_rows(path)
        table = pd.DataFrame(rows, columns=header, dtype=object).replace("", None)
    else:
        table = pd.DataFrame(_load_lines(path), dtype=object)
    if not len(table):
        raise ValueError(f"{path.name} has no rows")
    return table.where(table.notna(), None)


def _load_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number + 1} of {path.name} is torn: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"line {number + 1} of {path.name} must be a JSON object, got {line[:60]!r}")
        rows.append(row)
    return rows


def _parse(table: pd.DataFrame) -> pd.DataFrame:
    models = parse_column(list(table["model"]), "model", (), parse_name, "a name that is not empty")
    parsers: dict[str, tuple[Callable[[Any], Any], str]] = {
        "rating": (parse_finite, "a finite number"),
        "rating_low": (_optional(parse_finite, np.nan), "a finite number, or empty"),
        "rating_high": (_optional(parse_finite, np.nan), "a finite number, or empty"),
        "votes": (parse_votes, "a whole number of 0 or more, or empty"),
        "style_control": (_optional(_parse_boolean, None), "true, false, or empty"),
        "snapshot": (_optional(_parse_date, None), "a date as YYYY-MM-DD, or empty"),
    }
    parsed: dict[str, Any] = {"model": models}
    for column, (parse, allowed) in parsers.items():
        if column in table.columns:
            parsed[column] = parse_column(list(table[column]), column, models, parse, allowed)
    table = table.assign(**{column: pd.Series(values, table.index, dtype=object) for column, values in parsed.items()})
    if ("rating_low" in parsed) != ("rating_high" in parsed):
        raise ValueError("ratings have one of the columns 'rating_low' and 'rating_high' without the other")
    if "rating_low" in parsed:
        halves = np.flatnonzero(np.isnan(parsed["rating_low"]) != np.isnan(parsed["rating_high"]))
        if halves.size:
            raise ValueError(
                f"{halves.size} intervals have one end only; first: row {halves[0]} (model {models[halves[0]]!r}). Give both "
                "of 'rating_low' and 'rating_high', or none."
            )
    numbers = [column for column in ("rating", "rating_low", "rating_high", "votes") if column in parsed]
    return table.astype(dict.fromkeys(numbers, np.float64))


def _optional(parse: Callable[[Any], Any], missing: Any) -> Callable[[Any], Any]:
    return lambda value: missing if value is None else parse(value)


def _parse_boolean(value: Any) -> bool:
    try:
        return _BOOLEANS[str(value).strip().lower()]
    except KeyError:
        raise ValueError from None


def _parse_date(value: Any) -> str:
    return datetime.date.fromisoformat(str(value)[:10]).isoformat()  # the day of a timestamp


def _parse_level(value: Any) -> float:
    if not 0 < (level := parse_finite(value)) < 1:
        raise ValueError
    return level


def _filled(table: pd.DataFrame, column: str) -> pd.Series | None:
    """A column that has a value in every row, or None where it has none in any."""
    if column not in table.columns or table[column].isna().all():
        return None
    missing = np.flatnonzero(table[column].isna())
    if missing.size:
        raise ValueError(
            f"column {column!r} has {missing.size} empty values beside others; first: row {missing[0]} (model "
            f"{table['model'].iloc[missing[0]]!r}). Fill all or none."
        )
    return table[column]


def _with_category(table: pd.DataFrame, category: str, name: str) -> pd.DataFrame:
    categories = _filled(table, "category")
    check_category(category, [FULL_CATEGORY] if categories is None else list(categories.unique()), name)
    return table if categories is None else table[categories == category]


def _with_style_control(table: pd.DataFrame, style_control: bool, name: str) -> pd.DataFrame:
    controlled = _filled(table, "style_control")
    if controlled is None:
        if style_control:
            raise ValueError(f"{name} does not say that its ratings are style-controlled: no column 'style_control'")
        return table
    picked = table[controlled == style_control]
    if not len(picked):
        raise ValueError(
            f"{name} has ratings {'without' if style_control else 'with'} style control only; use "
            f"style_control={not style_control}"
        )
    return picked


def _with_snapshot(table: pd.DataFrame, snapshot: str | None, name: str) -> pd.DataFrame:
    snapshots = _filled(table, "snapshot")
    if snapshots is None:
        return table
    dates = ", ".join(map(repr, sorted(set(snapshots))))
    if snapshot is None:
        if snapshots.nunique() > 1:
            raise ValueError(f"{name} has several snapshots; choose one: {dates}")
        return table
    if snapshot not in set(snapshots):
        raise ValueError(f"{name} has no snapshot {snapshot!r}; it has {dates}")
    return table[snapshots == snapshot]


def _only_value(table: pd.DataFrame, column: str, name: str) -> Any:
    values = _filled(table, column)
    if values is None:
        return None
    if values.nunique() > 1:
        raise ValueError(f"column {column!r} of {name} must have one value for all, got {sorted(set(values))[:3]}")
    return values.iloc[0]


def _covariance(table: pd.DataFrame, name: str) -> np.ndarray | None:
    if not any(column.startswith(_COVARIANCE) for column in table):
        return None
    models = list(table["model"])
    lacking = [model for model in models if f"{_COVARIANCE}{model}]" not in table.columns]
    if lacking:
        raise ValueError(f"{name} has a covariance of other models but no column '{_COVARIANCE}{lacking[0]}]'")
    columns = [f"{_COVARIANCE}{model}]" for model in models]
    return np.array(
        [parse_column(list(table[column]), column, models, parse_finite, "a finite number") for column in columns]
    ).T


def _aliases(table: pd.DataFrame) -> dict[str, str]:
    if "aliases" not in table.columns:
        return {}
    lists = parse_column(list(table["aliases"]), "aliases", table["model"], _parse_aliases, "a JSON list of names")
    found: dict[str, str] = {}
    for model, names in zip(table["model"], lists, strict=True):
        for alias in names:
            if found.setdefault(alias, model) != model:
                raise ValueError(f"alias {alias!r} is of two models: {found[alias]!r} and {model!r}")
    return found


def _parse_aliases(value: Any) -> list[str]:
    names = [] if value is None else json.loads(value) if isinstance(value, str) else list(value)
    if not isinstance(names, list) or not all(isinstance(alias, str) for alias in names):
        raise ValueError
    return names
