"""Effects over levels of something that should not matter, and the slope of each estimator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.statistics import Estimate
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import Figure, check_effects, effect_figure, t_estimate
from ..estimators.effects import estimate_to_dict
from ..estimators.estimands import count_rows, pooled_reward_std
from ..estimators.group_difference import welch_degrees


ESTIMATORS = ("naive_effect", "ATE_single_rewrite", "ATE_rewritten_rewrite")


@dataclass(frozen=True)
class Sweep:
    """
    Effects by level.

    Args:
        table (`pandas.DataFrame`):
            Columns `level, estimator, value, se, ci_low, ci_high, n, reward_std`; a row for each level and estimator.
        slopes (`Mapping[str, Estimate | None]`):
            Slope of the least squares line over levels, by estimator; `None` if an effect is not known at some level.
    """

    table: pd.DataFrame
    slopes: Mapping[str, Estimate | None]

    def slope_table(self) -> pd.DataFrame:
        """Columns `estimator, slope, se, ci_low, ci_high` of the slopes that are known."""
        rows = [
            {"estimator": name, "slope": slope.value, "se": slope.se, "ci_low": slope.ci_low, "ci_high": slope.ci_high}
            for name, slope in self.slopes.items()
            if slope is not None
        ]
        return pd.DataFrame(rows, columns=["estimator", "slope", "se", "ci_low", "ci_high"])

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON, with `None` for what is not known."""
        rows = self.table.astype(object).where(self.table.notna(), None).to_dict("records")
        return {"levels": rows, "slopes": {name: estimate_to_dict(slope) for name, slope in self.slopes.items()}}


def slope_weights(levels: Sequence[float]) -> np.ndarray:
    """Weights `(L,)` of the values at some levels in the slope of their least squares line."""
    centred = np.asarray(levels, dtype=np.float64) - np.mean(levels)
    if len(centred) < 2 or not centred.any():
        raise ValueError(f"a slope needs two different levels or more, got {list(levels)}")
    return centred / (centred @ centred)


def sweep_effects(
    tables: Mapping[float, Any],
    *,
    normalised: bool = True,
    estimators: Sequence[str] = ESTIMATORS,
    level: float = 0.95,
) -> Sweep:
    """
    Effects at each level, with paired (or cluster-robust) intervals, and their slopes.

    Levels share rows or prompts: the interval of a slope adds up what each cluster (without clusters: each id) does at
    all levels, instead of taking levels for independent.

    Args:
        tables (`Mapping[float, RewardChains or table]`):
            Rewards by level. All have clusters, or ids, or none has; without either, levels count as independent.
        normalised (`bool`, *optional*, defaults to `True`):
            Divide by the level's standard deviation of rewards, as the original's figures; intervals are those of the
            ratio (delta method).
        estimators (`Sequence[str]`, *optional*):
            Names of effects. Naive, single rewrite, and RATE by default.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`Sweep`]

    Raises:
        ValueError: There are fewer than two levels, or some have labels and others not.

    Example:
        ```python
        >>> from trl_ext.rate import simulate_rewards, sweep_effects
        >>> tables = {style: simulate_rewards(2000, seed=0, beta0=0.0, m1=style) for style in (0.0, 0.5, 1.0)}
        >>> for name, slope in sweep_effects(tables, normalised=False).slopes.items():
        ...     print(f"{name} {slope.value:.2f} [{slope.ci_low:.2f}, {slope.ci_high:.2f}]")
        naive_effect -0.50 [-0.50, -0.50]
        ATE_single_rewrite -0.25 [-0.26, -0.24]
        ATE_rewritten_rewrite 0.00 [0.00, 0.00]

        ```
    """
    chains = {float(key): RewardChains.of_table(tables[key]) for key in sorted(tables)}
    weights = slope_weights(list(chains))
    estimators = check_effects(estimators)
    labels = _labels(chains)
    codes, units = pd.factorize(np.concatenate(list(labels.values())))
    starts = np.cumsum([0, *(len(part) for part in chains.values())])
    what = "effect / reward_std, delta method" if normalised else "effect"
    rows, slopes = [], {}
    for name in estimators:
        figures = []
        for i, (at, part) in enumerate(chains.items()):
            figure = effect_figure(part, name, codes[starts[i] : starts[i + 1]], normalised=normalised)
            row = {"level": at, "estimator": name, "n": count_rows(part, name), "reward_std": pooled_reward_std(part)}
            if figure is not None:
                estimate = figure.estimate(level, what)
                row |= {key: getattr(estimate, key) for key in ("value", "se", "ci_low", "ci_high")}
                figures.append(figure)
            rows.append(row)
        slopes[name] = _slope(figures, weights, len(units), level) if len(figures) == len(chains) else None
    columns = ["level", "estimator", "value", "se", "ci_low", "ci_high", "n", "reward_std"]
    return Sweep(pd.DataFrame(rows, columns=columns), slopes)


def _slope(figures: Sequence[Figure], weights: np.ndarray, units: int, level: float) -> Estimate:
    """Slope of the figures of levels, of which each lost a degree of freedom of its own."""
    total, shared = np.zeros(units), np.zeros(units, dtype=np.int64)
    for figure, weight in zip(figures, weights, strict=True):
        own = np.pad(figure.influence, (0, units - len(figure.influence)))
        total += weight * own
        shared += own != 0
    degrees = [figure.degrees for figure in figures]
    if min(degrees) == 0:
        found = 0.0
    elif (shared > 1).any():  # the same units at all levels, with about as many degrees as at one of them
        found = min(max(degrees), units - 1.0)
    else:
        variances = [(weight * figure.se) ** 2 for figure, weight in zip(figures, weights, strict=True)]
        found = welch_degrees(variances, [count + 1 for count in degrees])
    value = float(sum(weight * figure.value for figure, weight in zip(figures, weights, strict=True)))
    slope = Figure(value, total, sum(figure.n for figure in figures), found, "t interval", 0.0)
    return t_estimate(slope, slope.se, level, "slope over levels, robust to rows that levels share")


def _labels(chains: Mapping[float, RewardChains]) -> dict[float, np.ndarray]:
    """What rows of all levels belong together by."""
    for name in ("clusters", "ids"):
        have = [getattr(part, name) is not None for part in chains.values()]
        if all(have):
            return {at: np.asarray(getattr(part, name), dtype=object) for at, part in chains.items()}
        if any(have):
            raise ValueError(
                f"level {list(chains)[have.index(False)]:g} has no {name}, others have: give all levels {name}"
            )
    starts = np.cumsum([0, *(len(part) for part in chains.values())])
    return {at: start + np.arange(len(part)) for start, (at, part) in zip(starts[:-1], chains.items(), strict=True)}
