"""How often a reward model prefers one model to another on the same prompts."""

from dataclasses import dataclass

import numpy as np

from .paired_outcomes import TIES


_BLOCK = 1 << 14  # prompts at a time: their scores stay in the processor's cache


@dataclass(frozen=True)
class PairCounts:
    """
    Outcomes of every ordered pair of M models on N prompts.

    Args:
        n (`int`):
            Prompts.
        wins (`np.ndarray` of shape `(M, M)`):
            Entry i, j: prompts where model i has the higher score. Its transpose are the losses.
        ties (`np.ndarray` of shape `(M, M)`):
            Prompts where both scores are equal.
    """

    n: int
    wins: np.ndarray
    ties: np.ndarray

    def win_rates(self, ties: str) -> np.ndarray:
        """Win rates `(M, M)`, a tie counting as a `"loss"` or as `"half"` a win; the diagonal means nothing."""
        return (self.wins + TIES[ties] * self.ties) / self.n

    def variances(self, ties: str) -> np.ndarray:
        """Variance `(M, M)` of what one prompt is worth, divided by N and not by N − 1."""
        rate = self.win_rates(ties)
        # a tie of one half has a square of one quarter
        return np.maximum(rate * (1 - rate) - TIES[ties] * (1 - TIES[ties]) * self.ties / self.n, 0.0)


def count_pairs(scores: np.ndarray) -> PairCounts:
    """
    Count wins and ties of all pairs, exactly: scores are compared, never subtracted.

    Args:
        scores (`np.ndarray` of shape `(N, M)`):
            Finite scores.
    """
    n, m = scores.shape
    wins, ties = np.zeros((m, m), np.int64), np.zeros((m, m), np.int64)
    for start in range(0, n, _BLOCK):
        columns = np.ascontiguousarray(scores[start : start + _BLOCK].T)
        for i in range(m - 1):
            others = columns[i + 1 :]
            above = np.count_nonzero(columns[i] > others, axis=1)
            equal = np.count_nonzero(columns[i] == others, axis=1)
            wins[i, i + 1 :] += above
            wins[i + 1 :, i] += columns.shape[1] - above - equal
            ties[i, i + 1 :] += equal
            ties[i + 1 :, i] += equal
    return PairCounts(n, wins, ties)


def clustered_variances(scores: np.ndarray, codes: np.ndarray, units: int, ties: str) -> np.ndarray:
    r"""
    Variances `(M, M)` of the win rates when prompts come in clusters: CR1,
    \( \frac{G}{G-1} \sum_g (\sum_{i \in g} (v_i - w))^2 / N^2 \), the limit of a bootstrap that draws whole clusters.

    Args:
        scores (`np.ndarray` of shape `(N, M)`):
            Finite scores.
        codes (`np.ndarray` of shape `(N,)`):
            Cluster of every prompt, from 0 to `units - 1`.
        units (`int`):
            Number of clusters, two or more.
        ties (`str`):
            `"loss"` or `"half"`.
    """
    n, m = scores.shape
    columns = np.ascontiguousarray(scores.T)
    sizes = np.bincount(codes, minlength=units)
    variances = np.zeros((m, m))
    for i in range(m):
        for j in range(m):
            if i == j or (ties == "half" and j < i):
                continue
            worth = np.bincount(codes[columns[i] > columns[j]], minlength=units).astype(np.float64)
            if TIES[ties]:
                worth += TIES[ties] * np.bincount(codes[columns[i] == columns[j]], minlength=units)
            residuals = worth - worth.sum() / n * sizes
            variances[i, j] = units / (units - 1) * (residuals @ residuals) / n**2
    return variances + variances.T if ties == "half" else variances
