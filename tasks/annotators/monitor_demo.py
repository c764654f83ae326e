"""Labels of simulated annotators of known commitment."""

import numpy as np
import pandas as pd

from tasks.annotators.probability_sets import synthetic_probabilities


DEMO_ETAS = {"ada": 0.95, "ben": 0.9, "cleo": 0.75, "dan": 0.55, "eve": 0.3, "flo": 0.05}
DEMO_DELTA = 0.02  # in the convention of the paper: committed annotators differ from themselves at half of it
_MISSING = 0.03


def demo_labels(seed: int = 0, n_items: int = 150) -> tuple[pd.DataFrame, pd.DataFrame]:
    """
    Six annotators who labelled every pair twice, and an expert who labelled each without doubt.

    An annotator takes care of a pair, with probability η, or flips a coin at each of its labels. Who takes care follows
    the true preference probability, and changes the answer the second time with probability 1 %. 3 % of labels are
    missing.

    Args:
        seed (`int`, *optional*, defaults to `0`):
            Of all draws.
        n_items (`int`, *optional*, defaults to `150`):
            Number of pairs.

    Returns:
        `tuple[pandas.DataFrame, pandas.DataFrame]`: labels (`item_id`, `annotator_id`, `label`), and the expert's table
        (`item_id`, `expert_label`, `p`).
    """
    rng = np.random.default_rng(seed)
    p = rng.permutation(synthetic_probabilities("ultra", n_items))
    items = [f"pair-{i + 1}" for i in range(n_items)]
    rounds: list[list[pd.DataFrame]] = [[], []]
    for annotator, eta in DEMO_ETAS.items():
        careful = rng.random(n_items) < eta
        first = rng.random(n_items) < np.where(careful, p, 0.5)
        again = np.where(careful, first ^ (rng.random(n_items) < DEMO_DELTA / 2), rng.random(n_items) < 0.5)
        for labels, tables in zip((first, again), rounds, strict=True):
            given = pd.Series(labels.astype(int), dtype="Int64").mask(rng.random(n_items) < _MISSING)
            tables.append(pd.DataFrame({"item_id": items, "annotator_id": annotator, "label": given}))
    expert = pd.DataFrame({"item_id": items, "expert_label": (p > 0.5).astype(int), "p": p})
    return pd.concat([*rounds[0], *rounds[1]], ignore_index=True), expert
