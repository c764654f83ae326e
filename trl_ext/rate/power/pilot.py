"""What a pilot tells about the spread of effects, and the power of t tests."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from ...evaluation.statistics import mean_covariance, mean_estimate
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import estimand_rows, unit_codes
from ..estimators.estimands import paired_effects


@dataclass(frozen=True)
class Pilot:
    """What a pilot tells: spread of effects by row, and of their mean."""

    n: int
    sd: float
    se: float
    degrees: float
    cluster_size: float
    excess_kurtosis: float

    @classmethod
    def of(cls, chains: RewardChains, estimand: str) -> "Pilot":
        rows = estimand_rows(chains, estimand)
        effects = paired_effects(chains)[rows]
        codes = np.unique(unit_codes(chains)[rows], return_inverse=True)[1]
        _, degrees = mean_covariance(effects[:, None], codes)
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
        """Variance of the mean over that of as many independent rows."""
        return self.n * self.se**2 / self.sd**2

    @property
    def icc(self) -> float:
        """Correlation of the effects of two rows of a cluster that the design effect means."""
        return (self.design_effect - 1) / (self.cluster_size - 1) if self.cluster_size > 1 else 0.0


def check_test(power: float, alpha: float) -> None:
    """Raise unless the test can have this power."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")
    if not alpha < power < 1:
        raise ValueError(f"power must lie strictly between alpha = {alpha} and 1, got {power}")


def design_effect(size: float, icc: float) -> float:
    """Variance of the mean of clusters of this size over that of as many independent rows."""
    if not (np.isfinite(size) and size >= 1):
        raise ValueError(f"cluster_size must be at least 1, got {size}")
    if not -1 <= icc <= 1:
        raise ValueError(f"icc must lie in [-1, 1], got {icc}")
    return max(1 + (size - 1) * icc, np.finfo(np.float64).eps)


def power_of(noncentrality: float, degrees: float, alpha: float) -> float:
    """Probability that the two-sided t test rejects, for an effect of so many standard errors."""
    if degrees > 1e5:  # t is normal to 5 digits, and scipy's noncentral t slow
        critical = stats.norm.isf(alpha / 2)
        return float(stats.norm.sf(critical - noncentrality) + stats.norm.cdf(-critical - noncentrality))
    critical = stats.t.isf(alpha / 2, degrees)
    above = float(stats.nct.sf(critical, degrees, noncentrality))
    below = float(stats.nct.cdf(-critical, degrees, noncentrality))
    return above + (below if np.isfinite(below) else 0.0)


def noncentrality_for(degrees: float, power: float, alpha: float) -> float:
    """Effect in standard errors that is found with this power."""
    high = stats.norm.isf(alpha / 2) + stats.norm.ppf(max(power, 0.5)) + 1
    while power_of(high, degrees, alpha) < power:
        high *= 2
    return float(optimize.brentq(lambda kappa: power_of(kappa, degrees, alpha) - power, 0.0, high, xtol=1e-10))
