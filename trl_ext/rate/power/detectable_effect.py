"""Which effects so many rows find."""

import math
from typing import Any

import numpy as np

from ...evaluation.statistics import Estimate
from ..chains.reward_chains import RewardChains
from .pilot import Pilot, check_test, design_effect, noncentrality_for


def minimum_detectable_effect(
    spread: Any = None,
    *,
    sd: float | None = None,
    n: int | None = None,
    degrees: float | None = None,
    cluster_size: float = 1.0,
    icc: float = 0.0,
    estimand: str = "ATE",
    power: float = 0.8,
    alpha: float = 0.05,
) -> float:
    r"""
    Smallest effect that a two-sided t test of level `alpha` finds with the given power.

    It is \( \kappa \cdot se \), where \( P(|T| > t_{1-\alpha/2}) = \) power for the noncentral T with noncentrality κ: 2.80
    at the defaults and many rows. Of finished measurements it is no more than their standard error in other words: what
    could have been found.

    References:
        - Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2.
        - Kish, Survey Sampling, 1965: design effect \( 1 + (m-1)\rho \) of clusters of m rows.

    Args:
        spread ([`~trl_ext.evaluation.Estimate`], `float`, [`RewardChains`] or table, *optional*):
            A finished estimate, its standard error, or rewards to take RATE's from. By default of `sd` and `n`.
        sd (`float`, *optional*):
            Standard deviation of the effects by row, for planning; the result is in its unit.
        n (`int`, *optional*):
            Number of rows; with a pilot, of the study to plan.
        degrees (`float`, *optional*):
            Degrees of freedom of t. By default G−1 of tables with clusters; rows minus 1 of others, or clusters minus 1
            with `cluster_size`. For an `Estimate` with clusters give it: only the number of rows is known.
        cluster_size (`float`, *optional*, defaults to `1.0`):
            Rows per cluster, for planning with `sd`.
        icc (`float`, *optional*, defaults to `0.0`):
            Correlation of the effects of two rows of a cluster, in [-1, 1].
        estimand (`str`, *optional*, defaults to `"ATE"`):
            `"ATE"`, `"ATT"` or `"ATU"`, for rewards.
        power (`float`, *optional*, defaults to `0.8`):
            Probability of finding the effect, above `alpha`.
        alpha (`float`, *optional*, defaults to `0.05`):
            Level of the test.

    Returns:
        `float`: In the unit of the input; NaN without a standard error.

    Raises:
        ValueError: What is needed is not given, or out of range.

    Example:
        ```python
        >>> from trl_ext.rate import minimum_detectable_effect
        >>> round(minimum_detectable_effect(sd=0.64, n=1300), 4)
        0.0498
        >>> round(minimum_detectable_effect(sd=0.64, n=1300, cluster_size=4, icc=0.3), 4)
        0.0688

        ```
    """
    check_test(power, alpha)
    if spread is None:
        if sd is None or n is None:
            raise ValueError("give a standard error, an Estimate or rewards, or else both sd and n")
        se, default = _planned_se(sd, n, cluster_size, icc)
    elif sd is not None or cluster_size != 1 or icc != 0:
        raise ValueError("sd, cluster_size and icc are for planning without data: give them, or spread")
    elif isinstance(spread, Estimate):
        se, default = spread.se, spread.n - 1.0
    elif isinstance(spread, int | float | np.floating | np.integer):
        se, default = float(spread), np.inf if n is None else n - 1.0
    else:
        if n is not None and n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        pilot = Pilot.of(RewardChains.of_table(spread), estimand)
        se, default = pilot.se, pilot.degrees
        if n is not None:  # a study of the same design and another size
            se *= math.sqrt(pilot.n / n)
            default = max(n / pilot.cluster_size, 1.0) - 1
    if isinstance(spread, int | float | np.floating | np.integer | Estimate) and not (np.isnan(se) or se >= 0):
        raise ValueError(f"the standard error must be at least 0, got {se}")
    degrees = default if degrees is None else degrees
    if not degrees > 0 or np.isnan(se):
        return np.nan
    return float(noncentrality_for(degrees, power, alpha) * se)


def _planned_se(sd: float, n: int, cluster_size: float, icc: float) -> tuple[float, float]:
    if not (np.isfinite(sd) and sd >= 0 and n >= 1):
        raise ValueError(f"sd must be at least 0 and n at least 1, got {sd} and {n}")
    return sd * math.sqrt(design_effect(cluster_size, icc) / n), max(n / cluster_size, 1.0) - 1
