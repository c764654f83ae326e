"""The commitment η of every training pair: from a table of annotators, e.g. one that monitoring has estimated."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


_MOST_NAMES = 10  # annotators that an error message lists


@dataclass(frozen=True)
class EtaSummary:
    """
    How far the training labels are believed.

    Args:
        source (`str`):
            `"column"`, `"constant"` or `"annotators"`.
        n (`int`):
            Number of training pairs.
        n_annotators (`int`, *optional*):
            Number of annotators, where η comes from a table of them.
        mean, minimum, maximum (`float`):
            Of η over the pairs.
        n_zero (`int`):
            Pairs with η = 0, from which nothing is learned.
    """

    source: str
    n: int
    n_annotators: int | None
    mean: float
    minimum: float
    maximum: float
    n_zero: int

    @classmethod
    def of(cls, eta: np.ndarray, source: str, n_annotators: int | None = None) -> "EtaSummary":
        """Summarise the η of pairs `(N,)`."""
        return cls(
            source=source,
            n=len(eta),
            n_annotators=n_annotators,
            mean=float(np.mean(eta)),
            minimum=float(np.min(eta)),
            maximum=float(np.max(eta)),
            n_zero=int(np.sum(eta == 0)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def read_annotator_eta(source: Mapping[str | int, float] | str | Path) -> dict[str, float]:
    """
    Read the commitment of annotators.

    Ids are compared as text, since JSON knows no other keys: `7` and `"7"` are one annotator.

    Args:
        source (`Mapping`, `str` or `Path`):
            η by annotator id; or a file: a `.json` object of ids and numbers, or a `.csv` with the columns `annotator_id`
            and `eta` (others are not looked at).

    Returns:
        `dict[str, float]`: η in [0, 1] by the text of the id.

    Raises:
        ValueError: A file can't be read, an annotator is there twice, or an η is not a number in [0, 1].
        TypeError: `source` is of another type.

    Example:
        ```python
        >>> read_annotator_eta({7: 0.9, "anna": 0.5})
        {'7': 0.9, 'anna': 0.5}
        ```
    """
    if isinstance(source, Mapping):
        where, items = "`annotator_eta`", source.items()
    elif isinstance(source, str | Path):
        where, items = f"annotator_eta {str(source)!r}", _read(Path(source).expanduser())
    else:
        raise TypeError(f"`annotator_eta` must be a mapping or a path, got `{type(source).__name__}`")
    eta: dict[str, float] = {}
    for annotator, value in items:
        key = str(annotator)
        if key in eta:
            raise ValueError(f"{where} has annotator {key!r} twice")
        is_number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
        if is_number and np.isnan(value):
            raise ValueError(f"{where}: eta of annotator {key!r} is missing. Fill it in, or leave the annotator out.")
        if not is_number or not 0 <= value <= 1:
            raise ValueError(
                f"{where}: eta of annotator {key!r} must be a number in [0, 1], got {value!r}. Set an annotator who is "
                "worse than chance to 0, or let AnnotatorAwareRewardTrainer learn from the opposite of such labels."
            )
        eta[key] = float(value)
    if not eta:
        raise ValueError(f"{where} has no annotators")
    return eta


def _read(path: Path) -> Iterable[tuple[Any, Any]]:
    name = f"annotator_eta {str(path)!r}"
    if not path.is_file():
        raise ValueError(f"{name}: there is no such file")
    if path.suffix.lower() == ".json":
        try:
            # pairs: a dictionary would keep the last of two equal keys without a word
            found = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=lambda pairs: pairs)
        except ValueError as error:
            raise ValueError(f"{name} is not JSON: {error}") from error
        if not isinstance(found, list) or not all(isinstance(item, tuple) for item in found):
            raise ValueError(f"{name} must hold one JSON object of annotator ids and numbers")
        return found
    if path.suffix.lower() == ".csv":
        try:
            table = pd.read_csv(path, dtype={"annotator_id": str}, keep_default_na=False, na_values={"eta": [""]})
        except ValueError as error:
            raise ValueError(f"{name} can't be read: {error}") from error
        if missing := [column for column in ("annotator_id", "eta") if column not in table.columns]:
            raise ValueError(f"{name} has no column {missing[0]!r}; its columns are {', '.join(table.columns)}")
        return zip(table["annotator_id"], table["eta"], strict=True)
    raise ValueError(f"{name} must be a .json or a .csv file")


def unknown_annotators(annotator_ids: Iterable[str | int], eta: Mapping[str, float]) -> list[str]:
    """Annotators, in the order of their first pair, whose η is not known."""
    return [key for key in dict.fromkeys(map(str, annotator_ids)) if key not in eta]


def eta_of_pairs(annotator_ids: Sequence[str | int], eta: Mapping[str, float], name: str) -> np.ndarray:
    """
    Look up the η of every pair.

    Args:
        annotator_ids (`Sequence[str | int]`): Annotator of every pair.
        eta (`Mapping[str, float]`): η by the text of the id, from [`read_annotator_eta`].
        name (`str`): Name of the dataset in error messages.

    Returns:
        `np.ndarray` of shape `(N,)`.

    Raises:
        ValueError: Annotators are missing in `eta`; the message names them.
    """
    if missing := unknown_annotators(annotator_ids, eta):
        lacking = set(missing)
        rows = [row for row, annotator in enumerate(annotator_ids) if str(annotator) in lacking]
        raise ValueError(
            f"{name} dataset: `annotator_eta` lacks {len(missing)} annotators of column 'annotator_id', who labelled "
            f"{len(rows)} of {len(annotator_ids)} pairs: {describe_annotators(missing)}; first: row {rows[0]}. Add "
            "them, 0 for those who can't be believed, or remove their pairs."
        )
    return np.array([eta[str(annotator)] for annotator in annotator_ids])


def describe_annotators(annotators: Sequence[str]) -> str:
    """Names for a message: the first ten."""
    more = f", … ({len(annotators)} in all)" if len(annotators) > _MOST_NAMES else ""
    return ", ".join(map(repr, annotators[:_MOST_NAMES])) + more
