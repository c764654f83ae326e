"""Errors planted on purpose, to see whether they are found."""

import numpy as np
from datasets import Dataset

from ..data.loading import set_column


def plant_errors(dataset: Dataset, share: float, seed: int) -> Dataset:
    """
    Exchange chosen and rejected in a random share of the pairs.

    Every pair of columns `chosen...` and `rejected...` (also `..._chosen` and `..._rejected`) is exchanged with them.

    Args:
        dataset ([`~datasets.Dataset`]): N pairs.
        share (`float`): Share of the pairs, in [0, 1); round(share · N) are exchanged.
        seed (`int`): Seed of the choice.

    Returns:
        [`~datasets.Dataset`]: with a column `planted`, 1 where the pair was exchanged.

    Example:
        ```python
        >>> pairs = Dataset.from_dict({"chosen": ["4", "Paris"], "rejected": ["5", "Rome"]})
        >>> plant_errors(pairs, 0.5, seed=0)["chosen"][:]
        ['4', 'Rome']
        ```
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of planted errors must lie in [0, 1), got {share}")
    planted = np.zeros(len(dataset), dtype=np.int64)
    planted[np.random.default_rng(seed).permutation(len(dataset))[: round(share * len(dataset))]] = 1
    columns = dataset.column_names
    for ours in columns:
        theirs = ours.replace("chosen", "rejected")
        if theirs == ours or theirs not in columns or not (ours.startswith("chosen") or ours.endswith("_chosen")):
            continue
        first, second = list(dataset[ours]), list(dataset[theirs])
        for row in np.flatnonzero(planted):
            first[row], second[row] = second[row], first[row]
        features = dataset.features
        for name, values in ((ours, first), (theirs, second)):
            dataset = dataset.remove_columns(name).add_column(name, values, feature=features[name])
    return set_column(dataset.select_columns([*columns]), "planted", planted)
