"""All estimates of one reward model and attribute, and what several data sets say together."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from ...data.checks import counted
from ...evaluation.statistics import Estimate
from ..chains.reward_chains import RewardChains
from ..chains.text_facts import TextFacts, take
from ..estimators.effects import estimate_effects
from ..estimators.normalised import normalised_effects
from ..many_effects.aggregation import combine_data_sets
from ..many_effects.same_texts import common_texts
from .rows import ZeroTest, divided, effect_row, zero_test


ESTIMANDS = ("ATE", "ATT", "ATU")
_ROWS_PER_FEATURE = 10  # or clusters, at least, of a regression
# name of an effect -> estimator, estimand
NAMES = {
    "naive_effect": ("naive", "difference"),
    **{f"{name}_single_rewrite": ("single_rewrite", name) for name in ESTIMANDS},
    **{f"{name}_rewritten_rewrite": ("rate", name) for name in ESTIMANDS},
    "rewrite_effect_w_1": ("rewrite", "w=1"),
    "rewrite_effect_w_0": ("rewrite", "w=0"),
}
COMBINED_COLUMNS = (
    *("attribute", "reward_model", "estimator", "estimand", "normalised", "normalised_ci_low", "normalised_ci_high"),
    *("data_sets", "n", "q_p_value", "tau", "method"),
)


def effect_rows(
    head: dict[str, str], chains: RewardChains, facts: TextFacts | None, *, level: float, se: str | None, bootstrap: int,
    seed: int, power: float,
) -> tuple[list[dict[str, Any]], list[str]]:  # fmt: skip
    """
    Rows of the table of effects for one reward model, and notes.

    Args:
        head (`dict[str, str]`): `dataset, attribute, reward_model`.
        chains ([`RewardChains`]): Its rewards.
        facts ([`TextFacts`], *optional*): What is measured of the texts.
        level, se, bootstrap, seed, power: As in [`rate_report`].

    Returns:
        `tuple[list[dict], list[str]]`
    """
    effects = estimate_effects(chains, se=se, level=level)
    if se == "reference":
        normalised = {name: divided(effects[name], effects.reward_std) for name in NAMES}
    else:
        # with rows that count as independent, they are so for the ratio
        table = chains if se != "paired" else RewardChains(chains.w, chains.rewards)
        options = {"bootstrap": bootstrap, "seed": seed} if bootstrap else {"method": "delta"}
        normalised = normalised_effects(table, level=level, **options)
    rows, tests = [], {}
    for name, (estimator, estimand) in NAMES.items():
        tests[estimator, estimand] = test = zero_test(effects[name], level=level, power=power)
        rows.append(
            effect_row(
                *(head, estimator, estimand, effects[name], chains),
                normalised=normalised.get(name),
                reward_std=effects.reward_std,
                test=test,
            )
        )
    notes = list(effects.notes)
    if se == "reference":
        return rows, notes
    for estimator, found, note in _remedies(chains, facts, level=level, seed=seed, paired=se == "paired"):
        notes.extend([note] if note else [])
        for estimand in ESTIMANDS if found else ():
            estimate = found[estimand]
            test = zero_test(estimate, level=level, power=power)
            if estimator == "wald" and estimate is not None:
                # Fieller's interval contains 0 where the test of RATE does not reject it
                test = ZeroTest(tests["rate", estimand].p_value, None)
            rows.append(
                effect_row(
                    *(head, estimator, estimand, estimate, chains),
                    normalised=divided(estimate, effects.reward_std),
                    reward_std=effects.reward_std,
                    test=test,
                )
            )
    return rows, notes


def _remedies(
    chains: RewardChains, facts: TextFacts | None, *, level: float, seed: int, paired: bool
) -> Iterator[tuple[str, Any, str | None]]:
    """Name, effects, and a note, of each estimator that there are data for."""
    from .. import aipw_effect, compliance_corrected_effects, feature_adjusted_effects, symmetric_effects

    table = RewardChains(chains.w, chains.rewards, ids=chains.ids) if paired else chains
    if chains.steps >= 3:
        yield "symmetric", symmetric_effects(table, level=level), None
    if facts is None:
        return
    rows = facts.rows_of(chains)
    if chains.steps >= 2 and facts.observed is not None:
        observed = take(facts.observed, rows)[:, : chains.steps + 1]
        if np.isfinite(observed[:, 1:3]).all(axis=1).any():
            found = compliance_corrected_effects(table, observed[:, 1:3], unknown="drop", level=level)
            lost = f"{counted(found.unknown, 'row')} left out of `wald`: it can't be said what the rewrites are"
            yield "wald", found, lost if found.unknown else None
    for estimator, features in (("feature_adjusted", facts.differences), ("aipw", facts.covariates)):
        if features is None or (estimator == "feature_adjusted" and chains.steps < 2):
            continue
        own = _varying(take(features, rows))
        if own.shape[1] == 0:
            continue
        units = len(own) if table.clusters is None else len(set(table.clusters.tolist()))
        if units < _ROWS_PER_FEATURE * own.shape[1]:
            of_what = "rows" if table.clusters is None else "clusters"
            yield estimator, None, f"no `{estimator}`: {units} {of_what} are too few for {own.shape[1]} features"
        elif estimator == "feature_adjusted":
            yield estimator, feature_adjusted_effects(table, own, level=level), None
        else:
            try:
                found = aipw_effect(table.w, table.original, own, clusters=table.clusters, seed=seed, level=level)
            except ValueError as error:  # too few rows in a group, or groups that can't be compared
                yield estimator, None, f"no `aipw`: {error}"
            else:
                yield estimator, found, None


def _varying(table: pd.DataFrame) -> pd.DataFrame:
    """Columns that are complete and not the same in all rows."""
    own = table.astype(np.float64)
    return own.loc[:, np.isfinite(own).all() & (own.nunique() > 1)]


def combined_rows(
    effects: pd.DataFrame, chains: Mapping[tuple[str, str], Mapping[str, RewardChains]], level: float,
    facts: Mapping[tuple[str, str], TextFacts],
) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """
    Mean effects of attributes that several data sets have, by reward model, in standard deviations of reward.

    Data sets with texts in common are not independent, and are not combined.

    Args:
        effects (`pandas.DataFrame`): Effects of a report.
        chains (`Mapping`): What they were estimated from, by (data set, attribute) and by reward model.
        level (`float`): Confidence level.
        facts (`Mapping`): What is known of the texts, by (data set, attribute).

    Returns:
        `tuple[pandas.DataFrame, list[str]]`: The table, and notes.
    """
    known = effects[effects["estimator"].isin(("rate", "naive")) & effects["normalised"].notna()]
    rows, notes = [], []
    keys = ["attribute", "reward_model", "estimator", "estimand"]
    for names, own in known.groupby(keys, sort=False):
        if len(own) < 2:
            continue
        attribute, model = names[:2]
        shared, unknown = common_texts(
            {name: chains[name, attribute][model] for name in own["dataset"]},
            {name: facts[name, attribute] for name in own["dataset"] if (name, attribute) in facts},
        )
        if shared:
            notes.append(
                f"{attribute}, {model}: not combined over data sets, {shared[0][0]} and {shared[0][1]} have texts in common"
            )
            continue
        estimates = [
            Estimate(*(getattr(row, f"normalised{end}") for end in ("", "_se", "_ci_low", "_ci_high")), row.n, "")
            for row in own.itertuples()
        ]
        if any(not np.isfinite(estimate.se) or estimate.se <= 0 for estimate in estimates):
            notes.append(
                f"{attribute}, {model}, {names[2]} {names[3]}: not combined over data sets, one has no standard error"
            )
            continue
        if unknown:
            notes.append(
                f"{attribute}, {model}: combined over data sets as if they were independent, but it can't be told whether "
                f"{unknown[0][0]} and {unknown[0][1]} have texts in common: their texts are not known"
            )
        found = combine_data_sets(estimates, method="mean", level=level)
        rows.append(
            {
                **dict(zip(keys, names, strict=True)),
                **{f"normalised{end}": getattr(found.estimate, name)
                   for end, name in (("", "value"), ("_ci_low", "ci_low"), ("_ci_high", "ci_high"))},
                **{"data_sets": len(own), "n": found.estimate.n, "q_p_value": found.q_p_value, "tau": found.tau},
                "method": found.estimate.method,
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=list(COMBINED_COLUMNS)), notes
