"""Many effects, of reward models, attributes and data sets: which are there, if all are tested at once?"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.statistics import Estimate, check_level
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import Figure, check_effects, effect_figure, unit_codes
from ..plain_json import plain
from .simultaneous_inference import joint_tests


@dataclass(frozen=True)
class FamilyMember:
    """
    An effect among many.

    Args:
        reward_model, attribute, data, estimand (`str`): What it is of.
        estimate ([`Estimate`]): The effect, with its own interval.
        p_value (`float`): Of no effect, by itself.
        holm, fdr_bh, max_t (`float`): Corrected for the size of the family.
        simultaneous ([`Estimate`]): The effect, with an interval that holds for all members at once.
    """

    reward_model: str
    attribute: str
    data: str
    estimand: str
    estimate: Estimate
    p_value: float
    holm: float
    fdr_bh: float
    max_t: float
    simultaneous: Estimate


@dataclass(frozen=True)
class EffectFamily:
    """
    Effects that are tested together.

    Args:
        members (`tuple[FamilyMember, ...]`): Effects whose rows occur.
        absent (`tuple[tuple[str, str, str, str], ...]`): Reward model, attribute, data and estimand of the others.
        normalised (`bool`): Whether effects are in standard deviations of rewards.
        level (`float`): Confidence level.
    """

    members: tuple[FamilyMember, ...]
    absent: tuple[tuple[str, str, str, str], ...]
    normalised: bool
    level: float

    def table(self) -> pd.DataFrame:
        """
        A row per effect: `reward_model, attribute, data, estimand, effect, se, ci_low, ci_high, p_value, holm, fdr_bh,
        max_t, simultaneous_low, simultaneous_high, n`.
        """
        return pd.DataFrame(
            {
                **{name: getattr(member, name) for name in ("reward_model", "attribute", "data", "estimand")},
                **{"effect": member.estimate.value, "se": member.estimate.se},
                **{"ci_low": member.estimate.ci_low, "ci_high": member.estimate.ci_high},
                **{name: getattr(member, name) for name in ("p_value", "holm", "fdr_bh", "max_t")},
                **{"simultaneous_low": member.simultaneous.ci_low, "simultaneous_high": member.simultaneous.ci_high},
                "n": member.estimate.n,
            }
            for member in self.members
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self))


def adjust_family(
    tables: Mapping[tuple[str, str, str], Any],
    *,
    estimands: Sequence[str] = ("ATE_rewritten_rewrite",),
    normalised: bool = False,
    draws: int = 20_000,
    seed: int = 0,
    level: float = 0.95,
) -> EffectFamily:
    r"""
    Effects of attributes in many reward models and data sets, tested together.

    Three corrections: `holm` bounds the chance of any false claim whatever the effects have in common; `max_t` does so too
    and uses what they have in common, as reward models score the same texts; `fdr_bh` bounds the expected share of false
    claims. `max_t` comes with intervals that hold together. Effects of the same data with the same cluster (without
    clusters: the same id) share it; those of different data are independent.

    References:
        - Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979.
        - Benjamini and Hochberg, Controlling the False Discovery Rate, 1995.
        - Westfall and Young, Resampling-Based Multiple Testing, 1993.

    Args:
        tables (`Mapping[tuple[str, str, str], RewardChains or table]`):
            By reward model, attribute and data set: rewards, with ids or clusters, see [`RewardChains.of_table`].
        estimands (`Sequence[str]`, *optional*):
            Names of effects of [`estimate_effects`]. By default RATE's ATE.
        normalised (`bool`, *optional*, defaults to `False`):
            In standard deviations of the rewards of the originals; errors are those of the influence function.
        draws (`int`, *optional*, defaults to `20_000`):
            Of the largest t.
        seed (`int`, *optional*, defaults to `0`):
            Of them.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`EffectFamily`]

    Raises:
        ValueError: A key is not a triple of names, or it can't be said which rows tables of the same data share.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import RewardChains, adjust_family
        >>> rng = np.random.default_rng(0)
        >>> tables = {}
        >>> for name, effect in (("small", 0.0), ("large", 0.3)):
        ...     rewards = rng.normal(size=(200, 3)) + np.array([0.0, 0.0, effect])
        ...     tables[name, "length", "reviews"] = RewardChains(np.ones(200), rewards, ids=np.arange(200))
        >>> family = adjust_family(tables)
        >>> [(member.reward_model, member.max_t < 0.05) for member in family.members]
        [('small', False), ('large', True)]

        ```
    """
    check_level(level)
    estimands = check_effects(estimands)
    if not tables:
        raise ValueError("there are no tables")
    chains = {_as_key(key): RewardChains.of_table(table) for key, table in tables.items()}
    _check_units(chains)
    members: list[tuple[tuple[str, str, str], str, Figure]] = []
    absent = []
    for key, each in chains.items():
        codes = unit_codes(each)
        for estimand in estimands:
            figure = effect_figure(each, estimand, codes, normalised=normalised)
            if figure is None:
                absent.append((*key, estimand))
            else:
                members.append((key, estimand, figure))
    if not members:
        raise ValueError(f"no table has rows for {', '.join(estimands)}")
    figures = [figure for *_, figure in members]
    tests = joint_tests(figures, _covariance(members, chains), draws=draws, seed=seed, level=level)
    what = "effect / reward_std, delta method" if normalised else "effect"
    return EffectFamily(
        tuple(
            FamilyMember(
                *(*key, estimand, figure.estimate(level, what)),
                *(float(p[row]) for p in (tests.p_values, tests.holm, tests.fdr_bh, tests.max_t)),
                tests.simultaneous[row],
            )
            for row, (key, estimand, figure) in enumerate(members)
        ),
        tuple(absent),
        normalised,
        level,
    )


def _as_key(key: Any) -> tuple[str, str, str]:
    if not (isinstance(key, tuple) and len(key) == 3 and all(isinstance(part, str) for part in key)):
        raise ValueError(f"tables are by (reward model, attribute, data), three texts; got the key {key!r}")
    return key


def _check_units(chains: Mapping[tuple[str, str, str], RewardChains]) -> None:
    """Labels by which tables of the same data are matched must be of the same kind, and be there."""
    kinds: dict[str, tuple[str, tuple[str, str, str]]] = {}
    count = pd.Series([data for *_, data in chains]).value_counts()
    for key, each in chains.items():
        kind = "clusters" if each.clusters is not None else "ids" if each.ids is not None else "neither"
        if kind == "neither" and count[key[2]] > 1:
            raise ValueError(f"the table of {key} has neither ids nor clusters: which rows of {key[2]!r} are its own?")
        known, other = kinds.setdefault(key[2], (kind, key))
        if known != kind:
            raise ValueError(
                f"tables of {key[2]!r} are matched by {known} in {other}, but {key} has {kind}: give all the same"
            )


def _covariance(
    members: list[tuple[tuple[str, str, str], str, Figure]], chains: Mapping[tuple[str, str, str], RewardChains]
) -> np.ndarray:
    """Covariance (M, M): products of the influences of the same units."""
    covariance = np.zeros((len(members), len(members)))
    for data in dict.fromkeys(key[2] for key, *_ in members):
        inside = [row for row, (key, *_) in enumerate(members) if key[2] == data]
        labels = {}
        for row in inside:
            key = members[row][0]
            if key not in labels:
                each = chains[key]
                of_rows = each.clusters if each.clusters is not None else each.ids
                # in the order of the units of unit_codes: of first occurrence
                labels[key] = np.arange(len(each)) if of_rows is None else pd.unique(of_rows)
        codes = pd.factorize(np.concatenate([np.asarray(part, dtype=object) for part in labels.values()]))[0]
        ends = np.cumsum([len(part) for part in labels.values()])
        of_table = {key: codes[end - len(part) : end] for (key, part), end in zip(labels.items(), ends, strict=True)}
        influence = np.zeros((len(inside), codes.max() + 1))
        for position, row in enumerate(inside):
            influence[position, of_table[members[row][0]]] = members[row][2].influence
        covariance[np.ix_(inside, inside)] = influence @ influence.T
    return covariance
