"""Rows that several models have in common, with the weights by which they make the benchmark's figure."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..benchmarks.rewardbench import EXAMPLE_COUNTS, PRIOR, PRIOR_SETS, SECTIONS
from ..results.model_result import ModelResult
from ..results.prior_sets import core_figure
from ..results.row_matching import matched_rows


logger = logging.getLogger(__name__)

# Rows -> stratum of every row, and weight of every stratum
Weighting = Callable[[pd.DataFrame], tuple[np.ndarray, dict[str, float]]]
_PRECISION = 1e-6


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


def common_rows(results: Sequence[ModelResult]) -> CommonRows | None:
    """
    Match the rows of models on one benchmark, see [`matched_rows`]; where texts are known, they must be equal too.

    Rows that a model lacks, or has with other texts, are left out for all, with a warning.

    Args:
        results (`Sequence[ModelResult]`):
            Results on one benchmark; those without rows are passed over.

    Returns:
        [`CommonRows`] or `None` if fewer than two models have rows.

    Raises:
        ValueError: models have no row in common, or a file has no ids and its rows can't be told otherwise.
    """
    known = [result for result in results if result.rows is not None]
    if len(known) < 2:
        return None
    tables = matched_rows(known)
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
    weigh = _weighting(known)
    strata, weights = weigh(rows)
    counted = np.isin(strata, list(weights))
    common, rows, strata = common[counted], rows[counted], strata[counted]
    clustered = next((table.loc[common, "cluster"] for table in tables.values() if "cluster" in table), common)
    return CommonRows(
        scores={model: table.loc[common, "score"].to_numpy(dtype=np.float64) for model, table in tables.items()},
        strata=strata,
        weights=weights,
        clusters=clustered.to_numpy(),
        left_out=left_out,
    )


def _weighting(results: Sequence[ModelResult]) -> Weighting:
    """By which weights rows make the overall figure: the first of the known ways that gives it for all models."""
    figures = [(result.rows, core_figure(result)) for result in results if result.overall is not None]
    prior = [result.model for result in results if PRIOR in result.sections and result.overall is not None]
    if prior:
        logger.warning(
            "the overall figure of %s counts %s, which are other rows: compared are the means of the other sections",
            *(", ".join(prior), PRIOR),
        )
    if not figures:
        return _by_subset
    for weigh in (_by_example_counts, _by_prior_sets, _by_section, _by_subset, _alike):
        try:
            if all(abs(_mean(rows, weigh) - value) < _PRECISION for rows, value in figures):
                return weigh
        except KeyError:  # subsets of another benchmark
            continue
    logger.warning(
        "%s: the overall figure is no weighted mean of what rows are worth; compared are means of the sections' row scores, "
        "such as %.4f of %s, whose overall figure is %.4f",
        *(results[0].benchmark, _mean(figures[0][0], _by_section), results[0].model, figures[0][1]),
    )
    return _by_section


def _mean(rows: pd.DataFrame, weigh: Weighting) -> float:
    rows = rows[rows["score"].notna()]
    strata, weights = weigh(rows)
    means = rows["score"].groupby(strata).mean()
    return float(np.average([means[name] for name in weights], weights=list(weights.values())))


def _by_example_counts(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, float]]:
    """RewardBench: sections alike, in them subsets by the benchmark's counts."""
    subsets = rows["subset"].astype(str).to_numpy()
    present = dict.fromkeys(subsets)
    totals = {
        section: sum(EXAMPLE_COUNTS[name] for name in members if name in present)
        for section, members in SECTIONS.items()
    }
    of = {name: section for section, members in SECTIONS.items() for name in members}
    return subsets, {name: EXAMPLE_COUNTS[name] / totals[of[name]] for name in present}


def _by_prior_sets(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, float]]:
    """Preference test sets: those that RewardBench counts, alike."""
    subsets = rows["subset"].astype(str).to_numpy()
    weights = {name: 1.0 for name in PRIOR_SETS if name in subsets}
    if not weights:
        raise KeyError("no prior set")
    return subsets, weights


def _by_section(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, float]]:
    """Sections alike; rows without section by subset."""
    names = rows["subset"].astype(str)
    if "section" in rows:
        sections = rows["section"].astype(str)
        names = sections.where(~sections.isin(["", "nan", "None"]), names)
    return names.to_numpy(), dict.fromkeys(names, 1.0)


def _by_subset(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, float]]:
    subsets = rows["subset"].astype(str)
    return subsets.to_numpy(), dict.fromkeys(subsets, 1.0)


def _alike(rows: pd.DataFrame) -> tuple[np.ndarray, dict[str, float]]:
    return np.full(len(rows), "all"), {"all": 1.0}
