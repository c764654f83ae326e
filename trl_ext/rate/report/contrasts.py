"""Reward models against a baseline, as rows of a report."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..chains.reward_chains import RewardChains
from .estimates import NAMES


CONTRAST_COLUMNS = (
    *("dataset", "attribute", "reward_model", "baseline", "estimator", "estimand", "unit", "value", "se", "ci_low"),
    *("ci_high", "n", "method", "p_value", "p_max_t", "p_adjusted", "significant"),
)
_EFFECTS = tuple(f"{name}_rewritten_rewrite" for name in ("ATE", "ATT", "ATU"))


def contrast_rows(
    key: tuple[str, str], chains: Mapping[str, RewardChains], baseline: str, *, level: float, se: str | None,
    bootstrap: int, seed: int,
) -> tuple[list[dict[str, Any]], list[str]]:  # fmt: skip
    """
    What each reward model pays for an attribute more than the baseline does, on the texts that all have scored.

    Args:
        key (`tuple[str, str]`): Data set and attribute.
        chains (`Mapping[str, RewardChains]`): Rewards by reward model.
        baseline (`str`): One of them.
        level, se, bootstrap, seed: As in [`rate_report`].

    Returns:
        `tuple[list[dict], list[str]]`: Rows in standard deviations of reward (`unit` is `sd`) and in units of reward, and
        notes.
    """
    from .. import compare_reward_models

    if se == "reference" or any(own.steps < 2 for own in chains.values()):
        return [], []
    if se == "paired":
        chains = {name: replace(own, clusters=None) for name, own in chains.items()}
    try:
        found = compare_reward_models(
            chains, baseline=baseline, estimands=_EFFECTS, intersect=True, resamples=bootstrap or 2000, seed=seed,
            level=level,
        )  # fmt: skip
    except ValueError as error:  # rows that can't be matched
        return [], [f"reward models are not compared: {error}"]
    notes = [
        f"{name}: {lost} rows are not compared, as others lack them" for name, lost in found.left_out.items() if lost
    ]
    rows = []
    for contrast in found.contrasts:
        estimator, estimand = NAMES[contrast.estimand]
        difference = contrast.difference
        rows.append(
            {
                **dict(zip(("dataset", "attribute"), key, strict=True)),
                **{"reward_model": contrast.a, "baseline": contrast.b, "estimator": estimator, "estimand": estimand},
                **{name: getattr(difference, name) for name in ("value", "se", "ci_low", "ci_high", "n", "method")},
                **{"unit": contrast.unit, "p_value": contrast.p_value, "p_max_t": contrast.max_t},
            }
        )
    return rows, notes
