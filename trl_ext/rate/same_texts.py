"""Data sets that have texts in common, such as rewrites of the same texts by several rewriters."""

import itertools
from collections.abc import Mapping

import numpy as np
import pandas as pd

from .reward_chains import RewardChains


def common_texts(chains: Mapping[str, RewardChains]) -> list[tuple[str, str]]:
    """
    Pairs of data sets with a text in both: a row of the same id, and of the same reward of its original.

    Effects from such data sets are not independent. Rows without ids can't be told apart, and count as different.

    Args:
        chains (`Mapping[str, RewardChains]`): Rewards of one reward model by data set.

    Returns:
        `list[tuple[str, str]]`: Names of the data sets.
    """
    originals = {
        name: pd.Series(own.original, index=pd.Index(own.ids).astype(str))
        for name, own in chains.items()
        if own.ids is not None
    }
    found = []
    for first, second in itertools.combinations(originals, 2):
        a, b = originals[first].align(originals[second], join="inner")
        # The last digits of a reward depend on what else was computed with it; ids such as row numbers may agree by chance
        if len(a) and np.isclose(a, b, rtol=1e-4, atol=1e-6).mean() > 0.01:
            found.append((first, second))
    return found
