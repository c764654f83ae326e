"""Does one reward model pay more for an attribute than another? Differences of effects on the same texts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.statistics import Estimate, bootstrap_replicates, check_level
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import Figure, check_effects, effect_figure, t_estimate, unit_codes
from ..estimators.estimands import pooled_reward_std
from ..estimators.normalised import sufficient_sums
from ..estimators.ratio_interval import bootstrap_covariances, ratio_interval
from ..plain_json import plain
from .shared_rows import align_chains
from .simultaneous_inference import joint_tests


logger = logging.getLogger(__name__)

RATE = ("ATE_rewritten_rewrite",)


@dataclass(frozen=True)
class RewardModelContrast:
    """
    Effect in one reward model minus effect in another.

    Args:
        a (`str`): The first reward model.
        b (`str`): The second.
        estimand (`str`): Name of the effect, such as `ATE_rewritten_rewrite`.
        unit (`str`): `"reward"`: as scored, comparable only if both have the same scale; `"sd"`: each in standard
            deviations of its rewards of the originals.
        effect_a, effect_b ([`Estimate`]): Effects in this unit.
        difference ([`Estimate`]): a minus b, with its own interval.
        p_value (`float`): Of no difference, by itself.
        holm, fdr_bh, max_t (`float`): Corrected for the number of contrasts in this unit.
        simultaneous ([`Estimate`]): The difference, with an interval that holds for all contrasts in this unit at once.
    """

    a: str
    b: str
    estimand: str
    unit: str
    effect_a: Estimate
    effect_b: Estimate
    difference: Estimate
    p_value: float
    holm: float
    fdr_bh: float
    max_t: float
    simultaneous: Estimate


@dataclass(frozen=True)
class RewardModelComparison:
    """
    Contrasts of reward models on the rows that all of them scored.

    Args:
        contrasts (`tuple[RewardModelContrast, ...]`):
            All pairs, or each against the baseline; effects whose rows do not occur are left out.
        reward_std (`dict[str, float | None]`):
            Standard deviation of rewards of the originals within groups, by reward model; `None` if there is none.
        n (`int`):
            Rows compared.
        left_out (`dict[str, int]`):
            By reward model, rows that others have not scored.
        baseline (`str`, *optional*):
            What the others are compared with.
        level (`float`):
            Confidence level.
    """

    contrasts: tuple[RewardModelContrast, ...]
    reward_std: dict[str, float | None]
    n: int
    left_out: dict[str, int]
    baseline: str | None
    level: float

    def table(self) -> pd.DataFrame:
        """
        A row per contrast: `a, b, estimand, unit, effect_a, effect_b, difference, se, ci_low, ci_high, p_value, holm,
        fdr_bh, max_t, simultaneous_low, simultaneous_high, n, method`.
        """
        return pd.DataFrame(
            {
                **{name: getattr(contrast, name) for name in ("a", "b", "estimand", "unit")},
                **{"effect_a": contrast.effect_a.value, "effect_b": contrast.effect_b.value},
                **{"difference": contrast.difference.value, "se": contrast.difference.se},
                **{"ci_low": contrast.difference.ci_low, "ci_high": contrast.difference.ci_high},
                **{name: getattr(contrast, name) for name in ("p_value", "holm", "fdr_bh", "max_t")},
                **{
                    "simultaneous_low": contrast.simultaneous.ci_low,
                    "simultaneous_high": contrast.simultaneous.ci_high,
                },
                **{"n": contrast.difference.n, "method": contrast.difference.method},
            }
            for contrast in self.contrasts
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self))


def compare_reward_models(
    tables: Mapping[str, Any],
    *,
    baseline: str | None = None,
    estimands: Sequence[str] = RATE,
    intersect: bool = False,
    normalised: bool = True,
    resamples: int = 2000,
    draws: int = 20_000,
    seed: int = 0,
    level: float = 0.95,
) -> RewardModelComparison:
    """
    Compare what reward models pay for an attribute, on the same texts and rewrites.

    The difference of two models varies less than either effect, as both scored the same texts: intervals of effects may
    overlap and the difference be certain. In rewards it has a paired t interval (CR1 with clusters). In standard
    deviations its standard error is that of a bootstrap of rows or clusters, which re-estimates both deviations, with t.
    p-values and simultaneous intervals are of the same standard errors: p < .05 where the 95 % interval excludes 0.

    References:
        - RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, https://arxiv.org/abs/2410.11348
        - Holm, 1979; Benjamini and Hochberg, 1995; Westfall and Young, 1993 (max-t), see [`adjust_family`].

    Args:
        tables (`Mapping[str, RewardChains or table]`):
            By reward model, rewards of the same texts, see [`RewardChains.of_table`]. Rows are matched by `id`; where no
            table has ids, by their order.
        baseline (`str`, *optional*):
            A reward model: the others are compared with it. By default all pairs are.
        estimands (`Sequence[str]`, *optional*):
            Names of effects of [`estimate_effects`]. By default RATE's ATE.
        intersect (`bool`, *optional*, defaults to `False`):
            Compare on the rows that all have, and count the others. Otherwise other ids are an error.
        normalised (`bool`, *optional*, defaults to `True`):
            Compare in standard deviations as well.
        resamples (`int`, *optional*, defaults to `2000`):
            Of the bootstrap.
        draws (`int`, *optional*, defaults to `20_000`):
            Of the largest t.
        seed (`int`, *optional*, defaults to `0`):
            Of both.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`RewardModelComparison`]

    Raises:
        ValueError: There are fewer than two tables, ids differ, or a row's `w` or cluster does between tables; the row is
            named.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import compare_reward_models
        >>> rng = np.random.default_rng(0)
        >>> w, quality = rng.random(400) < 0.5, rng.normal(size=400)
        >>> tables = {}
        >>> for name, effect in (("before", 1.0), ("after", 0.6)):
        ...     has = np.stack([w, ~w, w], axis=1)
        ...     rewards = quality[:, None] + effect * has + rng.normal(0, 0.3, (400, 3))
        ...     tables[name] = {"w": w, **dict(zip(["original", "rewrite", "rewritten_rewrite"], rewards.T))}
        >>> found = compare_reward_models(tables, baseline="before", normalised=False).contrasts[0]
        >>> print(f"{found.a} − {found.b}: {found.difference.value:.2f}, p < .001: {found.p_value < 0.001}")
        after − before: -0.43, p < .001: True

        ```
    """
    check_level(level)
    estimands = check_effects(estimands)
    if len(tables) < 2:
        raise ValueError(f"at least two reward models are compared, got {', '.join(tables) or 'none'}")
    if baseline is not None and baseline not in tables:
        raise ValueError(f"baseline {baseline!r} is not one of the reward models {', '.join(map(repr, tables))}")
    chains, left_out = align_chains({name: RewardChains.of_table(table) for name, table in tables.items()}, intersect)
    first = next(iter(chains.values()))
    codes = unit_codes(first)
    pairs = (
        list(combinations(chains, 2))
        if baseline is None
        else [(name, baseline) for name in chains if name != baseline]
    )
    stds = {name: pooled_reward_std(each) for name, each in chains.items()}
    contrasts = _in_rewards(chains, pairs, estimands, codes, draws, seed, level)
    if normalised:
        flat = [name for name, std in stds.items() if not std]
        if flat:
            logger.warning("no comparison in standard deviations: rewards of %s do not vary", ", ".join(flat))
        else:
            contrasts += _in_deviations(chains, pairs, estimands, codes, resamples, draws, seed, level)
    return RewardModelComparison(tuple(contrasts), stds, len(first), left_out, baseline, level)


def _in_rewards(
    chains: dict[str, RewardChains], pairs: list[tuple[str, str]], names: tuple[str, ...], codes: np.ndarray,
    draws: int, seed: int, level: float,
) -> list[RewardModelContrast]:  # fmt: skip
    figures = _figures(chains, names, codes, normalised=False)
    keys = [(a, b, name) for name in names for a, b in pairs if (a, name) in figures]
    if not keys:
        return []
    effects = {key: figure.estimate(level, "effect") for key, figure in figures.items()}
    differing = [figures[a, name].minus(figures[b, name]) for a, b, name in keys]
    differences = [figure.estimate(level, "difference of effects") for figure in differing]
    influence = np.stack([figure.influence for figure in differing])
    return _contrasts("reward", keys, differing, influence @ influence.T, effects, differences, draws, seed, level)


def _in_deviations(
    chains: dict[str, RewardChains], pairs: list[tuple[str, str]], names: tuple[str, ...], codes: np.ndarray,
    resamples: int, draws: int, seed: int, level: float,
) -> list[RewardModelContrast]:  # fmt: skip
    figures = _figures(chains, names, codes, normalised=True)
    known = [name for name in names if all((model, name) in figures for model in chains)]
    keys = [(a, b, name) for name in known for a, b in pairs]
    if not keys:
        return []
    raw = _figures(chains, known, codes, normalised=False)
    replicates, units = _resampled(chains, known, codes, resamples, seed)
    how = f"cluster bootstrap, t interval ({units} clusters, {resamples} resamples, seed {seed}, {level:g} level)"
    effects, resampled, width = {}, {}, len(known) + 1
    for i, (model, each) in enumerate(chains.items()):
        own = replicates[:, i * width : (i + 1) * width]
        std = pooled_reward_std(each)
        assert std is not None
        for name, covariance in zip(known, bootstrap_covariances(own, units), strict=True):
            effects[model, name] = ratio_interval(raw[model, name], std, covariance, level, f"per sd, {how}")
        logs = np.log(own[:, -1])
        for column, name in enumerate(known):
            # of the ratio, to first order: ratios of few rows have far tails, which would make the error too large
            resampled[model, name] = own[:, column] / std - raw[model, name].value / std * logs
    differing = [figures[a, name].minus(figures[b, name]) for a, b, name in keys]
    covariance = _covariance(np.stack([resampled[a, name] - resampled[b, name] for a, b, name in keys], axis=1), units)
    # What is 0 by the definition of the unit is so in every resample, but for rounding
    zero = np.array([figure.is_zero for figure in differing])
    covariance[zero], covariance[:, zero] = 0.0, 0.0
    ses = np.sqrt(np.diag(covariance))
    differing = [
        replace(figure, degrees=figure.degrees if np.isfinite(se) else 0)
        for figure, se in zip(differing, ses, strict=True)
    ]
    differences = [
        replace(t_estimate(figure, float(se), level, ""), method=f"difference per sd, {how}")
        for figure, se in zip(differing, ses, strict=True)
    ]
    return _contrasts("sd", keys, differing, covariance, effects, differences, draws, seed, level)


def _resampled(
    chains: dict[str, RewardChains], names: Sequence[str], codes: np.ndarray, resamples: int, seed: int
) -> tuple[np.ndarray, int]:
    """Effects and standard deviation of each reward model in resamples, one after the other; and the number of clusters."""
    parts = [sufficient_sums(each, names) for each in chains.values()]
    ends = np.cumsum([columns.shape[1] for columns, _ in parts])
    sums = np.concatenate([columns for columns, _ in parts], axis=1)
    sums = np.stack([np.bincount(codes, column) for column in sums.T], axis=1)

    def statistics(weights: np.ndarray) -> np.ndarray:
        totals = np.split(weights @ sums, ends[:-1], axis=1)
        return np.concatenate([statistic(part) for (_, statistic), part in zip(parts, totals, strict=True)], axis=1)

    _, found, units = bootstrap_replicates(statistics, np.arange(len(sums)), resamples=resamples, seed=seed)
    return found, units


def _covariance(replicates: np.ndarray, units: int) -> np.ndarray:
    """Covariance (M, M) of resampled figures; NaN for those that some resamples lack the rows for."""
    covariance = np.full((replicates.shape[1],) * 2, np.nan)
    known = np.isfinite(replicates).all(axis=0)
    if len(replicates) > 1 and known.any():
        found = np.atleast_2d(np.cov(replicates[:, known], rowvar=False)) * units / (units - 1)
        covariance[np.ix_(known, known)] = found
    return covariance


def _figures(
    chains: dict[str, RewardChains], names: Sequence[str], codes: np.ndarray, *, normalised: bool
) -> dict[tuple[str, str], Figure]:
    found = {
        (model, name): effect_figure(each, name, codes, normalised=normalised)
        for name in names
        for model, each in chains.items()
    }
    return {key: figure for key, figure in found.items() if figure is not None}


def _contrasts(
    unit: str, keys: list[tuple[str, str, str]], differing: list[Figure], covariance: np.ndarray,
    effects: dict[tuple[str, str], Estimate], differences: list[Estimate], draws: int, seed: int, level: float,
) -> list[RewardModelContrast]:  # fmt: skip
    tests = joint_tests(differing, covariance, draws=draws, seed=seed, level=level)
    return [
        RewardModelContrast(
            *(a, b, name, unit, effects[a, name], effects[b, name], difference),
            *(float(p[row]) for p in (tests.p_values, tests.holm, tests.fdr_bh, tests.max_t)),
            tests.simultaneous[row],
        )
        for row, ((a, b, name), difference) in enumerate(zip(keys, differences, strict=True))
    ]
