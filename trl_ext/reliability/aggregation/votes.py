"""The table of votes: who said what about which pair, checked once and turned into arrays."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components


logger = logging.getLogger(__name__)

DUPLICATE_POLICIES = ("error", "first", "last")
_COLUMNS = ("item_id", "annotator_id", "label")
_RESPONSES = ("response_a", "response_b")


@dataclass(frozen=True)
class Votes:
    """
    Votes as arrays; ids are in order of first appearance.

    Args:
        item_ids (`ndarray` of shape `(I,)`): Ids of the items (pairs of responses).
        annotator_ids (`ndarray` of shape `(A,)`): Ids of the annotators.
        item (`ndarray` of shape `(N,)`): Index into `item_ids` of every vote.
        annotator (`ndarray` of shape `(N,)`): Index into `annotator_ids` of every vote.
        first (`ndarray` of shape `(N,)`): `True` where the first response is preferred.
        response_ids (`ndarray` of shape `(R,)`, *optional*): Ids of the responses, if the table names them.
        pairs (`ndarray` of shape `(I, 2)`, *optional*): Index into `response_ids` of both responses of every item.
        messages (`tuple[str, ...]`): What was done to the table.
    """

    item_ids: np.ndarray
    annotator_ids: np.ndarray
    item: np.ndarray
    annotator: np.ndarray
    first: np.ndarray
    response_ids: np.ndarray | None = None
    pairs: np.ndarray | None = None
    messages: tuple[str, ...] = ()

    @property
    def sign(self) -> np.ndarray:
        """+1 for a vote for the first response, −1 for the second, shape `(N,)`."""
        return np.where(self.first, 1.0, -1.0)

    def per_item(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sums of `values` (N,) over the votes of every item, by default their number, shape `(I,)`."""
        return np.bincount(self.item, values, minlength=len(self.item_ids))

    def per_annotator(self, values: np.ndarray | None = None) -> np.ndarray:
        """Sums of `values` (N,) over the votes of every annotator, by default their number, shape `(A,)`."""
        return np.bincount(self.annotator, values, minlength=len(self.annotator_ids))

    def matrix(self, values: np.ndarray) -> sparse.csr_array:
        """`values` (N,) as a sparse matrix of items × annotators."""
        shape = (len(self.item_ids), len(self.annotator_ids))
        return sparse.csr_array((values, (self.item, self.annotator)), shape=shape)

    def groups(self) -> np.ndarray:
        """Which annotators are linked by items they share, directly or through others: a code for each, shape `(A,)`."""
        shared = self.matrix(np.ones(len(self.item)))
        return connected_components(shared.T @ shared, directed=False)[1]

    def require_overlap(self, method: str) -> None:
        """Raise if no item was labelled by two annotators: then nothing tells a good annotator from a bad one."""
        if len(self.annotator_ids) < 2:
            raise ValueError(
                f"{method} needs votes of at least 2 annotators (3 for standard errors), got only "
                f"{self.annotator_ids[0]!r}: from one annotator nobody's skill can be told."
            )
        if self.per_item().max() < 2:
            raise ValueError(
                f"{method} needs items that several annotators labelled, but each of the {len(self.item_ids)} items "
                "has one vote. Collect second votes, or use gold labels."
            )


def _fail(column: str, what: str, bad: np.ndarray, values: ArrayLike, fix: str) -> None:
    row = int(np.flatnonzero(bad)[0])
    value = np.asarray(values, dtype=object)[row]
    raise ValueError(f"column '{column}' has {int(bad.sum())} {what}; first: row {row}, value {value!r}. {fix}")


def _labels(column: pd.Series) -> np.ndarray:
    missing = column.isna().to_numpy()
    allowed = "Allowed are 1 (first response preferred) and 0 (second)."
    if missing.any():
        _fail("label", "missing values", missing, column, f"{allowed} Leave out votes that were not given.")
    is_number = np.array([isinstance(value, bool | int | float | np.number | np.bool_) for value in column.tolist()])
    if not is_number.all():
        _fail("label", "values that are not numbers", ~is_number, column, allowed)
    labels = column.to_numpy(dtype=np.float64)
    bad = (labels != 0) & (labels != 1)
    if bad.any():
        _fail("label", "values other than 0 and 1", bad, column, f"{allowed} Leave out votes for a tie.")
    return labels == 1


def read_votes(
    votes: pd.DataFrame | Mapping[str, ArrayLike] | Votes, *, duplicates: str = "error", responses: bool = False
) -> Votes:
    """
    Check a table of votes and turn it into arrays.

    Args:
        votes (`DataFrame`, mapping of columns or [`Votes`]):
            One row per vote. Columns `item_id`, `annotator_id` and `label` (1: the first response of the item is
            preferred, 0: the second); others are ignored, except `response_a` and `response_b` if asked for.
        duplicates (`str`, *optional*, defaults to `"error"`):
            What to do when an annotator labelled an item more than once: `"error"`, or keep the `"first"` or the
            `"last"` of these votes (the number left out is logged and kept in the result's `messages`).
        responses (`bool`, *optional*, defaults to `False`):
            Whether to read `response_a` and `response_b`, the ids of the two responses of the item.

    Returns:
        [`Votes`]

    Raises:
        `ValueError`: Missing columns, no rows, missing values, labels other than 0 and 1, several votes of one
            annotator for one item, an item with different responses, a response compared with itself.

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import read_votes
        >>> read_votes({"item_id": ["p1", "p1"], "annotator_id": ["ann", "bob"], "label": [1, 2]})
        Traceback (most recent call last):
            ...
        ValueError: column 'label' has 1 values other than 0 and 1; first: row 1, value 2. Allowed are 1 (first response preferred) and 0 (second). Leave out votes for a tie.
        ```
    """
    if duplicates not in DUPLICATE_POLICIES:
        raise ValueError(f"`duplicates` must be one of {', '.join(DUPLICATE_POLICIES)}, got {duplicates!r}")
    if isinstance(votes, Votes):
        if responses and votes.pairs is None:
            raise ValueError("these votes were read without responses; use read_votes(..., responses=True)")
        return votes
    needed = [*_COLUMNS, *(_RESPONSES if responses else ())]
    for column in needed:
        if column not in votes:
            raise ValueError(f"votes have no column '{column}'; columns are {', '.join(map(repr, votes))}")
    lengths = {column: np.shape(votes[column]) for column in needed}
    if len(set(lengths.values())) > 1 or len(lengths["label"]) != 1:
        raise ValueError(f"columns must all have shape (N,), got {lengths}")
    table = pd.DataFrame({column: pd.Series(votes[column]).reset_index(drop=True) for column in needed})
    if table.empty:
        raise ValueError("votes have no rows")
    for column in needed:
        missing = (table[column].isna() | (table[column].astype(str).str.strip() == "")).to_numpy()
        if column != "label" and missing.any():
            _fail(column, "missing or empty values", missing, table[column], "Every vote needs one.")
    table["label"] = _labels(table["label"])

    messages = []
    repeated = table.duplicated(["item_id", "annotator_id"], keep="last" if duplicates == "last" else "first")
    if repeated.any():
        if duplicates == "error":
            row = int(np.flatnonzero(repeated)[0])
            item, annotator = table.loc[row, ["item_id", "annotator_id"]]
            raise ValueError(
                f"{int(repeated.sum())} votes repeat an earlier (item_id, annotator_id); first: row {row}, item "
                f'{item!r}, annotator {annotator!r}. Set duplicates="first" or "last" to keep one vote of each.'
            )
        messages.append(f"left out {int(repeated.sum())} repeated votes, kept the {duplicates} of each annotator")
        logger.warning(messages[-1])
        table = table[~repeated]

    item, item_ids = pd.factorize(table["item_id"])
    annotator, annotator_ids = pd.factorize(table["annotator_id"])
    arrays = {
        "item_ids": np.asarray(item_ids, dtype=object),
        "annotator_ids": np.asarray(annotator_ids, dtype=object),
        "item": item,
        "annotator": annotator,
        "first": table["label"].to_numpy(dtype=bool),
    }
    if responses:
        arrays |= _read_responses(table, item)
    return Votes(**arrays, messages=tuple(messages))


def _read_responses(table: pd.DataFrame, item: np.ndarray) -> dict[str, np.ndarray]:
    sides = [table[column] for column in _RESPONSES]
    same = (sides[0] == sides[1]).to_numpy()
    if same.any():
        _fail("response_b", "values equal to column 'response_a'", same, sides[1], "Remove these rows.")
    codes, response_ids = pd.factorize(pd.concat(sides, ignore_index=True))
    codes = codes.reshape(2, -1).T
    first_rows = np.unique(item, return_index=True)[1]
    pairs = codes[first_rows]
    differs = (codes != pairs[item]).any(axis=1)
    if differs.any():
        what = "items whose responses differ from an earlier row of the same item"
        _fail("item_id", what, differs, table["item_id"], "An item is one pair in one order: swap these rows back.")
    return {"response_ids": np.asarray(response_ids, dtype=object), "pairs": pairs}
