"""What the estimate of η does on average, exactly, by summing over all counts of agreements."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from ._checks import as_count, check_chance, positive_c
from .intervals import agreement_interval
from .model import agreement_probability


@dataclass(frozen=True)
class EstimatorMoments:
    """
    Exact properties of [`estimate_eta`] with n checks.

    Args:
        agreement_mean (`float`):
            Mean of the share Ā of agreements.
        agreement_variance (`float`):
            Its variance.
        mean (`float`):
            Mean of the estimate that is cut to [0, 1].
        variance (`float`):
            Its variance.
        rmse (`float`):
            Root of its mean squared error, in units of η.
        unclipped_variance (`float`):
            Variance of the unbiased estimate that is not cut; the Cramér–Rao bound, 1 over n times the Fisher information.
        coverage (`float`):
            Probability that the interval holds η.
        half_width (`float`):
            Expected half width of the interval before it is cut to [0, 1], in units of η.
    """

    agreement_mean: float
    agreement_variance: float
    mean: float
    variance: float
    rmse: float
    unclipped_variance: float
    coverage: float
    half_width: float


def estimator_moments(
    eta: float,
    n: int,
    c: float,
    level: float = 0.95,
    *,
    method: Literal["mid-p", "clopper-pearson"] = "mid-p",
    chance: float = 0.5,
) -> EstimatorMoments:
    """
    Exact moments of the estimate of η, and exact coverage and expected width of its interval.

    Args:
        eta (`float`):
            True commitment, in [0, 1].
        n (`int`):
            Number of checks.
        c (`float`):
            From [`self_consistency_c`] or [`expert_c`].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`"mid-p"` or `"clopper-pearson"`, *optional*, defaults to `"mid-p"`):
            See [`agreement_interval`].
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses.

    Returns:
        [`EstimatorMoments`]

    Raises:
        ValueError: Values out of range.

    Example:
        ```python
        >>> from trl_ext.annotators import estimator_moments
        >>> moments = estimator_moments(0.9, 200, c=0.98)
        >>> round(moments.mean, 4), round(moments.rmse, 4), round(moments.coverage, 4), round(moments.half_width, 4)
        (0.9, 0.034, 0.9514, 0.067)
        ```
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta must lie in [0, 1], got {eta}")
    c, chance = positive_c(c), check_chance(chance)
    n = as_count(n, "n", 1)
    q, slope = agreement_probability(eta, c, chance), (1 - chance) * c
    # what is left out on either side has probability below 1e-16
    k = np.arange(stats.binom.ppf(1e-16, n, q), stats.binom.isf(1e-16, n, q) + 1)
    probability = stats.binom.pmf(k, n, q)
    estimate = np.clip((k / n - chance) / slope, 0, 1)
    low, high = agreement_interval(k, n, level, method)
    mean = probability @ estimate
    return EstimatorMoments(
        agreement_mean=q,
        agreement_variance=q * (1 - q) / n,
        mean=float(mean),
        variance=float(probability @ (estimate - mean) ** 2),
        rmse=float(np.sqrt(probability @ (estimate - eta) ** 2)),
        unclipped_variance=q * (1 - q) / n / slope**2,
        coverage=float(probability[(low <= q) & (q <= high)].sum()),
        half_width=float(probability @ (high - low)) / (2 * slope),
    )
