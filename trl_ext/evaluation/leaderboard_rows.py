"""Rows that several models have in common, with the weights by which they make the benchmark's figure."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .model_result import ModelResult
from .rewardbench import EXAMPLE_COUNTS, SECTIONS


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CommonRows:
    """
    Rows that all of some models have.

    Args:
        scores (`dict[str, numpy.ndarray]`):
            For each model the score of every common row, shape `(N,)`.
        strata (`numpy.ndarray` of shape `(N,)`):
            Stratum of every row.
        weights (`dict[str, float]`):
            Weight of every stratum.
        clusters (`numpy.ndarray` of shape `(N,)`):
            Rows of one cluster are not independent.
        left_out (`dict[str, int]`):
            For each model the number of its rows that are not common.
    """

    scores: dict[str, np.ndarray]
    strata: np.ndarray
    weights: dict[str, float]
    clusters: np.ndarray
    left_out: dict[str, int]

    @property
    def n(self) -> int:
        """Number of common rows."""
        return len(self.strata)

    def figure(self, model: str) -> float:
        """The weighted mean of a model's scores over the common rows."""
        means = {name: self.scores[model][self.strata == name].mean() for name in self.weights}
        return float(np.average(list(means.values()), weights=[self.weights[name] for name in means]))


def common_rows(results: Sequence[ModelResult]) -> CommonRows | None:
    """
    Match the rows of models on one benchmark by id; where texts are known, they must be equal too.

    Rows that a model lacks, or has with other texts, are left out for all, with a warning.

    Args:
        results (`Sequence[ModelResult]`):
            Results on one benchmark; those without rows are passed over.

    Returns:
        [`CommonRows`] or `None` if fewer than two models have rows.

    Raises:
        ValueError: models have no row in common.
    """
    known = [result for result in results if result.rows is not None]
    if len(known) < 2:
        return None
    tables = {result.model: result.rows.set_index("id") for result in known}
    first = tables[known[0].model]
    common = first.index
    for table in tables.values():
        # a row that marks no response as right is worth nothing, neither 0 nor 1
        common = common[common.isin(table.index[table["score"].notna()])]
    with_texts = [table.loc[common, "texts_hash"] for table in tables.values() if "texts_hash" in table]
    if len(with_texts) > 1:
        equal = np.all([texts.to_numpy() == with_texts[0].to_numpy() for texts in with_texts[1:]], axis=0)
        common = common[equal]
    if not len(common):
        raise ValueError(
            f"{known[0].benchmark}: {', '.join(tables)} have no row in common: they were not evaluated on the same data"
        )
    left_out = {model: len(table) - len(common) for model, table in tables.items()}
    if any(left_out.values()):
        hashes = {result.data_hash for result in known if result.data_hash}
        logger.warning(
            "%s: the models were evaluated on different rows%s; they are compared on the %d that all have. Left out: %s",
            *(known[0].benchmark, " (the hashes of their data differ)" if len(hashes) > 1 else "", len(common)),
            ", ".join(f"{model} {count}" for model, count in left_out.items()),
        )
    rows = first.loc[common]
    strata, weights = _strata(rows)
    cluster = rows["cluster"].to_numpy() if "cluster" in rows else rows.index.to_numpy()
    return CommonRows(
        scores={model: table.loc[common, "score"].to_numpy(dtype=np.float64) for model, table in tables.items()},
        strata=strata,
        weights=weights,
        clusters=cluster,
        left_out=left_out,
    )


def _strata(rows: pd.DataFrame) -> tuple[np.ndarray, Mapping[str, float]]:
    subsets = rows["subset"].astype(str)
    if set(subsets) <= set(EXAMPLE_COUNTS):
        weights = {}
        for members in SECTIONS.values():
            present = [name for name in members if (subsets == name).any()]
            total = sum(EXAMPLE_COUNTS[name] for name in present)
            weights |= {name: EXAMPLE_COUNTS[name] / total for name in present}
        return subsets.to_numpy(), weights
    names = rows["section"].astype(str) if "section" in rows else pd.Series("", index=rows.index)
    names = names.where(~names.isin(["", "nan", "None"]), subsets)
    return names.to_numpy(), dict.fromkeys(names, 1.0)
