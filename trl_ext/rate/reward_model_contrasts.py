"""Does one reward model pay more for an attribute than another? Differences of effects on the same texts."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from ..evaluation.statistics import Estimate, _check_level, cluster_bootstraps, mean_estimate
from .influence import Figure, check_figures, figure_rows, paired_figure, pooled_variance, unit_codes
from .reward_chains import RewardChains
from .row_effects import plain
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
        reward_std (`dict[str, float]`):
            Standard deviation of rewards of the originals within groups, by reward model; NaN if there is none.
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
    reward_std: dict[str, float]
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
    deviations it has the percentile interval of a bootstrap of rows or clusters, which re-estimates both deviations; its
    p-value and simultaneous interval are those of the influence function of the same figure.

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
            Effects, of `ATE_`, `ATT_`, `ATU_` with `rewritten_rewrite` or `single_rewrite`. By default RATE's ATE.
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
    _check_level(level)
    estimands = tuple(estimands)
    check_figures(estimands)
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
    stds = {name: float(np.sqrt(pooled_variance(each)[0])) for name, each in chains.items()}
    contrasts = _in_rewards(chains, pairs, estimands, codes, draws, seed, level)
    if normalised:
        flat = [name for name, std in stds.items() if not std > 0]
        if flat:
            logger.warning("no comparison in standard deviations: rewards of %s do not vary", ", ".join(flat))
        else:
            contrasts += _in_deviations(chains, pairs, estimands, codes, resamples, draws, seed, level)
    return RewardModelComparison(tuple(contrasts), stds, len(first), left_out, baseline, level)


def _in_rewards(
    chains: dict[str, RewardChains], pairs: list[tuple[str, str]], estimands: tuple[str, ...], codes: np.ndarray,
    draws: int, seed: int, level: float,
) -> list[RewardModelContrast]:  # fmt: skip
    clusters = None if next(iter(chains.values())).clusters is None else codes

    def estimate(names: tuple[str, ...], estimand: str) -> Estimate:
        effects, rows = zip(*(figure_rows(chains[name], estimand) for name in names), strict=True)
        labels = None if clusters is None else clusters[rows[0]]
        if len(names) == 1:
            return mean_estimate(effects[0][rows[0]], labels, level)
        difference = mean_estimate((effects[0] - effects[1])[rows[0]], labels, level)
        return replace(difference, method=f"paired difference: {difference.method}")

    figures = _figures(chains, estimands, codes, normalised=False)
    effects = {key: estimate((key[0],), key[1]) for key in figures}
    keys = [(a, b, name) for name in estimands for a, b in pairs if (a, name) in figures]
    differences = [estimate((a, b), name) for a, b, name in keys]
    return _contrasts("reward", keys, figures, effects, differences, draws, seed, level)


def _in_deviations(
    chains: dict[str, RewardChains], pairs: list[tuple[str, str]], estimands: tuple[str, ...], codes: np.ndarray,
    resamples: int, draws: int, seed: int, level: float,
) -> list[RewardModelContrast]:  # fmt: skip
    figures = _figures(chains, estimands, codes, normalised=True)
    names = list(figures)
    keys = [(a, b, name) for name in estimands for a, b in pairs if (a, name) in figures]
    if not keys:
        return []
    # Values of every effect, then of every contrast, in each resample
    signs = np.zeros((len(names), len(keys)))
    for column, (a, b, name) in enumerate(keys):
        signs[names.index((a, name)), column] = 1
        signs[names.index((b, name)), column] = -1
    sums, effects_of = _sums(chains, names, codes)

    def statistics(weights: np.ndarray) -> np.ndarray:
        effects = effects_of(weights @ sums)
        return np.concatenate([effects, effects @ signs], axis=1)

    units = len(sums)
    found = cluster_bootstraps(statistics, np.arange(units), resamples=resamples, seed=seed, level=level)
    rows = [figures[name].n for name in names] + [figures[a, name].n for a, _, name in keys]
    found = [replace(estimate, n=n) for estimate, n in zip(found, rows, strict=True)]
    effects = dict(zip(names, found[: len(names)], strict=True))
    return _contrasts("sd", keys, figures, effects, found[len(names) :], draws, seed, level)


def _figures(
    chains: dict[str, RewardChains], estimands: tuple[str, ...], codes: np.ndarray, *, normalised: bool
) -> dict[tuple[str, str], Figure]:
    found = {
        (name, estimand): paired_figure(each, estimand, codes, normalised=normalised)
        for estimand in estimands
        for name, each in chains.items()
    }
    return {key: figure for key, figure in found.items() if figure is not None}


def _sums(chains: dict[str, RewardChains], names: list[tuple[str, str]], codes: np.ndarray) -> tuple[np.ndarray, Any]:
    """Sums by unit (G, S), and the function from weighted totals (B, S) of them to normalised effects (B, M)."""
    columns: list[np.ndarray] = []

    def add(column: np.ndarray) -> int:
        columns.append(np.bincount(codes, column))
        return len(columns) - 1

    first = next(iter(chains.values()))
    groups = [group for group in (first.w, ~first.w) if group.any()]
    counts = [add(group.astype(float)) for group in groups]
    moments = {}
    for name, each in chains.items():
        centred = each.original - each.original.mean()  # a common offset must not cost digits in squares
        moments[name] = [
            (add(np.where(group, centred, 0.0)), add(np.where(group, centred**2, 0.0))) for group in groups
        ]
    effects = []
    for name, estimand in names:
        values, rows = figure_rows(chains[name], estimand)
        effects.append((name, add(np.where(rows, values, 0.0)), add(rows.astype(float))))

    def effects_of(totals: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            degrees = sum(totals[:, count] for count in counts) - len(groups)
            stds = {
                name: np.sqrt(
                    sum(
                        totals[:, square] - totals[:, linear] ** 2 / totals[:, count]
                        for count, (linear, square) in zip(counts, parts, strict=True)
                    )
                    / degrees
                )
                for name, parts in moments.items()
            }
            return np.stack([totals[:, value] / totals[:, n] / stds[name] for name, value, n in effects], axis=1)

    return np.stack(columns, axis=1), effects_of


def _contrasts(
    unit: str, keys: list[tuple[str, str, str]], figures: dict[tuple[str, str], Figure],
    effects: dict[tuple[str, str], Estimate], differences: list[Estimate], draws: int, seed: int, level: float,
) -> list[RewardModelContrast]:  # fmt: skip
    if not keys:
        return []
    influence = np.stack([figures[a, name].influence - figures[b, name].influence for a, b, name in keys])
    tests = joint_tests(
        np.array([figures[a, name].value - figures[b, name].value for a, b, name in keys]),
        influence @ influence.T,
        np.array([figures[a, name].degrees for a, _, name in keys]),
        np.array([figures[a, name].n for a, _, name in keys]),
        **{"draws": draws, "seed": seed, "level": level},
    )
    return [
        RewardModelContrast(
            *(a, b, name, unit, effects[a, name], effects[b, name], difference),
            *(float(p[row]) for p in (tests.p_values, tests.holm, tests.fdr_bh, tests.max_t)),
            tests.simultaneous[row],
        )
        for row, ((a, b, name), difference) in enumerate(zip(keys, differences, strict=True))
    ]
