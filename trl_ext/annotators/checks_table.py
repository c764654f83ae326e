"""From tables of labels to checks: pairs of labels that agree or not."""

import logging
from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import pandas as pd


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checks:
    """
    Checks of all annotators.

    Args:
        checks (`pandas.DataFrame`):
            One row per check: `annotator_id`, `item_id`, `agree` (bool), and `p` (the item's true probability) if known.
        counts (`pandas.DataFrame`):
            One row per annotator in the order of first appearance, indexed by `annotator_id`: `n_labels`, all rows;
            `n_missing`, rows without a label; `n_unchecked`, labels that are part of no check.
        categories (`tuple`):
            The labels that occur, sorted where they can be.
    """

    checks: pd.DataFrame
    counts: pd.DataFrame
    categories: tuple[Hashable, ...]


def self_checks(table: pd.DataFrame) -> Checks:
    """
    Checks by repeated labels of the same annotator for the same item.

    Labels are taken in the order of the rows, the first with the second, the third with the fourth, and so on, so that no
    label is in two checks and agreements of an item are as independent as the model has them. Missing labels are passed
    over.

    Args:
        table (`pandas.DataFrame`):
            One row per label: `item_id`, `annotator_id`, `label`.

    Returns:
        [`Checks`]
    """
    table = _read(table, ("item_id", "annotator_id", "label"))
    labels = table[table["label"].notna()]
    place = labels.groupby(["annotator_id", "item_id"], sort=False).cumcount()
    keys = ["annotator_id", "item_id", "pair"]
    first, second = (labels.assign(pair=place // 2)[place % 2 == side] for side in (0, 1))
    pairs = first.merge(second[[*keys, "label"]], on=keys, suffixes=("", "_again"), validate="one_to_one")
    checks = pairs[["annotator_id", "item_id"]].assign(agree=_equal(pairs["label"], pairs["label_again"]))
    return Checks(checks, _counts(table, labels, checks, 2), _categories(labels["label"]))


def expert_checks(table: pd.DataFrame, expert_table: pd.DataFrame | None = None) -> Checks:
    """
    Checks by labels of an expert.

    An annotator's first label of an item is compared; further labels of the item are not, since they would be compared
    with the same label of the expert.

    Args:
        table (`pandas.DataFrame`):
            One row per label: `item_id`, `annotator_id`, `label`; without `expert_table` also `expert_label` (missing where
            no expert looked) and, if known, `p`.
        expert_table (`pandas.DataFrame`, *optional*):
            One row per item: `item_id`, `expert_label` and, if known, `p`, the true probability that the first response is
            better. Ids that are text in one table and numbers in the other are compared as text: of two CSV files with the
            same ids, one may be read as numbers.

    Returns:
        [`Checks`]
    """
    columns = ("item_id", "annotator_id", "label")
    if expert_table is None:
        table = _read(table, (*columns, "expert_label"), optional=("p",))
    else:
        table = _read(table, columns)
        expert = _read(expert_table, ("item_id", "expert_label"), optional=("p",), name="expert table")
        _same_kind_of_ids(table, expert)
        repeated = expert["item_id"].duplicated().to_numpy()
        if repeated.any():
            row = int(np.flatnonzero(repeated)[0])
            raise ValueError(
                f"column 'item_id' of the expert table has {repeated.sum()} repeated items; first: row {row}, value "
                f"{expert['item_id'].tolist()[row]!r}. Keep one expert label per item."
            )
        table = table.merge(expert, on="item_id", how="left", validate="many_to_one")
    labels = table[table["label"].notna()]
    both = labels[labels["expert_label"].notna()]
    both = both[~both.duplicated(["annotator_id", "item_id"])]
    checks = both[["annotator_id", "item_id"]].assign(agree=_equal(both["label"], both["expert_label"]))
    if "p" in both:
        checks["p"] = _probabilities(both["p"])
    categories = _categories(pd.concat([labels["label"], table["expert_label"].dropna()]))
    return Checks(checks.reset_index(drop=True), _counts(table, labels, checks, 1), categories)


def _same_kind_of_ids(table: pd.DataFrame, expert: pd.DataFrame) -> None:
    """Write the ids of both tables as text if some are text and some are not."""
    ours, theirs = ({_kind(value) for value in frame["item_id"].unique()} for frame in (table, expert))
    if len(ours | theirs) == 1:
        return
    for frame in (table, expert):
        frame["item_id"] = frame["item_id"].map(_as_text).astype(object)
    ids = table["item_id"].drop_duplicates()
    logger.warning(
        "column 'item_id' has %s in the table and %s in the expert table: compared as text, %d of %d items found",
        *(" and ".join(sorted(kinds)) for kinds in (ours, theirs)),
        ids.isin(expert["item_id"]).sum(),
        len(ids),
    )


def _as_text(value: Hashable) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _read(
    table: pd.DataFrame, needed: tuple[str, ...], optional: tuple[str, ...] = (), name: str = "table"
) -> pd.DataFrame:
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"the {name} must be a pandas.DataFrame, got {type(table).__name__}")
    for column in needed:
        if column not in table:
            raise ValueError(
                f"the {name} has no column '{column}'; columns are {', '.join(map(repr, table)) or 'none'}"
            )
    table = table[[*needed, *(column for column in optional if column in table)]].reset_index(drop=True)
    if table.empty:
        raise ValueError(f"the {name} has no rows")
    for column in ("item_id", "annotator_id"):
        if column not in needed:
            continue
        missing = (table[column].isna() | (table[column].astype(str).str.strip() == "")).to_numpy()
        if missing.any():
            raise ValueError(
                f"column '{column}' of the {name} has {missing.sum()} missing values; first: row "
                f"{np.flatnonzero(missing)[0]}, value {table[column][missing].iloc[0]!r}. Every label needs one."
            )
    for column in ("label", "expert_label"):
        if column in table:
            # an empty cell of a CSV file is no label
            blank = table[column].map(lambda value: isinstance(value, str) and not value.strip())
            table[column] = table[column].astype(object).mask(blank.astype(bool), None)
    return table


def _equal(labels: pd.Series, others: pd.Series) -> np.ndarray:
    kinds = {_kind(value) for value in pd.concat([labels, others])}
    if len(kinds) > 1:
        raise TypeError(
            f"labels are of different kinds, {' and '.join(sorted(kinds))}, and would never agree: write them all alike"
        )
    return np.array([a == b for a, b in zip(labels, others, strict=True)], dtype=bool)


def _kind(value: Hashable) -> str:
    return "text" if isinstance(value, str) else "number" if np.isreal(value) else type(value).__name__


def _categories(labels: pd.Series) -> tuple[Hashable, ...]:
    values = list(dict.fromkeys(labels))
    try:
        return tuple(sorted(values))
    except TypeError:
        return tuple(values)


def _counts(table: pd.DataFrame, labels: pd.DataFrame, checks: pd.DataFrame, labels_per_check: int) -> pd.DataFrame:
    annotators = pd.Index(table["annotator_id"].unique(), name="annotator_id")
    rows, given, used = (
        frame["annotator_id"].value_counts().reindex(annotators, fill_value=0) for frame in (table, labels, checks)
    )
    return pd.DataFrame(
        {"n_labels": rows, "n_missing": rows - given, "n_unchecked": given - labels_per_check * used}, index=annotators
    )


def _probabilities(p: pd.Series) -> np.ndarray:
    values = pd.to_numeric(p, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~((values >= 0) & (values <= 1)))
    if bad.size:
        raise ValueError(
            f"column 'p' has {bad.size} values outside [0, 1] on items that an expert labelled; first: row "
            f"{p.index[bad[0]]}, value {p.tolist()[bad[0]]!r}. Leave the column out to count agreements with a known c."
        )
    return values
