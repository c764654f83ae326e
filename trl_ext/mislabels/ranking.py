"""How well evidence ranks labels that are known to be wrong before right ones, and which evidence does so better."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..evaluation import Estimate, area_under_curve, cluster_bootstraps, proportion_estimate


class _Ranking:
    """Weighted counts of labels and of wrong labels down a ranking; equal scores are one block."""

    def __init__(self, scores: ArrayLike, wrong: np.ndarray):
        scores = np.asarray(scores, dtype=np.float64)
        self.order = np.argsort(-scores, kind="stable")
        self.starts = np.flatnonzero(np.diff(scores[self.order], prepend=np.inf) != 0)
        self.wrong = wrong[self.order].astype(np.float64)

    def blocks(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weight of all labels and of wrong ones in every block, `(B, G)` each."""
        ordered = weights[:, self.order]
        sums = np.add.reduceat(ordered, self.starts, axis=1)
        return sums, np.add.reduceat(ordered * self.wrong, self.starts, axis=1)

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        labels, hits = self.blocks(weights)
        found, seen = hits.cumsum(axis=1), labels.cumsum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = np.where(seen > 0, found / seen, 0.0)
            return (hits * precision).sum(axis=1) / found[:, -1]

    def precision(self, weights: np.ndarray, share: float) -> np.ndarray:
        labels, hits = self.blocks(weights)
        seen = labels.cumsum(axis=1)
        wanted = share * seen[:, -1:]
        # of the block at the boundary its average part: which of equals come first is arbitrary
        taken = np.clip(wanted - (seen - labels), 0, labels)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(labels > 0, taken / labels, 0.0)
        return (hits * part).sum(axis=1) / wanted[:, 0]


def average_precision(scores: ArrayLike, wrong: ArrayLike, weights: ArrayLike | None = None) -> np.ndarray | float:
    r"""
    Average precision of a ranking, \( \sum_k P(k)\,\Delta R(k) \); equal scores are one threshold.

    Args:
        scores (`array_like` of shape `(N,)`): Higher is more suspicious.
        wrong (`array_like` of shape `(N,)`): 1 for a wrong label.
        weights (`array_like` of shape `(B, N)`, *optional*): How often each row occurs, in each of B resamples.

    Returns:
        `float`, or `np.ndarray` of shape `(B,)` with weights.

    Example:
        ```python
        >>> float(average_precision([0.9, 0.8, 0.1], [1, 0, 1]))  # (1/1 + 2/3) / 2
        0.8333333333333333
        ```
    """
    ranking = _Ranking(scores, np.asarray(wrong) == 1)
    if weights is None:
        return ranking.average_precision(np.ones((1, len(ranking.wrong))))[0]
    return ranking.average_precision(np.asarray(weights, dtype=np.float64))


def precision_at(
    scores: ArrayLike, wrong: ArrayLike, k: int, clusters: ArrayLike | None = None, level: float = 0.95
) -> Estimate:
    """
    Share of wrong labels among the k most suspicious ones.

    Of several labels with the score of the k-th, each counts as their average.

    Args:
        scores (`array_like` of shape `(N,)`): Higher is more suspicious.
        wrong (`array_like` of shape `(N,)`): 1 for a wrong label.
        k (`int`): Number of labels looked at, from 1 to N.
        clusters (`array_like` of shape `(N,)`, *optional*): What is not independent, such as rows of one prompt.
        level (`float`, *optional*, defaults to `0.95`): Confidence level.

    Returns:
        [`~trl_ext.evaluation.Estimate`]: Wilson interval of the k labels, clustered if asked for.
    """
    scores, wrong = np.asarray(scores, dtype=np.float64), np.asarray(wrong, dtype=np.float64)
    if not 1 <= k <= len(scores):
        raise ValueError(f"k must be from 1 to the number of labels, {len(scores)}, got {k}")
    top = np.argsort(-scores, kind="stable")[:k]
    tied = scores == scores[top[-1]]
    values = wrong.copy()
    values[tied] = wrong[tied].mean()
    return proportion_estimate(values[top], None if clusters is None else np.asarray(clusters)[top], level)


def compare_evidence(
    evidence: Mapping[str, ArrayLike],
    wrong: ArrayLike,
    clusters: ArrayLike,
    *,
    reference: str,
    share: float = 0.1,
    resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> pd.DataFrame:
    """
    How well each kind of evidence finds the wrong labels, and by how much it differs from a reference, paired.

    Args:
        evidence (`Mapping[str, array_like]`): Scores `(N,)` by name, higher being more suspicious.
        wrong (`array_like` of shape `(N,)`): 1 for a wrong label; both kinds must occur.
        clusters (`array_like` of shape `(N,)`): What is drawn together in the bootstrap: rows of one prompt.
        reference (`str`): Evidence that the others are compared with.
        share (`float`, *optional*, defaults to `0.1`): Share of labels at which precision is measured.
        resamples, seed, level: Of the bootstrap, as in [`~trl_ext.evaluation.cluster_bootstraps`].

    Returns:
        `pandas.DataFrame`: one row per evidence and measure (`precision`, `lift`: precision over the base rate,
        `average_precision`, `auroc`), with the columns of an estimate, and `difference`, `difference_low`,
        `difference_high` from the reference on the same resamples (missing for the reference, for `lift` and `auroc`).
    """
    wrong = np.asarray(wrong) == 1
    rankings = {name: _Ranking(scores, wrong) for name, scores in evidence.items()}
    names = [reference, *(name for name in rankings if name != reference)]

    def statistics(weights: np.ndarray) -> np.ndarray:
        base = weights @ wrong / weights.sum(axis=1)
        precision = np.stack([rankings[name].precision(weights, share) for name in names], axis=1)
        average = np.stack([rankings[name].average_precision(weights) for name in names], axis=1)
        parts = [precision, precision / base[:, None], average]
        return np.concatenate([*parts, precision[:, 1:] - precision[:, :1], average[:, 1:] - average[:, :1]], axis=1)

    found = cluster_bootstraps(statistics, clusters, resamples=resamples, seed=seed, level=level)
    count = len(names)
    rows = []
    for i, name in enumerate(names):
        area = area_under_curve(evidence[name], wrong, clusters, level=level, resamples=resamples, seed=seed)
        estimates = {"precision": found[i], "lift": found[count + i], "average_precision": found[2 * count + i]}
        for measure, estimate in {**estimates, "auroc": area}.items():
            row = {"evidence": name, "measure": measure, "share": share, **estimate.to_dict()}
            if i and measure in ("precision", "average_precision"):
                offset = 3 * count + i - 1 + (count - 1 if measure == "average_precision" else 0)
                difference = found[offset]
                row |= {"difference": difference.value, "difference_low": difference.ci_low}
                row |= {"difference_high": difference.ci_high}
            rows.append(row)
    columns = ("difference", "difference_low", "difference_high")
    table = pd.DataFrame(rows)
    return table.reindex(columns=[*(name for name in table if name not in columns), *columns])


def precision_curve(
    evidence: Mapping[str, ArrayLike], wrong: ArrayLike, clusters: ArrayLike, *, shares: Sequence[float], level: float
) -> pd.DataFrame:
    """
    Precision at several numbers of labels, for a plot: columns `evidence`, `share`, `k`, and those of an estimate.

    Args:
        evidence (`Mapping[str, array_like]`): Scores `(N,)` by name.
        wrong (`array_like` of shape `(N,)`): 1 for a wrong label.
        clusters (`array_like` of shape `(N,)`): What is not independent.
        shares (`Sequence[float]`): Shares of the labels, in (0, 1].
        level (`float`): Confidence level of [`precision_at`].
    """
    n = len(np.asarray(wrong))
    rows = []
    for name, scores in evidence.items():
        for k in sorted({max(1, round(share * n)) for share in shares}):
            estimate = precision_at(scores, wrong, k, clusters, level)
            rows.append({"evidence": name, "share": k / n, "k": k, **estimate.to_dict()})
    return pd.DataFrame(rows)
