"""Reading the CSV files of the original repository, with their columns checked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd


def read_table(path: str | Path, columns: Sequence[str], texts: Sequence[str] = ()) -> pd.DataFrame:
    """
    Reads a CSV file and checks that its columns are there and its texts are not empty.

    Args:
        path (`str` or `pathlib.Path`):
            CSV file in UTF-8.
        columns (sequence of `str`):
            Columns it must have; others are kept.
        texts (sequence of `str`, *optional*):
            Columns that must hold a text in every row.

    Returns:
        `pandas.DataFrame`: all columns, in the order of the file, floats exact to the last bit.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing, there are no rows, or a text is empty.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file '{path}'")
    # round_trip keeps the last bit of a float
    frame = pd.read_csv(path, float_precision="round_trip", dtype=dict.fromkeys(texts, str), encoding="utf-8")
    missing = [column for column in columns if column not in frame.columns]
    if missing:
        raise ValueError(f"'{path}' lacks the columns {missing}; it has {sorted(frame.columns)}")
    if frame.empty:
        raise ValueError(f"'{path}' has no rows")
    for column in texts:
        empty = np.flatnonzero(frame[column].isna() | (frame[column].str.strip() == ""))
        if empty.size:
            raise ValueError(f"'{path}': column '{column}' has {empty.size} empty texts; first: row {empty[0]}")
    return frame


def refuse_rows(path: str | Path, frame: pd.DataFrame, column: str, bad: np.ndarray, rule: str) -> None:
    """Raises a `ValueError` that names the first of the `bad` rows (bool of shape `(N,)`), if there is one."""
    rows = np.flatnonzero(bad)
    if rows.size:
        row = rows[0]
        raise ValueError(
            f"'{path}': column '{column}' has {rows.size} bad values; first: row {row} (IDs {frame['IDs'].iloc[row]}), "
            f"value {frame[column].iloc[row]!r}; {rule}"
        )


def find_family(root: str | Path, family: str, folder: str) -> Path:
    """
    Finds the folder of a family of files, such as `TRUE`, in a clone of the repository.

    Args:
        root (`str` or `pathlib.Path`):
            Clone of the RAPL repository, a folder that contains the family, or the family's folder itself.
        family (`str`):
            Its name: `"TRUE"`, `"scale_LIE"` or `"scale_TRUE"`.
        folder (`str`):
            A folder it must contain.

    Returns:
        `pathlib.Path`
    """
    root = Path(root).expanduser()
    candidates = [root / family, root / "datasets" / family, root / "RAPL" / "datasets" / family]
    if root.name == family:
        candidates.insert(0, root)
    found = next((path for path in candidates if (path / folder).is_dir()), None)
    if found is None:
        raise FileNotFoundError(
            f"no {family} files under '{root}': looked for a folder `{folder}` in "
            f"{', '.join(str(path) for path in candidates)}. "
            "Give a clone of github.com/shivamsinghal001/reliability-aware-preference-learning."
        )
    return found
