"""Joint errors of win rates before and after, and what they are for absolute mismatches, which have a kink at 0."""

from itertools import permutations

import numpy as np
from numpy.typing import ArrayLike

from ...evaluation.statistics import cluster_codes
from ..score_table import ScoreTable
from .paired_outcomes import TIES


# Standard errors by which a true mismatch may be nearer to 0 than the estimate, for the error at most
_NEARER = 1.5
_BLOCK = 2_000_000  # outcomes at a time


def paired_win_rates(
    before: ScoreTable, after: ScoreTable, ties: str, clusters: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """
    Win rates `(2, K)` and counts of ties `(2, K)` of the K ordered pairs, covariance `(2K, 2K)` of the win rates, and the
    number of clusters.
    """
    n = len(before)
    codes, units = (np.arange(n), n) if clusters is None else cluster_codes(clusters, n)
    if units < 2:
        what = "prompt" if clusters is None else "cluster of prompts"
        raise ValueError(f"there is one {what} only: no interval can be given. Evaluate on more held-out prompts.")
    rows = np.argsort(codes, kind="stable")
    scores = np.stack([before.scores, after.scores])[:, rows]
    first, second = np.array(list(permutations(range(len(before.models)), 2))).T
    count = 2 * len(first)

    def wins(start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        difference = scores[:, start:stop, first] - scores[:, start:stop, second]
        tied = difference == 0
        return (difference > 0) + TIES[ties] * tied, tied

    # Blocks end where clusters do
    starts = np.flatnonzero(np.diff(codes[rows], prepend=-1))
    step = max(1, _BLOCK // count)
    edges = [0]
    while edges[-1] < n:
        reach = np.searchsorted(starts, edges[-1] + step)
        edge = n if reach >= len(starts) else int(starts[reach])
        edges.append(edge if edge > edges[-1] else n)
    totals, tied_counts = np.zeros((2, len(first))), np.zeros((2, len(first)), dtype=np.int64)
    for start, stop in zip(edges, edges[1:], strict=False):
        won, tied = wins(start, stop)
        totals += won.sum(axis=1)
        tied_counts += tied.sum(axis=1)
    means = totals / n
    products = np.zeros((count, count))
    for start, stop in zip(edges, edges[1:], strict=False):
        residuals = np.concatenate(list(wins(start, stop)[0] - means[:, None, :]), axis=1)
        inside = starts[(starts >= start) & (starts < stop)] - start
        sums = residuals if inside.size == stop - start else np.add.reduceat(residuals, inside, axis=0)
        products += sums.T @ sums
    return means, tied_counts, units / (units - 1) * products / n**2, units


def draw_win_rate_errors(
    covariance: np.ndarray, means: np.ndarray, units: int, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Errors of the win rates `(2, draws, K)`: t with as many degrees of freedom as there are clusters less one."""
    pairs = means.shape[1]
    # The imaginary prompts of a pair have outcomes of its own
    covariance = covariance * (units / (units + 2)) ** 2
    both = 0.5 * (1 - 2 * means[0]) * (1 - 2 * means[1]) / (units + 2) ** 2
    index = np.arange(pairs)
    for side in (0, 1):
        rows = side * pairs + index
        covariance[rows, rows] += (means[side] ** 2 + (1 - means[side]) ** 2) / (units + 2) ** 2
        covariance[rows, (1 - side) * pairs + index] += both
    errors = generator.multivariate_normal(np.zeros(2 * pairs), covariance, size=draws, method="eigh")
    errors /= np.sqrt(generator.chisquare(units - 1, size=(draws, 1)) / (units - 1))
    return errors.reshape(draws, 2, pairs).swapaxes(0, 1)


class AbsoluteSizes:
    """
    Intervals of absolute mismatches and their means, of the values and estimates `(2, K)` and errors `(2, draws, K)`.

    With a few prompts, the imaginary ones may take the estimate so far from the value that the interval about it leaves
    the value out: it is then made wider.
    """

    def __init__(self, values: np.ndarray, centre: np.ndarray, errors: np.ndarray, level: float):
        self.values, self.centre, self.errors = values, centre, errors
        self.tails = [(1 - level) / 2, (1 + level) / 2]
        signs = np.where(centre >= 0, 1.0, -1.0)[:, None, :]
        # An estimate may lie above the true size by chance: as near to 0 as is plausible, an error folds
        near = np.maximum(np.abs(centre) - _NEARER * errors.std(axis=1), 0.0)[:, None, :]
        # What the error of the absolute value is at least, and at most
        self.least = signs * errors
        self.most = np.abs(near + self.least) - near

    def signed(self, side: int) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the intervals of the mismatches, each `(K,)`."""
        ends = self.centre[side] - np.quantile(self.errors[side], self.tails[::-1], axis=0)
        return (
            np.minimum(np.clip(ends[0], -1.0, 1.0), self.values[side]),
            np.maximum(np.clip(ends[1], -1.0, 1.0), self.values[side]),
        )

    def mean(self, side: int, pairs: np.ndarray) -> dict[str, float]:
        """Standard error and interval of the mean absolute mismatch of some pairs."""
        value, centre = (np.abs(part[side, pairs]).mean() for part in (self.values, self.centre))
        least, most = (errors[side][:, pairs].mean(axis=1) for errors in (self.least, self.most))
        low, high = centre - np.quantile(most, self.tails[1]), centre - np.quantile(least, self.tails[0])
        return {
            "se": float(least.std(ddof=1)),
            "low": float(min(max(low, 0.0), value)),
            "high": float(max(min(high, 1.0), value)),
        }

    def change(self, pairs: np.ndarray) -> dict[str, float]:
        """Standard error and interval of the change of the mean absolute mismatch of some pairs."""
        value, centre = (np.diff(np.abs(part[:, pairs]).mean(axis=1))[0] for part in (self.values, self.centre))
        least, most = ([part[:, pairs].mean(axis=1) for part in errors] for errors in (self.least, self.most))
        low = centre - np.quantile(most[1] - least[0], self.tails[1])
        high = centre - np.quantile(least[1] - most[0], self.tails[0])
        return {
            "se": float((least[1] - least[0]).std(ddof=1)),
            "ci_low": float(min(low, value)),
            "ci_high": float(max(high, value)),
        }
