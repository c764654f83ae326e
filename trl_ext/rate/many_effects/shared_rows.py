"""Rows that several reward models scored, in one order."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..chains.reward_chains import RewardChains


logger = logging.getLogger(__name__)


def align_chains(
    chains: Mapping[str, RewardChains], intersect: bool = False
) -> tuple[dict[str, RewardChains], dict[str, int]]:
    """
    Rewards of several reward models, row by row of the same texts.

    Args:
        chains (`Mapping[str, RewardChains]`):
            By reward model. All have ids, or none has: then rows are matched by their order.
        intersect (`bool`, *optional*, defaults to `False`):
            Keep the ids that all have. Otherwise different ids are an error.

    Returns:
        `tuple[dict[str, RewardChains], dict[str, int]]`: in the order of the first, and how many rows each has that others
        have not.

    Raises:
        ValueError: Ids differ, or the attribute or the cluster of a row does; it is named.
    """
    first, reference = next(iter(chains.items()))
    with_ids = {name: each.ids is not None for name, each in chains.items()}
    if len(set(with_ids.values())) > 1:
        raise ValueError(f"all reward models must have ids of rows, or none; they have {with_ids}")
    if reference.ids is None:
        lengths = {name: len(each) for name, each in chains.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(
                f"without ids, all reward models must have the same rows in the same order, got {lengths} rows"
            )
        logger.warning("the tables have no ids: rows are matched by their order")
        aligned = dict(chains)
    else:
        aligned = _by_id(chains, intersect)
    reference = aligned[first]
    for name, each in aligned.items():
        _check_same(first, reference, name, each)
    return aligned, {name: len(chains[name]) - len(each) for name, each in aligned.items()}


def _by_id(chains: Mapping[str, RewardChains], intersect: bool) -> dict[str, RewardChains]:
    indexes = {name: pd.Index(np.asarray(each.ids)) for name, each in chains.items()}
    first = next(iter(chains))
    common = indexes[first]
    for name, index in indexes.items():
        if not intersect:
            for left, right in ((first, name), (name, first)):
                lacking = np.flatnonzero(indexes[right].get_indexer(indexes[left]) < 0)
                if lacking.size:
                    raise ValueError(
                        f"{right!r} has not scored {lacking.size} rows of {left!r}; first: id "
                        f"{indexes[left][lacking[0]]!r}. Compare on the rows that all have with intersect=True: the others "
                        "are counted."
                    )
        common = common[index.get_indexer(common) >= 0]
    if not len(common):
        raise ValueError(f"{', '.join(map(repr, chains))} have no row in common")
    lost = {name: len(index) - len(common) for name, index in indexes.items() if len(index) > len(common)}
    if lost:
        logger.warning("compared on %d rows that all have; left out: %s", len(common), lost)
    return {name: each.select(indexes[name].get_indexer(common)) for name, each in chains.items()}


def _check_same(first: str, reference: RewardChains, name: str, each: RewardChains) -> None:
    if reference.steps != each.steps:
        raise ValueError(
            f"{first!r} has rewards of {reference.steps} rewrites of every text, {name!r} of {each.steps}"
        )
    different = np.flatnonzero(reference.w != each.w)
    if different.size:
        row = int(different[0])
        raise ValueError(
            f"{first!r} and {name!r} differ in w in {different.size} rows; first: row {row}{reference._name(row)}. They "
            "must be scores of the same texts."
        )
    if (reference.clusters is None) != (each.clusters is None):
        raise ValueError(f"{first!r} and {name!r}: both must have clusters, or none")
    if reference.clusters is not None:
        different = np.flatnonzero(np.asarray(reference.clusters != each.clusters))
        if different.size:
            row = int(different[0])
            raise ValueError(
                f"{first!r} and {name!r} differ in the cluster of {different.size} rows; first: row "
                f"{row}{reference._name(row)}, {reference.clusters[row]!r} and {each.clusters[row]!r}"
            )
