"""Data sets that have texts in common, such as rewrites of the same texts by several rewriters."""

import hashlib
import itertools
import json
from collections.abc import Mapping

import numpy as np
import pandas as pd

from ..chains.reward_chains import RewardChains
from ..chains.text_chains import TextChains
from ..chains.text_facts import TextFacts


Pairs = list[tuple[str, str]]
_SHARE = 0.01  # of the texts of the smaller data set: fewer in common do no harm
# Rewards tell texts apart if they nearly all agree, but for what else was computed with them (in sd), and take many values
_AGREE, _TOLERANCE, _VALUES = 0.95, 0.01, 50


def original_hashes(chains: TextChains) -> np.ndarray:
    """
    Hashes of the prompts and originals, by which texts of several data sets are told apart.

    Args:
        chains ([`TextChains`]): N rows.

    Returns:
        `np.ndarray` of shape `(N,)`: SHA-256 in hexadecimal digits.
    """
    rows = zip(chains.prompts, chains.of(0), strict=True)
    return np.array(
        [hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest() for row in rows], dtype=object
    )


def common_texts(
    chains: Mapping[str, RewardChains], facts: Mapping[str, TextFacts] | None = None
) -> tuple[Pairs, Pairs]:
    """
    Pairs of data sets with texts in common, and pairs of which that can't be told. Effects from the former are not
    independent.

    Texts are the same if prompt and original are, where both are known. Else by ids (row numbers agree by chance) and
    rewards of originals: nearly all rows with an id in common must have the same reward.

    Args:
        chains (`Mapping[str, RewardChains]`): Rewards of one reward model by data set.
        facts (`Mapping[str, TextFacts]`, *optional*): What is known of the texts, with `originals`.

    Returns:
        `tuple[list[tuple[str, str]], list[tuple[str, str]]]`: Names of the data sets.
    """
    facts = facts or {}
    hashes = {
        name: set(facts[name].originals[facts[name].rows_of(own)])
        for name, own in chains.items()
        if own.ids is not None and name in facts and facts[name].originals is not None
    }
    common: Pairs = []
    unknown: Pairs = []
    for pair in itertools.combinations(chains, 2):
        if all(name in hashes for name in pair):
            first, second = (hashes[name] for name in pair)
            found: bool | None = len(first & second) > _SHARE * min(len(first), len(second))
        else:
            found = _same_rewards(*(chains[name] for name in pair))
        if found or found is None:
            (common if found else unknown).append(pair)
    return common, unknown


def _same_rewards(first: RewardChains, second: RewardChains) -> bool | None:
    """Whether rows of one id have one reward; `None` if that says nothing of their texts."""
    if first.ids is None or second.ids is None:
        return None
    a, b = (pd.Series(own.original, index=pd.Index(own.ids).astype(str)) for own in (first, second))
    a, b = a.align(b, join="inner")
    if not len(a) or np.mean(np.abs(a - b) <= _TOLERANCE * max(a.std(ddof=0), b.std(ddof=0))) < _AGREE:
        return False
    # A few values, such as counts of words, agree by chance
    return True if a.nunique() >= min(_VALUES, max(2, len(a) / 2)) else None
