"""From checked battles to the rows of a regression."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import sparse

from .battles import WINNERS
from .paired_comparison import Comparisons, check_comparable


logger = logging.getLogger(__name__)

_DENSE = 100_000  # entries of a design up to which dense algebra is quicker than sparse


@dataclass(frozen=True)
class NumberedBattles:
    """N checked battles: numbers of the two models, score of the first, number of the cluster; all of shape (N,)."""

    models: list[str]
    first: np.ndarray
    second: np.ndarray
    scores: np.ndarray
    clusters: np.ndarray | None


def number_battles(table: pd.DataFrame, clusters: str | ArrayLike | None) -> NumberedBattles:
    """
    Names as numbers, in alphabetical order.

    Args:
        table (`pandas.DataFrame`): N checked battles.
        clusters (`str` or `array_like` of shape `(N,)`, *optional*): A column of labels, or labels.

    Raises:
        ValueError: There is no such column, labels are missing or of another number, or all are the same.
    """
    models = sorted(set(table["model_a"]) | set(table["model_b"]))
    number = {model: row for row, model in enumerate(models)}
    first, second = (table[column].map(number).to_numpy(np.int64) for column in ("model_a", "model_b"))
    return NumberedBattles(
        models, first, second, table["winner"].map(WINNERS).to_numpy(np.float64), _battle_clusters(table, clusters)
    )


def _battle_clusters(table: pd.DataFrame, clusters: str | ArrayLike | None) -> np.ndarray | None:
    if clusters is None:
        return None
    if isinstance(clusters, str):
        if clusters not in table.columns:
            raise ValueError(
                f"battles have no column {clusters!r}; their columns are {', '.join(map(str, table.columns))}"
            )
        labels = table[clusters]
    else:
        labels = pd.Series(list(np.asarray(clusters, dtype=object)))
    if len(labels) != len(table):
        raise ValueError(f"clusters must have one label per battle, shape ({len(table)},), got {len(labels)} labels")
    missing = np.flatnonzero(labels.isna())
    if missing.size:
        raise ValueError(f"clusters has {missing.size} missing labels; first: row {missing[0]}")
    codes, unique = pd.factorize(labels)  # without sorting, which takes seconds for a million texts
    if len(unique) < 2:
        raise ValueError(f"all battles are in one cluster, {str(unique[0])!r}: uncertainty needs two or more")
    return codes


def build_comparisons(
    data: NumberedBattles, features: np.ndarray, ridge: float
) -> tuple[Comparisons, tuple[np.ndarray, np.ndarray], np.ndarray | None]:
    """
    The regression, numbers of the two models of its rows, and numbers of their clusters.

    Args:
        data ([`NumberedBattles`]): N battles.
        features (`np.ndarray` of shape `(N, K)`): Further regressors; K may be 0.
        ridge (`float`): Ridge on all parameters, ratings in units of 400 points.

    Raises:
        ValueError: Without ridge, the ratings have no finite maximum likelihood.
    """
    m = len(data.models)
    first, second, scores, codes = data.first, data.second, data.scores, data.clusters
    if not ridge:
        check_comparable(first, second, scores, data.models)
    elif features.shape[1]:
        _warn_of_shrunken(data)
    counts = np.ones(len(scores))
    if codes is None and not features.shape[1]:  # equal battles are one row: a million fit in milliseconds
        cells, counts = np.unique((first * m + second) * 3 + (2 * scores).astype(np.int64), return_counts=True)
        first, second, scores = cells // (3 * m), cells // 3 % m, cells % 3 / 2
        counts, features = counts.astype(np.float64), np.empty((len(scores), 0))
    rows = np.arange(len(scores))
    unit = np.full(len(scores), np.log(10))  # ratings in units of 400 points, which the ridge acts on
    models = sparse.csr_array(
        (np.concatenate([unit, -unit]), (np.tile(rows, 2), np.concatenate([first, second]))), shape=(len(scores), m)
    )
    design = sparse.csr_array(sparse.hstack([models, sparse.csr_array(features)]))
    if design.shape[0] * design.shape[1] <= _DENSE:
        design = design.toarray()
    return Comparisons(design, scores, counts, ridge), (first, second), codes


def _warn_of_shrunken(data: NumberedBattles) -> None:
    try:
        check_comparable(data.first, data.second, data.scores, data.models)
    except ValueError as error:
        logger.warning("Only the ridge keeps these ratings finite; their size depends on it. %s", error)
