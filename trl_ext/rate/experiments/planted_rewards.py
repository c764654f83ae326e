"""Rewards of which it is known what they pay for an attribute, computed from the texts alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..chains.reward_chains import RewardChains
from ..chains.text_chains import TextChains


ATTRIBUTE, MIXED, NULL = "attribute", "attribute + off-target", "off-target"


@dataclass(frozen=True)
class PlantedReward:
    """
    Rewards with a known causal effect of the attribute.

    Args:
        name (`str`): `attribute` (reads the attribute alone), `off-target` (pays for every feature that the attribute
            should not change), `attribute + off-target`, or `off-target: FEATURE` (pays for one).
        effect (`float`): What it pays for the attribute, in reward units.
        rewards ([`RewardChains`]): Rewards of all texts.
    """

    name: str
    effect: float
    rewards: RewardChains


def planted_rewards(
    chains: TextChains,
    observed: np.ndarray,
    tables: Sequence[pd.DataFrame],
    *,
    effect: float,
) -> tuple[PlantedReward, ...]:
    """
    Plant rewards on texts.

    Off-target features are standardised on the originals. Their sum takes each with the sign of its difference between
    originals with and without the attribute, so that it is confounded as much as it can be: what the naive comparison
    takes for an effect. It has standard deviation 1 on the originals, the unit of `effect`.

    Args:
        chains ([`TextChains`]): N chains of K rewrites, none missing.
        observed (`np.ndarray` of shape `(N, K + 1)`): 1 where a text has the attribute, 0 where not; `nan`, where it can't
            be said, is paid half.
        tables (`Sequence[pandas.DataFrame]`): Off-target features of the texts of each step. Those that are the same in all
            originals, or missing in some text, are left out.
        effect (`float`): What is paid for the attribute.

    Returns:
        `tuple[PlantedReward, ...]`: The attribute's, the mixed and the null one; then one per feature.
    """
    attribute = effect * np.where(np.isnan(observed), 0.5, observed)
    scores: dict[str, np.ndarray] = {}
    for name in tables[0].columns:
        values = np.stack([table[name].to_numpy(np.float64) for table in tables], axis=1)
        sd = values[:, 0].std()
        if np.isfinite(values).all() and sd > 1e-12 * max(1.0, np.abs(values[:, 0]).max()):
            scores[name] = (values - values[:, 0].mean()) / sd
    off_target = np.zeros_like(attribute)
    for score in scores.values():
        sides = [score[side, 0].mean() if side.any() else 0.0 for side in (chains.w, ~chains.w)]
        off_target += score if sides[0] >= sides[1] else -score
    if (sd := off_target[:, 0].std()) > 0:
        off_target /= sd

    def planted(name: str, paid: float, rewards: np.ndarray) -> PlantedReward:
        return PlantedReward(name, paid, RewardChains(chains.w, rewards, chains.clusters, chains.ids))

    return (
        planted(ATTRIBUTE, effect, attribute),
        planted(MIXED, effect, attribute + off_target),
        planted(NULL, 0.0, off_target),
        *(planted(f"{NULL}: {name}", 0.0, score) for name, score in scores.items()),
    )
