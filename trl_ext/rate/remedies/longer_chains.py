"""Three and more rewrites: an effect with less bias from what rewrites leave of the original, and a test by depth."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...evaluation.statistics import Estimate, check_level, mean_covariance, mean_estimate
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import ESTIMANDS
from ..estimators.estimands import effect_rows
from ..plain_json import plain


def symmetric_weights(steps: int) -> np.ndarray:
    r"""
    Weights of the effects \( \delta_2, …, \delta_K \) by depth: binomial, \( \binom{K-2}{k-2} / 2^{K-2} \).

    Args:
        steps (`int`): Number of rewrites K, at least 2.

    Returns:
        `np.ndarray` of shape `(K - 1,)`: Their sum is 1.
    """
    return np.array([comb(steps - 2, k) for k in range(steps - 1)]) / 2.0 ** (steps - 2)


def symmetric_effects(table: Any, *, level: float = 0.95) -> dict[str, Estimate | None]:
    r"""
    RATE with three or more rewrites: with three \( \pm (r_2 - (r_1 + r_3) / 2) \), where the first rewrite is of the
    original, and the third of a text that was rewritten twice.

    If a rewrite keeps a share c of what is off target in a text, the two rewrites of RATE are at different distances from
    the original, and the difference, \( c(1-c) \) of the original's deviation, is paid for. Three rewrites leave
    \( c(1-c)^2/2 \) of it, K rewrites with binomial weights of the effects by depth \( c(1-c)^{K-1}/2^{K-2} \). With
    rewrites that forget (c = 0) nothing is to be repaired, and the standard error shrinks: by √(3/4) with three rewrites.

    It does not help where rewrites into the attribute differ from rewrites out of it in something else
    ([`feature_adjusted_effects`]), nor where they do not change it ([`compliance_corrected_effects`]).

    Args:
        table ([`RewardChains`] or table):
            Columns `w, original, rewrite, rewritten_rewrite, rewrite_3[, rewrite_4, ...][, cluster]`, see
            [`RewardChains.of_table`].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        `dict[str, Estimate | None]`: `ATE`, `ATT` and `ATU`; `None` where there are no such rows. Paired t interval, CR1
        with clusters.

    Raises:
        ValueError: The table is not as it must be, or has fewer than three rewrites.

    Example:
        ```python
        >>> from trl_ext.rate import symmetric_effects
        >>> effects = symmetric_effects(
        ...     {
        ...         "w": [1, 1],
        ...         "original": [9.0, 9.0],
        ...         "rewrite": [2.0, 2.5],
        ...         "rewritten_rewrite": [4.0, 4.5],
        ...         "rewrite_3": [3.0, 2.5],
        ...     }
        ... )
        >>> effects["ATT"].value, effects["ATU"]  # 4 − (2 + 3) / 2 and 4.5 − (2.5 + 2.5) / 2
        (1.75, None)

        ```
    """
    chains = _with_three_rewrites(table)
    weights = symmetric_weights(chains.steps)
    effects = sum(weight * step_effects(chains, step) for step, weight in enumerate(weights, start=2))
    codes = None if chains.clusters is None else pd.factorize(chains.clusters)[0]
    estimates: dict[str, Estimate | None] = {}
    for name in ESTIMANDS:
        rows = effect_rows(chains, name)
        labels = None if codes is None else codes[rows]
        estimates[name] = mean_estimate(effects[rows], labels, level) if rows.any() else None
    return estimates


@dataclass(frozen=True)
class DepthTest(Mapping[str, "EffectsByDepth | None"]):
    """
    Effects by depth for `ATE`, `ATT` and `ATU`; `None` where there are no such rows.

    Args:
        results (`dict[str, EffectsByDepth | None]`): By effect.
    """

    results: dict[str, "EffectsByDepth | None"]

    def __getitem__(self, name: str) -> "EffectsByDepth | None":
        return self.results[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self)["results"])


@dataclass(frozen=True)
class EffectsByDepth:
    """
    Does the effect depend on how often texts were rewritten?

    Args:
        effects (`dict[int, Estimate]`):
            Effect read from rewrite k and the one before it, for k = 2 (RATE), 3, ...
        changes (`dict[int, Estimate]`):
            Effect of depth k minus that of depth k − 1, for k = 3, ...
        p_value (`float`):
            Of all being equal; NaN with fewer units than depths.
        statistic (`float`):
            F of Hotelling's test.
        degrees (`tuple[float, float]`):
            Of F.
    """

    effects: dict[int, Estimate]
    changes: dict[int, Estimate]
    p_value: float
    statistic: float
    degrees: tuple[float, float]


def depth_test(table: Any, *, level: float = 0.95) -> DepthTest:
    r"""
    Test of what RATE supposes: that what rewriting does to a text does not depend on where the text came from. Then the
    effect read from rewrites 2 and 1 is that of rewrites 3 and 2, and so on.

    It finds traces of the original that rewrites keep, texts that degrade the more often they are rewritten, and rewrites
    that fail to change the attribute. It does not find what rewrites into the attribute always do beside it, such as
    making texts longer: that is the same at every depth. ATT and ATU are tested as well, as their changes may cancel in
    ATE. A test that finds nothing is worth as much as the intervals of the changes are narrow.

    References:
        - Hotelling, The Generalization of Student's Ratio, 1931: \( T^2 (G-p)/(p(G-1)) \) is F with p and G−p degrees of
          freedom, p = K − 2 changes, G rows or clusters.

    Args:
        table ([`RewardChains`] or table):
            As in [`symmetric_effects`], with three or more rewrites.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`DepthTest`]

    Raises:
        ValueError: The table is not as it must be, or has fewer than three rewrites.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import depth_test
        >>> rng = np.random.default_rng(0)
        >>> trace = 2 + rng.normal(size=300)  # what the original has beside the attribute; each rewrite keeps half of it
        >>> names = ["original", "rewrite", "rewritten_rewrite", "rewrite_3"]
        >>> kept = {name: trace * 0.5**step + rng.normal(0, 0.1, 300) for step, name in enumerate(names)}
        >>> kept["rewritten_rewrite"] += 1  # the attribute, for which there is a reward of 1
        >>> found = depth_test({"w": np.ones(300), **kept})["ATT"]
        >>> [round(effect.value, 1) for effect in found.effects.values()], found.p_value < 0.001
        ([0.5, 1.2], True)

        ```
    """
    check_level(level)
    chains = _with_three_rewrites(table)
    depths = range(2, chains.steps + 1)
    effects = np.stack([step_effects(chains, step) for step in depths], axis=1)
    changes = np.diff(effects, axis=1)
    codes = None if chains.clusters is None else pd.factorize(chains.clusters)[0]
    results: dict[str, EffectsByDepth | None] = {}
    for name in ESTIMANDS:
        rows = effect_rows(chains, name)
        if not rows.any():
            results[name] = None
            continue
        labels = None if codes is None else codes[rows]
        results[name] = EffectsByDepth(
            {step: mean_estimate(column, labels, level) for step, column in zip(depths, effects[rows].T, strict=True)},
            {
                step: mean_estimate(column, labels, level)
                for step, column in zip(depths[1:], changes[rows].T, strict=True)
            },
            *_hotelling(changes[rows], labels),
        )
    return DepthTest(results)


def _hotelling(columns: np.ndarray, labels: np.ndarray | None) -> tuple[float, float, tuple[float, float]]:
    """p-value, F and degrees of freedom of all column means being 0."""
    covariance, degrees = mean_covariance(columns, labels)
    tested = columns.shape[1]
    second = degrees + 1 - tested
    if second < 1:
        return np.nan, np.nan, (float(tested), float(max(second, 0)))
    means = columns.mean(axis=0)
    scale = np.sqrt(np.diag(covariance))
    if not (scale > 0).all():  # a change that is the same in all rows: 0 for certain, or for certain not
        certain = bool(np.any((scale == 0) & (means != 0)))
        if certain or not (scale > 0).any():
            return (
                (0.0, np.inf, (float(tested), float(second)))
                if certain
                else (1.0, 0.0, (float(tested), float(second)))
            )
    used = scale > 0
    standard = means[used] / scale[used]
    correlation = covariance[np.ix_(used, used)] / np.outer(scale[used], scale[used])
    squared = float(standard @ np.linalg.pinv(correlation, hermitian=True) @ standard)
    p = int(used.sum())
    second = degrees + 1 - p
    statistic = squared * second / (p * degrees)
    return float(stats.f.sf(statistic, p, second)), statistic, (float(p), float(second))


def step_effects(chains: RewardChains, step: int) -> np.ndarray:
    """
    Effect read from a text and the one before it: whichever should have the attribute minus the other.

    Args:
        chains ([`RewardChains`]): Rewards of K rewrites.
        step (`int`): In 1..K; 1 is the single rewrite, 2 is RATE.

    Returns:
        `np.ndarray` of shape `(N,)`: In reward units.
    """
    direction = 1.0 if step % 2 == 0 else -1.0
    return direction * chains.sign * (chains.of(step) - chains.of(step - 1))


def _with_three_rewrites(table: Any) -> RewardChains:
    chains = RewardChains.of_table(table)
    if chains.steps < 3:
        raise ValueError(
            f"there are {chains.steps} rewrites of every text, and 3 are needed (column 'rewrite_3'); RATE with two is "
            "estimate_effects"
        )
    return chains
