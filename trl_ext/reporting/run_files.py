"""Reading what scripts have written: a file that is damaged is named, with what is wrong with it."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ..evaluation import Estimate


class DamagedEvidence(ValueError):
    """A file of a run that can't be read, or is not as its script writes it. The message begins with its path."""


def read_object(path: Path, required: Collection[str] = ()) -> dict[str, Any]:
    """A JSON file that holds an object with some keys."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise DamagedEvidence(f"{path}: not JSON (torn, or changed by hand?): {error}") from error
    if not isinstance(content, dict):
        raise DamagedEvidence(f"{path}: expected an object, found {type(content).__name__}")
    missing = [key for key in required if key not in content]
    if missing:
        raise DamagedEvidence(
            f"{path}: has no {', '.join(map(repr, missing))}; it has {', '.join(content) or 'nothing'}"
        )
    return content


def read_list(path: Path) -> list[dict[str, Any]]:
    """A JSON file that holds a list of objects."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, OSError, RecursionError) as error:
        raise DamagedEvidence(f"{path}: not JSON (torn, or changed by hand?): {error}") from error
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DamagedEvidence(f"{path}: expected a list of objects")
    return content


def read_csv(path: Path, required: Collection[str] = (), text: Collection[str] = ()) -> pd.DataFrame:
    """
    A CSV file with some columns.

    Args:
        path (`pathlib.Path`): The file.
        required (`Collection[str]`, *optional*): Columns that it must have.
        text (`Collection[str]`, *optional*): Columns that are names: `007` and `NA` stay what they are.
    """
    try:
        header = pd.read_csv(path, nrows=0).columns
        names = [name for name in text if name in header]
        table = pd.read_csv(path, dtype=dict.fromkeys(names, str), keep_default_na=False,
                            na_values={name: ["", "nan", "NaN"] for name in header if name not in names})  # fmt: skip
    except (ValueError, OSError) as error:  # pandas' errors are ValueErrors
        raise DamagedEvidence(f"{path}: not a table: {error}") from error
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise DamagedEvidence(
            f"{path}: has no column {', '.join(map(repr, missing))}; columns are {', '.join(map(repr, table.columns))}"
        )
    return table


def is_estimate(content: Any) -> bool:
    """Whether this is what `Estimate.to_dict` writes."""
    return isinstance(content, Mapping) and {"value", "ci_low", "ci_high", "n"} <= set(content)


def as_estimate(content: Mapping[str, Any], path: Path | None = None) -> Estimate:
    """
    An estimate as it is written in JSON, where infinities and NaN are text or null.

    Raises:
        DamagedEvidence: A part is missing or is no number.
    """
    try:
        numbers = {
            name: float("nan") if content.get(name) is None else float(content[name])
            for name in ("value", "se", "ci_low", "ci_high")
        }
        return Estimate(**numbers, n=int(content["n"]), method=str(content.get("method", "")))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        place = "" if path is None else f"{path}: "
        raise DamagedEvidence(f"{place}not an estimate with value, ci_low, ci_high and n: {content!r:.120}") from error
