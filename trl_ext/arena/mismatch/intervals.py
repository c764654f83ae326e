"""Uncertainty of mismatch degrees: how many independent prompts there are, intervals and p-values."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ...evaluation.statistics import cluster_codes
from ..ratings.win_probability import ELO_SCALE
from .paired_outcomes import TIES
from .pairwise_counts import PairCounts, clustered_variances


@dataclass(frozen=True)
class EffectivePrompts:
    """
    How many independent prompts would vary as much as those there are.

    Args:
        number (`np.ndarray` of shape `(M, M)`):
            By ordered pair of models; `nan` for a single cluster.
        degrees (`float`):
            Degrees of freedom of the variance; `inf` without clusters.
        unit (`str`):
            What is independent, in words.
    """

    number: np.ndarray
    degrees: float
    unit: str

    @classmethod
    def of(cls, scores: np.ndarray, counts: PairCounts, clusters: ArrayLike | None, ties: str) -> "EffectivePrompts":
        """For scores `(N, M)` and labels of clusters `(N,)`, if any."""
        n = counts.n
        if clusters is None:
            return cls(np.full(counts.wins.shape, float(n)), np.inf, f"{n} independent prompts")
        codes, units = cluster_codes(clusters, n)
        unit = f"effective number of {n} prompts in {units} clusters"
        if units < 2:
            return cls(np.full(counts.wins.shape, np.nan), np.nan, unit)
        spread, variances = counts.variances(ties), clustered_variances(scores, codes, units, ties)
        with np.errstate(divide="ignore", invalid="ignore"):
            # when all prompts agree they don't tell how those of a cluster hang together: a cluster then counts as one
            return cls(np.where(spread > 0, np.minimum(n, spread / variances), units), units - 1, unit)

    def for_draws(self, level: float) -> np.ndarray:
        """The number `(M, M)` that makes normal quantiles as wide as those of t with the degrees of freedom."""
        if np.isinf(self.degrees):
            return self.number
        tail = (1 + level) / 2
        return self.number * (stats.norm.ppf(tail) / stats.t.ppf(tail, self.degrees)) ** 2


def relative_mismatch(win_rate: ArrayLike, expected: ArrayLike) -> np.ndarray | float:
    """The mismatch degree of a win rate, with the expected one."""
    return (win_rate - expected) / np.maximum(expected, 1 - expected)


def mismatch_interval(
    outcomes: tuple[int, int, int],
    effective: float,
    expected: np.ndarray | float,
    ties: str,
    level: float,
    draws: int,
    generator: np.random.Generator,
    *,
    reverse: bool = False,
) -> tuple[float, float, float]:
    """
    Standard error and both ends of the interval of a mismatch degree.

    Args:
        outcomes (`tuple[int, int, int]`):
            Wins, ties and losses of the first model.
        effective (`float`):
            Number of independent prompts; `nan` where it is unknown.
        expected (`np.ndarray` of shape `(draws,)` or `float`):
            Draws of the expected win rate of the first model, or its exact value.
        ties (`str`):
            `"loss"` or `"half"`.
        level (`float`):
            Confidence level.
        draws (`int`):
            Draws of the win rate.
        generator (`np.random.Generator`):
            For the draws.
        reverse (`bool`, *optional*, defaults to `False`):
            `outcomes` are of the pair in the other order than `expected`, and so are drawn.
    """
    if np.isnan(effective):
        return np.nan, np.nan, np.nan
    n = sum(outcomes)
    prior = (0.5, 0.0, 0.5)
    parts = [
        generator.standard_gamma(count * effective / n + more, draws)
        for count, more in zip(outcomes, prior, strict=True)
    ]
    wins, equal, losses = parts[::-1] if reverse else parts
    seen = outcomes[::-1] if reverse else outcomes
    drawn = relative_mismatch((wins + TIES[ties] * equal) / (wins + equal + losses), expected)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    # prompts that were never won put no lower bound on the win rate, and prompts that were always won no upper one
    if seen[0] + TIES[ties] * seen[1] == 0:
        low = np.quantile(relative_mismatch(0.0, expected), (1 - level) / 2)
    elif seen[0] == n:
        high = np.quantile(relative_mismatch(1.0, expected), (1 + level) / 2)
    return float(drawn.std(ddof=1)), float(low), float(high)


def mismatch_p_values(
    counts: PairCounts, expected: np.ndarray, effective: EffectivePrompts, covariance: np.ndarray, ties: str
) -> np.ndarray:
    """
    Two-sided p-values `(M, M)` of the score test that a win rate is the expected one.

    Args:
        counts ([`PairCounts`]):
            Outcomes.
        expected (`np.ndarray` of shape `(M, M)`):
            Expected win rates.
        effective ([`EffectivePrompts`]):
            Number of independent prompts.
        covariance (`np.ndarray` of shape `(M, M)`):
            Of the ratings, in squared Elo points.
        ties (`str`):
            `"loss"` or `"half"`.
    """
    null = expected * (1 - expected) - TIES[ties] * (1 - TIES[ties]) * counts.ties / counts.n
    slope = expected * (1 - expected) * np.log(10) / ELO_SCALE
    own = np.diag(covariance)
    rating_part = slope**2 * (own[:, None] + own[None, :] - 2 * covariance)
    # so many ties may rule the expected win rate out; the variance seen is then the one there is
    spread = np.maximum(null, counts.variances(ties)) / effective.number + rating_part
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.abs(counts.win_rates(ties) - expected) / np.sqrt(spread)
    return 2 * (stats.norm.sf(statistic) if np.isinf(effective.degrees) else stats.t.sf(statistic, effective.degrees))
