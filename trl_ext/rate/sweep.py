"""Effects over levels of something that should not matter, and the slope of each estimator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.statistics import Estimate
from .effects import estimate_to_dict
from .estimands import pooled_reward_std
from .influence import count_units, effect_influence, estimate_from_influence
from .reward_chains import RewardChains


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
    labels = _labels(chains)
    codes, units = pd.factorize(np.concatenate(list(labels.values())))
    starts = np.cumsum([0, *(len(part) for part in chains.values())])
    rows, slopes = [], {}
    for name in estimators:
        total, slope, fewest = np.zeros(len(units)), 0.0, len(units)
        for i, (at, part) in enumerate(chains.items()):
            own = codes[starts[i] : starts[i + 1]]
            row: dict[str, Any] = {
                "level": at,
                "estimator": name,
                "n": len(part),
                "reward_std": pooled_reward_std(part),
            }
            value, influence = effect_influence(part, name, normalised=normalised)
            if value is None or influence is None:
                slope = np.nan
            else:
                clusters = None if part.clusters is None else own
                count = count_units(part, name, clusters)
                estimate = estimate_from_influence(
                    value, influence, clusters, count, level, n=len(part), what="t interval"
                )
                row |= {key: getattr(estimate, key) for key in ("value", "se", "ci_low", "ci_high")}
                total += weights[i] * np.bincount(own, weights=influence, minlength=len(units))
                slope += weights[i] * value
                fewest = 1 if count < 2 else fewest
            rows.append(row)
        what = "slope over levels, t interval robust to rows that levels share"
        slopes[name] = (
            None
            if np.isnan(slope)
            else estimate_from_influence(
                float(slope), total, np.arange(len(units)), fewest, level, n=int(starts[-1]), what=what
            )
        )
    columns = ["level", "estimator", "value", "se", "ci_low", "ci_high", "n", "reward_std"]
    return Sweep(pd.DataFrame(rows, columns=columns), slopes)


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
