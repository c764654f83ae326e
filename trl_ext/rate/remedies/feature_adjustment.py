"""RATE where rewriting changes more than the attribute: effect at equal features of both rewrites."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.statistics import Estimate, mean_estimate
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import ESTIMANDS
from ..estimators.estimands import effect_rows, paired_effects
from ..plain_json import plain
from .robust_regression import regress


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureAdjustedEffects(Mapping[str, Estimate | None]):
    """
    Effects of an attribute where the other measured features of both texts are equal: `ATE`, `ATT` and `ATU`, in reward
    units. `None` where there are no such rows, or the features determine them not.

    Args:
        estimates (`dict[str, Estimate | None]`):
            Adjusted effects.
        unadjusted (`dict[str, Estimate | None]`):
            RATE of the same rows.
        removed (`dict[str, Estimate | None]`):
            What the features explain: unadjusted minus adjusted.
        coefficients (`dict[str, dict[str, Estimate | None]]`):
            By effect and feature: reward per unit of the feature; `None` where features can't be told apart.
        asymmetry (`dict[str, dict[str, Estimate]]`):
            By effect and feature: mean difference of the feature between the text with the attribute and that without.
        extrapolated (`dict[str, tuple[str, ...]]`):
            By effect: features that differ in the same direction in every row. Then no two texts have them equal, and the
            effect rests on the straight line alone.
    """

    estimates: dict[str, Estimate | None]
    unadjusted: dict[str, Estimate | None]
    removed: dict[str, Estimate | None]
    coefficients: dict[str, dict[str, Estimate | None]]
    asymmetry: dict[str, dict[str, Estimate]]
    extrapolated: dict[str, tuple[str, ...]]

    def __getitem__(self, name: str) -> Estimate | None:
        return self.estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self))


def feature_adjusted_effects(
    table: Any, feature_differences: Any, *, names: Sequence[str] | None = None, level: float = 0.95
) -> FeatureAdjustedEffects:
    r"""
    RATE at equal features: intercept of the regression \( \delta_i = \tau + \sum_k \lambda_k d_{ik} + e_i \) of the effects
    by row on differences of features.

    RATE supposes that the two rewrites of a row differ in the attribute alone. Where a rewriter also makes texts longer
    whenever it makes them friendlier, length is paid for as friendliness. If length is measured, and rewards are linear in
    it, the intercept is free of it. It often varies less, too.

    Adjust for what is no part of the attribute: adjusted for exclamation marks, the effect of enthusiasm is that of
    enthusiasm without exclamation marks. Errors are HC1 with t of N−K−1 degrees of freedom, with clusters CR1 with t of
    G−1: with few more rows than features they are too small.

    Args:
        table ([`RewardChains`] or table):
            Columns `w, original, rewrite, rewritten_rewrite[, cluster]`, see [`RewardChains.of_table`].
        feature_differences (`array_like` of shape `(N, K)` or `(N,)`, or `pandas.DataFrame`):
            Each feature of the rewrite that should have the attribute minus that of the one that should not, whichever
            was made first. Finite.
        names (`Sequence[str]`, *optional*):
            Names of the K features. By default the columns of a `DataFrame`, else `feature_0`, `feature_1`, ...
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`FeatureAdjustedEffects`]

    Raises:
        ValueError: The table or the features are not as they must be; the first bad row is named.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import feature_adjusted_effects
        >>> rng = np.random.default_rng(0)
        >>> longer = rng.normal(0.4, 1.0, 500)  # texts with the attribute are longer by .4
        >>> chains = {
        ...     "w": np.ones(500),
        ...     "original": np.zeros(500),
        ...     "rewrite": np.zeros(500),
        ...     "rewritten_rewrite": 1.0 - 0.5 * longer + rng.normal(0, 0.1, 500),
        ... }
        >>> adjusted = feature_adjusted_effects(chains, longer, names=["length"])
        >>> round(adjusted.unadjusted["ATT"].value, 2), round(adjusted["ATT"].value, 2), adjusted["ATU"]
        (0.81, 0.99, None)
        >>> round(adjusted.coefficients["ATT"]["length"].value, 2)
        -0.5

        ```
    """
    chains = RewardChains.of_table(table)
    features, names = as_features(feature_differences, names, len(chains))
    effects = paired_effects(chains)
    codes = None if chains.clusters is None else pd.factorize(chains.clusters)[0]
    found = FeatureAdjustedEffects({}, {}, {}, {}, {}, {})
    for name in ESTIMANDS:
        rows = effect_rows(chains, name)
        if not rows.any():
            found.estimates[name] = found.unadjusted[name] = found.removed[name] = None
            found.coefficients[name], found.asymmetry[name], found.extrapolated[name] = {}, {}, ()
            continue
        _adjust(name, effects[rows], features[rows], names, None if codes is None else codes[rows], level, found)
    return found


def as_features(
    differences: Any, names: Sequence[str] | None, n: int, what: str = "feature_differences"
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Features as finite numbers `(N, K)`, and their names."""
    if names is None and isinstance(differences, pd.DataFrame):
        names = [str(name) for name in differences.columns]
    try:
        features = np.asarray(differences, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what} must be numbers of shape ({n}, K): {error}") from error
    if features.ndim == 1:
        features = features[:, None]
    if features.ndim != 2 or len(features) != n or features.shape[1] < 1:
        raise ValueError(
            f"{what} must have a row for each of the {n} rows of the table, shape (N, K), got {features.shape}"
        )
    names = tuple(f"feature_{k}" for k in range(features.shape[1])) if names is None else tuple(names)
    if len(names) != features.shape[1] or len(set(names)) < len(names):
        raise ValueError(f"names must name each of the {features.shape[1]} features once, got {list(names)}")
    bad = np.argwhere(~np.isfinite(features))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"{what}: {names[column]!r} is not finite in {int(np.sum(bad[:, 1] == column))} rows; first: row {row}, value "
            f"{features[row, column]}. Leave such rows out of the table as well, and count them."
        )
    return features, names


def _adjust(
    name: str,
    effects: np.ndarray,
    features: np.ndarray,
    names: tuple[str, ...],
    clusters: np.ndarray | None,
    level: float,
    found: FeatureAdjustedEffects,
) -> None:
    n = len(effects)
    fit = regress(effects, np.column_stack([np.ones(n), features]), clusters)
    estimate = found.estimates[name] = fit.coefficient(0, level)
    unadjusted = found.unadjusted[name] = mean_estimate(effects, clusters, level)
    found.coefficients[name] = {feature: fit.coefficient(k, level) for k, feature in enumerate(names, start=1)}
    found.asymmetry[name] = {
        feature: mean_estimate(column, clusters, level) for feature, column in zip(names, features.T, strict=True)
    }
    found.extrapolated[name] = tuple(
        feature for feature, low, high in zip(names, features.min(axis=0), features.max(axis=0), strict=True)
        if low > 0 or high < 0
    )  # fmt: skip
    if estimate is None:
        found.removed[name] = None
    else:
        # What rows add to the plain mean, on the scale of the regression's errors
        units = int(fit.codes.max()) + 1
        plain_mean = (effects - effects.mean()) / n * np.sqrt(units / (units - 1) if units > 1 else np.nan)
        found.removed[name] = fit.estimate(
            unadjusted.value - estimate.value,
            plain_mean - fit.influence[:, 0],
            level,
            "difference of mean and intercept, ",
        )
    undetermined = [feature for feature, coefficient in found.coefficients[name].items() if coefficient is None]
    if undetermined or estimate is None:
        logger.warning(
            "%s: no coefficient for %s, which the %d rows can't tell apart%s",
            *(name, undetermined, n, "" if estimate else ", nor an effect: a feature is the same in all rows"),
        )
    if found.extrapolated[name]:
        logger.warning(
            "%s: %s differ in the same direction in every row; at equal features the effect is extrapolated",
            *(name, list(found.extrapolated[name])),
        )
