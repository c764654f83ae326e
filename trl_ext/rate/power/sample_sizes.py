"""How many rows an effect needs to be found."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from ..chains.reward_chains import RewardChains
from ..estimators.estimands import pooled_reward_std
from ..plain_json import plain
from .pilot import Pilot, check_test, design_effect, noncentrality_for, power_of


UNITS = ("sd", "reward")


@dataclass(frozen=True)
class SampleSize:
    """
    Number of rows that an effect needs.

    Args:
        n (`int`):
            Rows of the estimand: all for ATE, those with the attribute for ATT, without for ATU.
        ci_low, ci_high (`int`):
            The same at the ends of the interval of the pilot's variance; equal to `n` where none was given.
        clusters (`int`, *optional*):
            Clusters that these rows come from, where there are some.
        effect (`float`):
            The effect to be found, in rewards.
        sd (`float`):
            Standard deviation of effects by row, in rewards.
        reward_std (`float`, *optional*):
            Standard deviation of rewards of the originals, where it was needed.
        design_effect (`float`):
            Variance of the mean over that of as many independent rows.
        icc (`float`):
            Correlation of the effects of two rows of a cluster that this means.
        cluster_size (`float`):
            Rows per cluster.
        power, alpha (`float`):
            Probability to find the effect, and level of the two-sided test.
        method (`str`):
            How it was computed.
    """

    n: int
    ci_low: int
    ci_high: int
    clusters: int | None
    effect: float
    sd: float
    reward_std: float | None
    design_effect: float
    icc: float
    cluster_size: float
    power: float
    alpha: float
    method: str

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self))


def sample_size(
    pilot: Any,
    effect: float,
    *,
    unit: str = "sd",
    estimand: str = "ATE",
    cluster_size: float | None = None,
    icc: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    level: float = 0.95,
) -> SampleSize:
    r"""
    Rows that are needed to find an effect: \( n = (\kappa\,s / \text{effect})^2 \cdot \text{design effect} \), with κ of
    [`minimum_detectable_effect`].

    A pilot of 30 to 100 rows tells s, the standard deviation of effects by row; and, with clusters, the design effect,
    as the ratio of the CR1 variance to that of independent rows. How uncertain both are is in `ci_low` and `ci_high`: the
    variance has a chi-square interval, with degrees of freedom reduced for tails heavier than normal,
    \( 2 / (2/\nu + \gamma_2/G) \) with excess kurtosis γ₂. The uncertainty of `reward_std` is not in it.

    References:
        - Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988, chapter 2.
        - Kish, Survey Sampling, 1965 (design effect).
        - Browne, On the Use of a Pilot Sample for Sample Size Determination, 1995: plan with the upper end of an interval
          of the variance rather than with the variance.

    Args:
        pilot ([`RewardChains`], table, or `float`):
            Rewards with two rewrites, or the standard deviation of effects by row, in `unit`.
        effect (`float`):
            Effect to be found, not 0.
        unit (`str`, *optional*, defaults to `"sd"`):
            Of `effect`: `"sd"`, standard deviations of the rewards of the originals within groups, or `"reward"`.
        estimand (`str`, *optional*, defaults to `"ATE"`):
            `"ATE"`, `"ATT"` or `"ATU"`.
        cluster_size (`float`, *optional*):
            Rows per cluster of the study. By default as in the pilot; else the design effect is
            \( 1 + (m-1)\rho \).
        icc (`float`, *optional*):
            Correlation ρ of the effects of two rows of a cluster, in [-1, 1]. By default that of the pilot.
        power (`float`, *optional*, defaults to `0.8`):
            Probability of finding the effect, above `alpha`.
        alpha (`float`, *optional*, defaults to `0.05`):
            Level of the two-sided test.
        level (`float`, *optional*, defaults to `0.95`):
            Of the interval of n.

    Returns:
        [`SampleSize`]

    Raises:
        ValueError: The pilot has fewer than two rows or clusters of the estimand, its effects or rewards do not vary, or a
            value is out of range.

    Example:
        ```python
        >>> from trl_ext.rate import sample_size
        >>> [sample_size(0.64, effect).n for effect in (0.1, 0.05, 0.02)]  # s of 0.64 standard deviations of rewards
        [324, 1288, 8040]

        ```
    """
    check_test(power, alpha)
    if unit not in UNITS:
        raise ValueError(f"unit must be one of {', '.join(map(repr, UNITS))}, got {unit!r}")
    if not (np.isfinite(effect) and effect != 0):
        raise ValueError(f"effect must be finite and not 0, got {effect}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    method = f"noncentral t (power {power:g}, alpha {alpha:g}, two-sided)"
    if isinstance(pilot, int | float | np.floating | np.integer):
        if not (np.isfinite(pilot) and pilot > 0):
            raise ValueError(f"the standard deviation of effects by row must be above 0, got {pilot}")
        if icc is not None and cluster_size is None:
            raise ValueError(f"icc={icc} needs cluster_size, the rows per cluster: a number as pilot has no clusters")
        size, rho = cluster_size or 1.0, icc or 0.0
        deff = design_effect(size, rho)
        n = _rows_needed(float(pilot) ** 2 * deff, effect, size, power, alpha)
        clusters = math.ceil(n / size) if size != 1 else None
        return SampleSize(n, n, n, clusters, effect, float(pilot), None, deff, rho, size, power, alpha, method)
    chains = RewardChains.of_table(pilot)
    found = Pilot.of(chains, estimand)
    if not found.degrees >= 1 or not found.se > 0:
        raise ValueError(
            f"the pilot has {found.n} rows of {estimand} in {found.degrees + 1:g} clusters or independent rows, and effects "
            f"with standard deviation {found.sd:g}: two are needed, with effects that differ"
        )
    reward_std = None
    if unit == "sd":
        reward_std = pooled_reward_std(chains)
        if not reward_std:
            raise ValueError("the rewards of the pilot's originals do not vary: give the effect with unit='reward'")
        effect = effect * reward_std
    size = found.cluster_size if cluster_size is None else float(cluster_size)
    rho = found.icc if icc is None else icc
    deff = found.design_effect if cluster_size is None and icc is None else design_effect(size, rho)
    low, high = _variance_factors(found, level)
    n, ci_low, ci_high = (
        _rows_needed(factor * found.sd**2 * deff, effect, size, power, alpha) for factor in (1.0, low, high)
    )
    clusters = math.ceil(n / size) if chains.clusters is not None or cluster_size is not None else None
    method += f", chi-square interval of the pilot's variance ({found.n} rows, {level:g} level)"
    return SampleSize(
        *(n, ci_low, ci_high, clusters, float(effect), found.sd, reward_std, deff, rho, size, power, alpha, method)
    )


def _rows_needed(variance: float, effect: float, cluster_size: float, power: float, alpha: float) -> int:
    """Smallest number of rows with the power, for this variance of a row (times the design effect)."""

    def enough(n: int) -> bool:
        degrees = n / cluster_size - 1
        return degrees > 0 and power_of(abs(effect) / math.sqrt(variance / n), degrees, alpha) >= power

    # From the normal approximation, which is a few rows too small
    n = math.ceil(variance * (noncentrality_for(np.inf, power, alpha) / effect) ** 2)
    n = max(n, math.floor(cluster_size) + 1)
    low, step = n - 1, 1
    while not enough(n):
        low, n, step = n, n + step, 2 * step
    while n - low > 1:
        middle = (n + low) // 2
        low, n = (low, middle) if enough(middle) else (middle, n)
    return n


def _variance_factors(pilot: Pilot, level: float) -> tuple[float, float]:
    """Ends of the interval of the variance, relative to its estimate."""
    heavy = max(pilot.excess_kurtosis, 0.0)
    degrees = 2 / (2 / pilot.degrees + heavy / (pilot.degrees + 1))
    return tuple(degrees / stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], degrees))  # type: ignore[return-value]
