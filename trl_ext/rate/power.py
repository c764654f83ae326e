"""How many rows an effect needs to be found, and which effects so many rows find."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import optimize, stats

from ..evaluation.statistics import Estimate, _mean_covariance, mean_estimate
from .effect_covariance import estimand_rows, unit_codes
from .estimands import paired_effects, pooled_reward_std
from .plain_json import plain
from .reward_chains import RewardChains


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
    _check_test(power, alpha)
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
        pilot = _Pilot.of(RewardChains.of_table(spread), estimand)
        se, default = pilot.se, pilot.degrees
        if n is not None:  # a study of the same design and another size
            se *= math.sqrt(pilot.n / n)
            default = max(n / pilot.cluster_size, 1.0) - 1
    if isinstance(spread, int | float | Estimate) and not (np.isnan(se) or se >= 0):
        raise ValueError(f"the standard error must be at least 0, got {se}")
    degrees = default if degrees is None else degrees
    if not degrees > 0 or np.isnan(se):
        return np.nan
    return float(_noncentrality(degrees, power, alpha) * se)


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
    _check_test(power, alpha)
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
        size, rho = cluster_size or 1.0, icc or 0.0
        deff = _design_effect(size, rho)
        n = _rows_needed(float(pilot) ** 2 * deff, effect, size, power, alpha)
        clusters = math.ceil(n / size) if size != 1 else None
        return SampleSize(n, n, n, clusters, effect, float(pilot), None, deff, rho, size, power, alpha, method)
    chains = RewardChains.of_table(pilot)
    found = _Pilot.of(chains, estimand)
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
    deff = found.design_effect if cluster_size is None and icc is None else _design_effect(size, rho)
    low, high = _variance_factors(found, level)
    n, ci_low, ci_high = (
        _rows_needed(factor * found.sd**2 * deff, effect, size, power, alpha) for factor in (1.0, low, high)
    )
    clusters = math.ceil(n / size) if chains.clusters is not None or cluster_size is not None else None
    method += f", chi-square interval of the pilot's variance ({found.n} rows, {level:g} level)"
    return SampleSize(
        *(n, ci_low, ci_high, clusters, float(effect), found.sd, reward_std, deff, rho, size, power, alpha, method)
    )


@dataclass(frozen=True)
class _Pilot:
    """What a pilot tells: spread of effects by row, and of their mean."""

    n: int
    sd: float
    se: float
    degrees: float
    cluster_size: float
    excess_kurtosis: float

    @classmethod
    def of(cls, chains: RewardChains, estimand: str) -> "_Pilot":
        rows = estimand_rows(chains, estimand)
        effects = paired_effects(chains)[rows]
        codes = np.unique(unit_codes(chains)[rows], return_inverse=True)[1]
        _, degrees = _mean_covariance(effects[:, None], codes)
        sums = np.bincount(codes, effects - effects.mean())
        spread = np.mean(sums**2)
        return cls(
            len(effects),
            float(effects.std(ddof=1)) if len(effects) > 1 else np.nan,
            mean_estimate(effects, codes).se,
            float(degrees),
            len(effects) / len(sums),
            float(np.mean(sums**4) / spread**2 - 3) if spread > 0 else 0.0,
        )

    @property
    def design_effect(self) -> float:
        return self.n * self.se**2 / self.sd**2

    @property
    def icc(self) -> float:
        return (self.design_effect - 1) / (self.cluster_size - 1) if self.cluster_size > 1 else 0.0


def _check_test(power: float, alpha: float) -> None:
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    if not alpha < power < 1:
        raise ValueError(f"power must lie strictly between alpha = {alpha} and 1, got {power}")


def _design_effect(size: float, icc: float) -> float:
    if not (np.isfinite(size) and size >= 1):
        raise ValueError(f"cluster_size must be at least 1, got {size}")
    if not -1 <= icc <= 1:
        raise ValueError(f"icc must lie in [-1, 1], got {icc}")
    return max(1 + (size - 1) * icc, np.finfo(np.float64).eps)


def _planned_se(sd: float, n: int, cluster_size: float, icc: float) -> tuple[float, float]:
    if not (np.isfinite(sd) and sd >= 0 and n >= 1):
        raise ValueError(f"sd must be at least 0 and n at least 1, got {sd} and {n}")
    return sd * math.sqrt(_design_effect(cluster_size, icc) / n), max(n / cluster_size, 1.0) - 1


def _power(noncentrality: float, degrees: float, alpha: float) -> float:
    if degrees > 1e5:  # t is normal to 5 digits, and scipy's noncentral t slow
        critical = stats.norm.isf(alpha / 2)
        return float(stats.norm.sf(critical - noncentrality) + stats.norm.cdf(-critical - noncentrality))
    critical = stats.t.isf(alpha / 2, degrees)
    above = float(stats.nct.sf(critical, degrees, noncentrality))
    below = float(stats.nct.cdf(-critical, degrees, noncentrality))
    return above + (below if np.isfinite(below) else 0.0)


def _noncentrality(degrees: float, power: float, alpha: float) -> float:
    """Effect in standard errors that is found with this power."""
    high = stats.norm.isf(alpha / 2) + stats.norm.ppf(max(power, 0.5)) + 1
    while _power(high, degrees, alpha) < power:
        high *= 2
    return float(optimize.brentq(lambda kappa: _power(kappa, degrees, alpha) - power, 0.0, high, xtol=1e-10))


def _rows_needed(variance: float, effect: float, cluster_size: float, power: float, alpha: float) -> int:
    """Smallest number of rows with the power, for this variance of a row (times the design effect)."""

    def enough(n: int) -> bool:
        degrees = n / cluster_size - 1
        return degrees > 0 and _power(abs(effect) / math.sqrt(variance / n), degrees, alpha) >= power

    # From the normal approximation, which is a few rows too small
    n = math.ceil(variance * (_noncentrality(np.inf, power, alpha) / effect) ** 2)
    n = max(n, math.floor(cluster_size) + 1)
    low, step = n - 1, 1
    while not enough(n):
        low, n, step = n, n + step, 2 * step
    while n - low > 1:
        middle = (n + low) // 2
        low, n = (low, middle) if enough(middle) else (middle, n)
    return n


def _variance_factors(pilot: _Pilot, level: float) -> tuple[float, float]:
    """Ends of the interval of the variance, relative to its estimate."""
    heavy = max(pilot.excess_kurtosis, 0.0)
    degrees = 2 / (2 / pilot.degrees + heavy / (pilot.degrees + 1))
    return tuple(degrees / stats.chi2.ppf([(1 + level) / 2, (1 - level) / 2], degrees))  # type: ignore[return-value]
