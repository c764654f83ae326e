"""What a calibration did to the rewards beside the win rates: their scale, their order, their liking of length and format."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ...evaluation.comparison.correlations import pearson_statistic, reward_correlations, spearman_statistic
from ...evaluation.statistics import Estimate, check_level, cluster_bootstrap, cluster_bootstraps, cluster_codes
from ..mismatch.change import aligned_after
from ..score_table import ScoreTable


MEASURES = ("joint_slope", "slope", "rank_correlation")
WHEN = ("before", "after", "change")
_BELOW = 1e-12  # variation, relative to the largest value, that is rounding


class NothingVaries(ValueError):
    """No feature, or no reward, differs within a prompt: there is no slope."""


@dataclass(frozen=True)
class RewardDrift:
    """
    How rewards changed beside the win rates.

    Args:
        features (`pandas.DataFrame`):
            A row per feature and measure: `feature, measure, before, before_se, before_low, before_high`, the same of
            `after` and `change`, `n` (prompts), and `method`. Measures, all within prompts: `joint_slope`, standard
            deviations of reward per standard deviation of the feature with the other features held fixed; `slope`, the
            same of the feature alone, which is the correlation; `rank_correlation`.
        risen, fallen (`tuple[str, ...]`):
            Features whose joint slope changed beyond chance, in the direction of the slope that they have after, or
            against the one that they had before. All of change, after and before have intervals that exclude 0, at a
            level corrected for the number of features. A slope that changed its sign may be in both.
        substitution (`bool`):
            Whether one fell and one rose: the pressure moved to another axis, or to the other end of the same.
        scale (`dict[str, Estimate | float]`):
            `sd_before`, `sd_after` (of all rewards), `within_prompt_sd_before`, `within_prompt_sd_after`,
            `pearson`, `spearman` (of before and after over all responses).
        order_within_models (`pandas.DataFrame`):
            A row per model: `model`, `spearman` of before and after over its own responses with `ci_low, ci_high, n`,
            `mean_before`, `mean_after`.
        constant (`tuple[str, ...]`):
            Features that don't vary within any prompt, and have no figures.
    """

    features: pd.DataFrame
    risen: tuple[str, ...]
    fallen: tuple[str, ...]
    substitution: bool
    scale: dict[str, Estimate | float]
    order_within_models: pd.DataFrame
    constant: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        figures: dict[str, dict[str, Any]] = {}
        for row in self.features.to_dict("records"):
            figures.setdefault(row["feature"], {})[row["measure"]] = {
                when: {
                    **{"value": row[when], "se": row[f"{when}_se"], "ci_low": row[f"{when}_low"]},
                    **{"ci_high": row[f"{when}_high"], "n": row["n"], "method": row["method"]},
                }
                for when in WHEN
            }
        return {
            "features": figures,
            **{"risen": list(self.risen), "fallen": list(self.fallen), "substitution": self.substitution},
            "scale": {k: v.to_dict() if isinstance(v, Estimate) else v for k, v in self.scale.items()},
            "order_within_models": self.order_within_models.to_dict("records"),
            "constant_features": list(self.constant),
        }


def reward_drift(
    before: ScoreTable,
    after: ScoreTable,
    features: Mapping[str, ArrayLike],
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> RewardDrift:
    """
    Dependence of rewards on length and format before and after a calibration, and what became of their scale and order.

    A calibration that punishes one thing that a model does may push the reward towards another that goes with it. So
    all features are in one regression, on what they and the rewards have beyond the mean of their prompt; both are in
    standard deviations, so that a reward model that only got other units does not change. Prompts are drawn by a paired
    bootstrap: one draw counts before and after.

    Slopes say what rewards go along with, not why: better responses may be longer. It is their change on the same
    responses that belongs to the calibration.

    Args:
        before ([`ScoreTable`]):
            Rewards before.
        after ([`ScoreTable`]):
            Rewards of the same responses after.
        features (`Mapping[str, array_like of shape (N, M)]`):
            Features of the responses, row by prompt and column by model of `before`, such as [`response_features`] of the
            same prompts and models. Counts are best given as they are, or as logarithms of 1 + count.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every prompt. By default every prompt is one.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Of the bootstrap.
        seed (`int`, *optional*, defaults to `0`):
            Its seed.

    Returns:
        [`RewardDrift`]

    Raises:
        ValueError: Prompts or models differ, or a feature has another shape or is not finite.
        NothingVaries: A `ValueError`: no feature varies within a prompt, or the rewards don't.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.arena import ScoreTable, reward_drift
        >>> rng = np.random.default_rng(0)
        >>> length, lists, quality = rng.normal(size=(3, 300, 4))
        >>> models, ids = ("a", "b", "c", "d"), tuple(map(str, range(300)))
        >>> before = ScoreTable(ids, models, quality + length)
        >>> after = ScoreTable(ids, models, quality + lists)
        >>> drift = reward_drift(before, after, {"length": length, "lists": lists}, resamples=200)
        >>> drift.fallen, drift.risen, drift.substitution
        (('length',), ('lists',), True)

        ```
    """
    check_level(level)
    after = aligned_after(before, after)
    arrays = {name: _checked(values, name, before.scores.shape) for name, values in features.items()}
    # A count that differs within no prompt is known to have no effect on any comparison
    constant = tuple(name for name, values in arrays.items() if not _varies(_centred(values)))
    used = {name: values for name, values in arrays.items() if name not in constant}
    if not used:
        raise NothingVaries(
            f"no feature varies within a prompt (given: {', '.join(arrays) or 'none'}): nothing can depend on them"
        )
    for when, table in (("before", before), ("after", after)):
        if not _varies(_centred(table.scores)):
            raise NothingVaries(f"rewards {when} the calibration don't differ within any prompt")
    units = np.arange(len(before)) if clusters is None else clusters
    names = list(used)
    options = {"resamples": resamples, "seed": seed}
    values = np.stack([*used.values(), before.scores, after.scores])
    products, of_ranks = _products(values), _products(stats.rankdata(values, axis=2))
    figures = {
        "joint_slope": cluster_bootstraps(_slopes(products, joint=True), units, level=level, **options),
        "slope": cluster_bootstraps(_slopes(products, joint=False), units, level=level, **options),
        "rank_correlation": cluster_bootstraps(_slopes(of_ranks, joint=False), units, level=level, **options),
    }
    strict_level = 1 - (1 - level) / len(names)
    strict = cluster_bootstraps(_slopes(products, joint=True), units, level=strict_level, **options)
    rows = []
    for measure in MEASURES:
        for name, found in zip(names, _by_feature(figures[measure]), strict=True):
            row: dict[str, Any] = {"feature": name, "measure": measure}
            for when, estimate in zip(WHEN, found, strict=True):
                row |= {when: estimate.value, f"{when}_se": estimate.se}
                row |= {f"{when}_low": estimate.ci_low, f"{when}_high": estimate.ci_high}
            rows.append(row | {"n": len(before), "method": found[0].method})
    moves = [_moved(*found) for found in _by_feature(strict)]
    risen, fallen = ([name for name, way in zip(names, moves, strict=True) if way[side]] for side in (0, 1))
    return RewardDrift(
        features=pd.DataFrame(rows),
        risen=tuple(risen),
        fallen=tuple(fallen),
        substitution=bool(risen and fallen),
        scale=_scale(before, after, units, level, resamples, seed),
        order_within_models=_order_within_models(before, after, level),
        constant=constant,
    )


def _checked(values: ArrayLike, name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"feature {name!r} must have shape (prompts, models) = {shape}, got {array.shape}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        raise ValueError(
            f"feature {name!r} has {len(bad)} values that are not finite; first: row {bad[0][0]}, column {bad[0][1]}"
        )
    return array


def _centred(values: np.ndarray) -> np.ndarray:
    return values - values.mean(axis=-1, keepdims=True)


def _varies(centred: np.ndarray) -> bool:
    return bool(np.any(np.abs(centred) > _BELOW * max(1.0, float(np.abs(centred).max()))))


def _products(values: np.ndarray) -> np.ndarray:
    """Sums of products `(N, V, V)` of V variables `(V, N, M)` about their means within prompts, in standard
    deviations."""
    centred = _centred(values)
    centred /= np.sqrt(np.mean(centred**2, axis=(1, 2), keepdims=True))
    return np.einsum("vnm,wnm->nvw", centred, centred)


def _slopes(products: np.ndarray, *, joint: bool) -> Callable[[np.ndarray], np.ndarray]:
    """
    Standardised slopes of F features from weights of prompts `(B, N)`: `(B, 3F)`, feature by feature before, after, change.
    """
    count = products.shape[1] - 2

    def statistics(weights: np.ndarray) -> np.ndarray:
        total = (weights @ products.reshape(len(products), -1)).reshape(-1, *products.shape[1:])
        features, rewards = total[:, :count, :count], total[:, :count, count:]
        variances = np.diagonal(features, axis1=1, axis2=2)[:, :, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            # of features that are copies of one another in a resample, the smallest coefficients
            slopes = np.linalg.pinv(features, hermitian=True) @ rewards if joint else rewards / variances
            slopes = slopes * np.sqrt(variances / np.diagonal(total, axis1=1, axis2=2)[:, None, count:])
        return np.concatenate([slopes, np.diff(slopes, axis=2)], axis=2).reshape(len(weights), -1)

    return statistics


def _by_feature(estimates: list[Estimate]) -> list[list[Estimate]]:
    """Before, after and change of every feature."""
    return [estimates[start : start + len(WHEN)] for start in range(0, len(estimates), len(WHEN))]


def _moved(before: Estimate, after: Estimate, change: Estimate) -> tuple[bool, bool]:
    """Whether a slope rose in the direction that it has now, and whether it fell from the one that it had."""

    def sign(figure: Estimate) -> int:
        return int(figure.ci_low > 0) - int(figure.ci_high < 0)

    way = sign(change)
    return way != 0 and sign(after) == way, way != 0 and sign(before) == -way


def _scale(
    before: ScoreTable, after: ScoreTable, units: ArrayLike, level: float, resamples: int, seed: int
) -> dict[str, Estimate | float]:
    found: dict[str, Estimate | float] = {}
    for when, table in (("before", before), ("after", after)):
        found[f"sd_{when}"] = float(table.scores.std(ddof=1))
        within = _centred(table.scores)
        found[f"within_prompt_sd_{when}"] = float(np.sqrt(np.sum(within**2) / (within.size - len(within))))
    x, y = before.scores.ravel(), after.scores.ravel()
    labels = np.repeat(cluster_codes(units, len(before))[0], before.scores.shape[1])
    for kind, statistic in (("pearson", pearson_statistic(x, y)), ("spearman", spearman_statistic(x, y))):
        found[kind] = cluster_bootstrap(statistic, labels, resamples=resamples, seed=seed, level=level)
    return found


def _order_within_models(before: ScoreTable, after: ScoreTable, level: float) -> pd.DataFrame:
    rows = []
    for model in before.models:
        rewards = {"before": before.of(model), "after": after.of(model)}
        found = reward_correlations(rewards, kind="spearman", level=level).correlations["before", "after"]
        rows.append(
            {
                **{"model": model, "spearman": found.value, "ci_low": found.ci_low, "ci_high": found.ci_high},
                **{"n": found.n, "method": found.method},
                **{"mean_before": rewards["before"].mean(), "mean_after": rewards["after"].mean()},
            }
        )
    return pd.DataFrame(rows)
