"""Sets of true preference probabilities: four synthetic ones by formula, and prepared oracle data."""

from pathlib import Path

import numpy as np
from datasets import Dataset, load_from_disk
from scipy.special import expit, ndtri


# Spread of the logits: near coin flips like PKU-SafeRLHF, to near certainty like Skywork's preferences
SYNTHETIC_SCALES = {"pku": 0.4, "helpsteer": 1.0, "ultra": 1.6, "sky": 3.5}
SYNTHETIC_SIZE = 2000
COLUMNS = ("preference_probability", "preference_score")
# The pairs in the output directory of `prepare_oracle_data.py`
PAIRS_DIR = "pairs"


def synthetic_probabilities(name: str, size: int = SYNTHETIC_SIZE) -> np.ndarray:
    r"""
    Probabilities that the first response is better, \( p_i = \sigma(s\,\Phi^{-1}((i + ½)/N)) \): no random numbers.

    Args:
        name (`str`):
            Which spread s: a key of `SYNTHETIC_SCALES`.
        size (`int`, *optional*, defaults to `2000`):
            Number N of pairs.

    Returns:
        `np.ndarray` of shape `(N,)`

    Raises:
        ValueError: An unknown name.
    """
    if name not in SYNTHETIC_SCALES:
        raise ValueError(f"unknown synthetic set {name!r}; there are {', '.join(SYNTHETIC_SCALES)}")
    return expit(SYNTHETIC_SCALES[name] * ndtri((np.arange(size) + 0.5) / size))


def load_probabilities(source: str | Path) -> np.ndarray:
    """
    Load true preference probabilities.

    Args:
        source (`str` or `pathlib.Path`):
            Name of a synthetic set (`pku`, `helpsteer`, `ultra`, `sky`), or a directory that `prepare_oracle_data.py` has
            written (its `output_dir`, or `pairs` in it). Of the latter the calibrated `preference_probability` is read,
            else the raw `preference_score`.

    Returns:
        `np.ndarray` of shape `(N,)`: P(chosen is better), not folded.

    Raises:
        ValueError: Neither of both, or no such column, or values outside [0, 1].
    """
    if str(source) in SYNTHETIC_SCALES:
        return synthetic_probabilities(str(source))
    dataset = load_prepared(source)
    return np.asarray(dataset[probability_column(dataset, source)], dtype=np.float64)


def load_prepared(source: str | Path) -> Dataset:
    """
    Load the pairs that `prepare_oracle_data.py` has written.

    Args:
        source (`str` or `pathlib.Path`):
            Its `output_dir`, or `pairs` in it.

    Returns:
        [`~datasets.Dataset`]

    Raises:
        ValueError: There is no such directory, it was not written by `save_to_disk`, or its files are damaged.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        raise ValueError(f"'{source}' is neither a synthetic set ({', '.join(SYNTHETIC_SCALES)}) nor a directory")
    path = path / PAIRS_DIR if (path / PAIRS_DIR).is_dir() else path
    try:
        return load_from_disk(str(path))
    except FileNotFoundError as error:
        raise ValueError(f"'{source}' holds no prepared pairs: run prepare_oracle_data.py") from error
    except Exception as error:  # whatever Arrow, JSON and the description of columns make of damaged files
        raise ValueError(
            f"the prepared pairs in '{path}' are damaged ({type(error).__name__}: {error}): run prepare_oracle_data.py again"
        ) from error


def probability_column(dataset: Dataset, name: str | Path) -> str:
    """
    Which column of prepared pairs has P(chosen is better): the calibrated `preference_probability` if there is one, else
    the raw `preference_score`.

    Args:
        dataset ([`~datasets.Dataset`]):
            The pairs.
        name (`str` or `pathlib.Path`):
            What to call them in messages.

    Returns:
        `str`

    Raises:
        ValueError: There is no such column, or it has values outside [0, 1].
    """
    column = next((column for column in COLUMNS if column in dataset.column_names), None)
    if column is None:
        raise ValueError(f"'{name}' has none of the columns {', '.join(COLUMNS)}; it has {dataset.column_names}")
    values = np.asarray(dataset[column], dtype=np.float64)
    bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if bad.size:
        raise ValueError(
            f"column '{column}' of '{name}' has {bad.size} values outside [0, 1]; first: row {bad[0]}, value {values[bad[0]]}"
        )
    return column
