"""Battles between two models: who answered, who won, and how the answers were styled."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import Dataset


BATTLE_COLUMNS = ("model_a", "model_b", "winner")
STYLE_FEATURES = ("tokens", "headers", "lists", "bold")
WINNERS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "both_bad": 0.5}  # to the score of model_a
_SPELLINGS = {"tie (bothbad)": "both_bad"}
_SIDES = ("a", "b")


def read_battles(path: str | Path) -> pd.DataFrame:
    """
    Battles from a CSV, parquet or JSON lines file, checked by [`check_battles`].

    Args:
        path (`str` or `pathlib.Path`):
            The file.

    Returns:
        `pandas.DataFrame`: See [`check_battles`].

    Raises:
        ValueError: The file is of another kind, a line is torn, or a battle is not valid.
    """
    path = Path(path)
    if path.suffix == ".parquet":
        table = pd.read_parquet(path)
    elif path.suffix == ".csv":
        table = pd.read_csv(path, keep_default_na=False, na_values=[""])  # a model may be called "None"
        for side in _SIDES:
            if (column := f"style_{side}") in table.columns:
                table[column] = [_parse_list(value) for value in table[column]]
    elif path.suffix == ".jsonl":
        table = pd.DataFrame(_read_lines(path))
    else:
        raise ValueError(f"battles are a .csv, .parquet or .jsonl file, got {path.name!r}")
    return check_battles(table)


def _parse_list(value: Any) -> Any:
    try:
        return json.loads(value)
    except (TypeError, ValueError):
        return value  # refused with its row where the columns are checked


def _read_lines(path: Path) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number + 1} of {path.name} is torn: {error}") from None
    return rows


def check_battles(battles: pd.DataFrame | Dataset | Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """
    Check battles and bring them into one form.

    Args:
        battles (`pandas.DataFrame`, `datasets.Dataset` or an iterable of mappings):
            A row per battle: `model_a` and `model_b`, the names of two models; `winner`, one of `"model_a"`, `"model_b"`,
            `"tie"`, `"both_bad"` (or `"tie (bothbad)"`). Optionally the style of both answers, as counts of 0 or more:
            lists `[tokens, headers, lists, bold]` in `style_a` and `style_b`, or columns `tokens_a`, `tokens_b`,
            `headers_a` … of some of these features. Other columns, such as that of a judge, are kept.

    Returns:
        `pandas.DataFrame`: The same rows in the same order, with `"both_bad"` spelled so and one float64 column per style
        feature and side.

    Raises:
        ValueError: There are no battles, a column is missing, a name or winner is empty or unknown, a model meets itself,
            or a count is missing or negative. The message names column, row and value.

    Example:
        ```python
        >>> from trl_ext.arena import check_battles
        >>> check_battles([{"model_a": "x", "model_b": "y", "winner": "tie (bothbad)"}])
          model_a model_b    winner
        0       x       y  both_bad

        ```
    """
    if isinstance(battles, Dataset):
        table = battles.to_pandas()
    elif isinstance(battles, pd.DataFrame):
        table = battles.copy()
    else:
        table = pd.DataFrame(list(battles))
    table = table.reset_index(drop=True)
    if not len(table):
        raise ValueError("there are no battles")
    for column in BATTLE_COLUMNS:
        if column not in table.columns:
            raise ValueError(
                f"battles have no column {column!r}; their columns are {', '.join(map(str, table.columns))}"
            )
    for column in ("model_a", "model_b"):
        blank = _each(table[column], lambda name: not isinstance(name, str) or not name.strip())
        _refuse(table, column, blank.astype(bool), "a model's name")
    winners = _each(
        table["winner"], lambda winner: _SPELLINGS.get(winner, winner) if isinstance(winner, str) else None
    )
    _refuse(table, "winner", ~pd.Series(winners).isin(list(WINNERS)), " | ".join((*WINNERS, *_SPELLINGS)))
    _refuse(table, "model_b", table["model_a"] == table["model_b"], "another model than `model_a`")
    return _with_style(table.assign(winner=winners))


def _each(column: pd.Series, function: Callable[[Any], Any]) -> np.ndarray:
    """`function` of every value, called once for equal values: a million battles have few names."""
    try:
        codes, values = pd.factorize(column.astype(object), use_na_sentinel=False)
    except TypeError:  # lists, which have no hash
        codes, values = np.arange(len(column)), column.tolist()
    return np.array([function(value) for value in values], dtype=object)[codes]


def _refuse(table: pd.DataFrame, column: str, bad: Sequence[bool] | np.ndarray | pd.Series, allowed: str) -> None:
    rows = np.flatnonzero(bad)
    if rows.size:
        raise ValueError(
            f"column {column!r} has {rows.size} bad values in {len(table)} battles; first: row {rows[0]}, value "
            f"{table[column].iloc[rows[:1]].tolist()[0]!r}. Allowed: {allowed}. Correct or remove these rows."
        )


def _with_style(table: pd.DataFrame) -> pd.DataFrame:
    """With style as one float64 column per feature and side."""
    lists = [f"style_{side}" for side in _SIDES if f"style_{side}" in table.columns]
    if len(lists) == 1:
        raise ValueError(f"battles have column {lists[0]!r} but not that of the other side")
    if lists:
        flat = [f"{feature}_{side}" for feature in STYLE_FEATURES for side in _SIDES]
        both = [column for column in flat if column in table.columns]
        if both:
            raise ValueError(f"battles have style twice: as lists {lists} and as column {both[0]!r}. Keep one.")
        for column, side in zip(lists, _SIDES, strict=True):
            bad = [
                not isinstance(v, list | tuple | np.ndarray) or len(v) != len(STYLE_FEATURES) for v in table[column]
            ]
            _refuse(table, column, bad, f"a list of {len(STYLE_FEATURES)} counts: {', '.join(STYLE_FEATURES)}")
            for number, feature in enumerate(STYLE_FEATURES):
                table[f"{feature}_{side}"] = [values[number] for values in table[column]]
        table = table.drop(columns=lists)
    for feature in STYLE_FEATURES:
        columns = [f"{feature}_{side}" for side in _SIDES if f"{feature}_{side}" in table.columns]
        if len(columns) == 1:
            raise ValueError(f"battles have column {columns[0]!r} but not that of the other side")
        for column in columns:
            values = pd.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
            _refuse(table, column, ~(np.isfinite(values) & (values >= 0)), "a finite count of 0 or more")
            table[column] = values
    return table


def style_features(battles: pd.DataFrame) -> tuple[tuple[str, ...], np.ndarray]:
    """
    How the styles of the two answers differ, as features of a regression: (a − b)/(a + b + 1), standardised to mean 0 and
    (population) standard deviation 1.

    Args:
        battles (`pandas.DataFrame`):
            N battles as [`check_battles`] returns them.

    Returns:
        `tuple`: Names of the K features that there are columns of, and their values `(N, K)`.

    Raises:
        ValueError: There is no style, or a feature is the same in all battles.
    """
    names = tuple(feature for feature in STYLE_FEATURES if f"{feature}_a" in battles.columns)
    if not names:
        raise ValueError(
            "style control needs the style of the answers: columns 'style_a' and 'style_b' with lists of "
            f"{', '.join(STYLE_FEATURES)}, or columns such as '{STYLE_FEATURES[0]}_a' and '{STYLE_FEATURES[0]}_b'"
        )
    first, second = (battles[[f"{name}_{side}" for name in names]].to_numpy(np.float64) for side in _SIDES)
    features = (first - second) / (first + second + 1)
    spread = features.std(axis=0)
    for name, deviation in zip(names, spread, strict=True):
        if deviation < 1e-12:
            raise ValueError(
                f"style feature {name!r} differs equally in all {len(battles)} battles, so that it can't be corrected for: "
                f"remove columns '{name}_a' and '{name}_b'"
            )
    return names, (features - features.mean(axis=0)) / spread
