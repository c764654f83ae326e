"""Rows of several models brought together: by subset and id; by text or position where a file has no ids."""

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from .model_result import ModelResult


logger = logging.getLogger(__name__)


def matched_rows(results: Sequence[ModelResult]) -> dict[str, pd.DataFrame]:
    """
    Rows of models, indexed so that rows of one name are the same row of the benchmark.

    Rows are the same if subset and id are. Ids that are numbers of rows (a file had none) say nothing: such rows are matched
    by the texts that the models read, if half of them agree at least, else by position if the subsets of all rows are the
    same in the same order.

    Args:
        results (`Sequence[ModelResult]`):
            Results on one benchmark, all with rows.

    Returns:
        `dict[str, pandas.DataFrame]`: by model; the index is unique.

    Raises:
        ValueError: a file has no ids, and its rows can't be told otherwise.
    """
    # of files without ids the first may lend its numbers to the others
    named = [result for result in results if not result.numbered] or list(results[:1])
    tables = {
        result.model: result.rows if any(result is other for other in named) else _with_ids(result, named)
        for result in results
    }
    bare = any((table["subset"].astype(str) == "").all() for table in tables.values())
    tables = {model: table.set_axis(_keys(table, bare)) for model, table in tables.items()}
    if not bare:
        _warn_of_other_subsets(tables)
    return tables


def _keys(table: pd.DataFrame, bare: bool) -> list[str]:
    """`subset/id`; the id alone where a file knows no subsets."""
    subsets, names = table["subset"].astype(str).tolist(), table["id"].astype(str).tolist()
    plain = [name.removeprefix(f"{subset}/") for subset, name in zip(subsets, names, strict=True)]
    keys = plain if bare else [f"{subset}/{name}" for subset, name in zip(subsets, plain, strict=True)]
    return keys if len(set(keys)) == len(keys) else names


def _warn_of_other_subsets(tables: dict[str, pd.DataFrame]) -> None:
    (first, reference), *others = tables.items()
    subset_of = reference.set_index("id")["subset"]
    for model, table in others:
        both = table[table["id"].isin(subset_of.index)]
        apart = both[both["subset"].astype(str).to_numpy() != subset_of[both["id"]].astype(str).to_numpy()]
        if len(apart):
            row = apart.iloc[0]
            logger.warning(
                "%d ids are of another subset of %s than of %s, and other rows, such as %r: %s and %s",
                *(len(apart), model, first, row["id"], row["subset"], subset_of[row["id"]]),
            )


def _with_ids(result: ModelResult, named: Sequence[ModelResult]) -> pd.DataFrame:
    """Rows with the ids of the rows of others that they are."""
    count = len(result.rows)
    found = {other.model: _same_texts(result.rows, other.rows) for other in named}
    for other in named:
        same = found[other.model]
        if same and 2 * len(same) >= min(count, len(other.rows)):
            logger.info(
                "%s has no ids: %d of %d rows have the texts of %s", result.source, len(same), count, other.model
            )
            names = other.rows["id"].astype(str).tolist()
            ids = [names[same[row]] if row in same else f"unknown row {row}" for row in range(count)]
            return result.rows.assign(id=ids)
    alike = [other for other in named if _same_order(result.rows, other.rows)]
    orders = {tuple(other.rows["id"].astype(str)) for other in alike}
    moved = any(row != position for other in alike for row, position in found[other.model].items())
    if len(orders) != 1 or moved:
        why = "of several orders" if len(orders) > 1 else "with texts in another order" if moved else "in that order"
        raise ValueError(
            f"{result.source} has no ids, its texts are not those of other models, and "
            f"{'there are rows ' + why if alike else 'no other model has its subsets ' + why}: which rows are the same "
            f"can't be told. Leave {result.model} out, or evaluate it here"
        )
    logger.warning(
        "%s has no ids, and texts of its own: rows are matched by position with those of %s, whose subsets have the same "
        "order",
        *(result.source, ", ".join(other.model for other in alike)),
    )
    return result.rows.assign(id=alike[0].rows["id"].to_numpy())


def _same_order(rows: pd.DataFrame, others: pd.DataFrame) -> bool:
    return rows["subset"].astype(str).tolist() == others["subset"].astype(str).tolist()


def _same_texts(rows: pd.DataFrame, others: pd.DataFrame) -> dict[int, int]:
    """Positions of rows and of the others' rows of the same subset with the same texts, where these are there once."""
    if "read_hash" not in rows or "read_hash" not in others:
        return {}
    places = [_places(table) for table in (rows, others)]
    return {places[0][key]: places[1][key] for key in places[0] if key in places[1]}


def _places(table: pd.DataFrame) -> dict[tuple[str, str], int]:
    keys = pd.MultiIndex.from_frame(table[["subset", "read_hash"]].astype(str))
    return {keys[position]: int(position) for position in np.flatnonzero(~keys.duplicated(keep=False))}
