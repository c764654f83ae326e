"""How much would rewriting have to change beside the attribute to explain an effect away?"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ...evaluation.statistics import Estimate, as_finite, check_level, mean_covariance, mean_estimate
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import estimand_rows
from ..estimators.estimands import paired_effects
from ..plain_json import plain
from .feature_adjustment import as_features
from .robust_regression import regress


logger = logging.getLogger(__name__)

UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Sensitivity:
    r"""
    An effect as a function of what rewriting may change beside the attribute: bias \( = \lambda \cdot \) asymmetry, where
    asymmetry is the mean difference of a feature between the text with the attribute and the one without.

    Args:
        feature (`str`):
            Name of the feature.
        estimand (`str`):
            `ATE`, `ATT` or `ATU`.
        effect ([`Estimate`]):
            RATE, in reward units.
        lam ([`Estimate`] or `float`):
            Reward per unit of the feature: estimated, or as given.
        tipping_asymmetry (`float`):
            Asymmetry, in units of the feature, that makes the whole effect: effect / λ.
        tipping_asymmetry_interval (`float`):
            The smallest asymmetry, in size, for which the interval of what remains touches 0: 0 if the interval of the
            effect contains 0, ±inf if there is none. The uncertainty of an estimated λ is in it.
        observed_asymmetry ([`Estimate`], *optional*):
            Asymmetry in the data, if the feature was measured.
        covariance (`np.ndarray` of shape `(2, 2)`):
            Of effect and λ.
        degrees (`float`):
            Degrees of freedom of the intervals.
        level (`float`):
            Confidence level.
    """

    feature: str
    estimand: str
    effect: Estimate
    lam: Estimate | float
    tipping_asymmetry: float
    tipping_asymmetry_interval: float
    observed_asymmetry: Estimate | None
    covariance: np.ndarray
    degrees: float
    level: float

    @property
    def lam_value(self) -> float:
        """λ, reward per unit of the feature."""
        return self.lam.value if isinstance(self.lam, Estimate) else self.lam

    def table(self, asymmetries: ArrayLike | None = None) -> pd.DataFrame:
        """
        What remains of the effect.

        Args:
            asymmetries (`array_like` of shape `(A,)`, *optional*):
                In units of the feature. By default 41 from 0 to twice the tipping point.

        Returns:
            `pandas.DataFrame`: `asymmetry, bias, effect, ci_low, ci_high, significant`, a row for each.
        """
        if asymmetries is None:
            asymmetries = np.linspace(0.0, 2 * self.tipping_asymmetry, 41)
        grid = as_finite(asymmetries, "asymmetries")
        bias = self.lam_value * grid
        (v_effect, v_both), (_, v_lam) = self.covariance
        half = self._t * np.sqrt(np.maximum(v_effect - 2 * grid * v_both + grid**2 * v_lam, 0.0))
        remains = self.effect.value - bias
        low, high = remains - half, remains + half
        return pd.DataFrame(
            {"asymmetry": grid, "bias": bias, "effect": remains, "ci_low": low, "ci_high": high}
            | {"significant": (low > 0) | (high < 0)}
        )

    def contour(self, lams: ArrayLike | None = None, asymmetries: ArrayLike | None = None) -> dict[str, np.ndarray]:
        """
        What remains of the effect for pairs of λ and asymmetry, for a contour plot; λ is taken as known in each.

        Args:
            lams (`array_like` of shape `(L,)`, *optional*):
                Reward per unit. By default 41 from −2 to 2 times λ.
            asymmetries (`array_like` of shape `(A,)`, *optional*):
                By default 41 from −2 to 2 times the tipping point.

        Returns:
            `dict[str, np.ndarray]`: `lam` `(L,)`, `asymmetry` `(A,)`, and `effect`, `ci_low`, `ci_high`, all `(L, A)`.
        """
        around = np.linspace(-2, 2, 41)
        lams = as_finite(around * self.lam_value if lams is None else lams, "lams")
        grid = as_finite(around * self.tipping_asymmetry if asymmetries is None else asymmetries, "asymmetries")
        remains = self.effect.value - np.outer(lams, grid)
        half = self._t * np.sqrt(self.covariance[0, 0])
        return {"lam": lams, "asymmetry": grid, "effect": remains, "ci_low": remains - half, "ci_high": remains + half}

    @property
    def _t(self) -> float:
        return float(stats.t.ppf((1 + self.level) / 2, self.degrees)) if self.degrees >= 1 else np.nan

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self) | {"lam": self.lam})


def sensitivity(
    table: Any,
    *,
    lam: float | Mapping[str, float] | None = None,
    feature_differences: Any = None,
    names: Sequence[str] | None = None,
    estimand: str = "ATE",
    level: float = 0.95,
) -> dict[str, Sensitivity]:
    r"""
    How much would rewriting have to change beside the attribute to explain the effect of RATE away?

    If rewrites into the attribute have on average `asymmetry` more of some feature than rewrites out of it, and the
    reward model pays λ per unit, RATE finds \( \lambda \cdot \)asymmetry too much. λ is estimated from measured features
    (coefficients of [`feature_adjusted_effects`]), or given, for features that were not measured.

    Args:
        table ([`RewardChains`] or table):
            Columns `w, original, rewrite, rewritten_rewrite[, cluster]`, see [`RewardChains.of_table`].
        lam (`float` or `Mapping[str, float]`, *optional*):
            Reward per unit of a feature, not 0: one for all features, or by name. By default it is estimated from
            `feature_differences`.
        feature_differences (`array_like` of shape `(N, K)` or `(N,)`, or `pandas.DataFrame`, *optional*):
            As in [`feature_adjusted_effects`]. With `lam`, they only tell the asymmetry there is.
        names (`Sequence[str]`, *optional*):
            Names of the features. Without features, by default `"unmeasured"`.
        estimand (`str`, *optional*, defaults to `"ATE"`):
            `"ATE"`, `"ATT"` or `"ATU"`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        `dict[str, Sensitivity]`: By feature. Features whose λ the data do not determine, such as one that is the same in all
        rows, are left out with a warning.

    Raises:
        ValueError: The table or the features are not as they must be, λ is 0 or neither given nor to be estimated, or no
            row is of this estimand.

    Example:
        ```python
        >>> from trl_ext.rate import sensitivity
        >>> chains = {
        ...     "w": [1, 1, 1, 1],
        ...     "original": [0.0, 0.0, 0.0, 0.0],
        ...     "rewrite": [0.0, 0.0, 0.0, 0.0],
        ...     "rewritten_rewrite": [0.9, 1.0, 1.1, 1.0],
        ... }
        >>> found = sensitivity(chains, lam=0.5)["unmeasured"]
        >>> round(found.tipping_asymmetry, 2), round(found.tipping_asymmetry_interval, 2)
        (2.0, 1.74)
        >>> found.table([0.0, 1.0])[["asymmetry", "bias", "effect", "significant"]]
           asymmetry  bias  effect  significant
        0        0.0   0.0     1.0         True
        1        1.0   0.5     0.5         True

        ```
    """
    check_level(level)
    chains = RewardChains.of_table(table)
    rows = estimand_rows(chains, estimand)
    effects = paired_effects(chains)[rows]
    # Once, as numbers: each estimate of each feature sorts them
    clusters = None if chains.clusters is None else pd.factorize(chains.clusters)[0][rows]
    if feature_differences is None:
        if lam is None:
            raise ValueError(
                "give lam, the reward per unit of the feature, or feature_differences to estimate it from"
            )
        features = None
        names = tuple(lam) if isinstance(lam, Mapping) else tuple(names or (UNMEASURED,))
    else:
        features, names = as_features(feature_differences, names, len(chains))
        features = features[rows]
    given = _given(lam, names)
    fit = None
    if given is None and features is not None:
        fit = regress(effects, np.column_stack([np.ones(len(effects)), features]), clusters)
    found = {}
    for k, name in enumerate(names):
        observed = None if features is None else mean_estimate(features[:, k], clusters, level)
        if given is not None:
            value: Estimate | float = given[name]
            rates = np.full(len(effects), given[name])
        else:
            assert fit is not None
            estimate = fit.coefficient(k + 1, level)
            if estimate is None or estimate.value == 0:
                logger.warning("%s: the data do not tell what is paid for it, it is left out", name)
                continue
            value = estimate
            # values whose mean has the variance of the coefficient: that of a mean has G/(G−1) of its own
            units = fit.codes.max() + 1
            rates = estimate.value + len(effects) * fit.influence[:, k + 1] * np.sqrt((units - 1) / units)
        found[name] = _sensitivity(name, estimand, effects, rates, value, observed, clusters, level)
    return found


def _given(lam: float | Mapping[str, float] | None, names: Sequence[str]) -> dict[str, float] | None:
    if lam is None:
        return None
    if isinstance(lam, Mapping):
        missing = [name for name in names if name not in lam]
        if missing or len(lam) > len(names):
            raise ValueError(f"lam must have a value for each of {list(names)}, and no more; got {list(lam)}")
    values = {name: float(lam[name] if isinstance(lam, Mapping) else lam) for name in names}
    bad = [name for name, value in values.items() if not np.isfinite(value) or value == 0]
    if bad:
        raise ValueError(
            f"lam must be finite and not 0, got {values[bad[0]]} for {bad[0]!r}: what the reward model does not pay for "
            "makes no bias"
        )
    return values


def _sensitivity(
    name: str,
    estimand: str,
    effects: np.ndarray,
    rates: np.ndarray,
    lam: Estimate | float,
    observed: Estimate | None,
    clusters: np.ndarray | None,
    level: float,
) -> Sensitivity:
    effect = mean_estimate(effects, clusters, level)
    rate = lam.value if isinstance(lam, Estimate) else lam
    columns = np.column_stack([effects, rates])
    covariance, degrees = mean_covariance(columns, clusters)
    return Sensitivity(
        name,
        estimand,
        effect,
        lam,
        effect.value / rate,
        _touches_zero(effect.value, rate, covariance, degrees, level),
        observed,
        covariance,
        degrees,
        level,
    )


def _touches_zero(effect: float, lam: float, covariance: np.ndarray, degrees: float, level: float) -> float:
    """Asymmetry a nearest to 0 at which the interval of effect − λa has an end at 0 (Fieller's roots)."""
    if degrees < 1:
        return np.nan
    t2 = stats.t.ppf((1 + level) / 2, degrees) ** 2
    constant = effect**2 - t2 * covariance[0, 0]
    if constant <= 0:
        return 0.0
    square, linear = lam**2 - t2 * covariance[1, 1], effect * lam - t2 * covariance[0, 1]
    discriminant = linear**2 - square * constant
    if discriminant < 0:
        return float(np.copysign(np.inf, effect * lam))
    # the root nearest to 0 without cancellation: constant / (linear ± root)
    return float(constant / (linear + np.copysign(np.sqrt(discriminant), linear)))
