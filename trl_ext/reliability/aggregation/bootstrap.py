"""Standard errors of skills by resampling items: slow, and free of the model's own account of its precision."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm import trange

from .result import Aggregation
from .votes import Votes, read_votes


def bootstrap_skills(
    votes: pd.DataFrame | Mapping[str, ArrayLike],
    method: Callable[[Votes], Aggregation],
    *,
    resamples: int = 200,
    seed: int = 0,
    level: float = 0.95,
    duplicates: str = "error",
    responses: bool = False,
) -> pd.DataFrame:
    """
    Refit on resampled items, to check the standard errors of a method.

    Args:
        votes (`DataFrame` or mapping of columns):
            See [`read_votes`].
        method (`Callable`):
            Aggregation method; settings through `functools.partial`.
        resamples (`int`, *optional*, defaults to `200`):
            Number of refits.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the percentile intervals.
        duplicates (`str`, *optional*, defaults to `"error"`):
            Several votes of an annotator for an item: `"error"`, `"first"` or `"last"`.
        responses (`bool`, *optional*, defaults to `False`):
            Whether the method needs `response_a` and `response_b`.

    Returns:
        `DataFrame`: `annotator_id`, `skill`, `skill_se`, `ci_low`, `ci_high`, `n_resamples` (those in which the annotator
        occurs).

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import bootstrap_skills, dawid_skene, simulate_votes
        >>> votes, _ = simulate_votes([0.9, 0.8, 0.7], n_items=100, votes_per_item=3)
        >>> bootstrap_skills(votes, dawid_skene, resamples=3)["n_resamples"].tolist()
        [3, 3, 3]
        ```
    """
    if resamples < 2:
        raise ValueError(f"resamples must be at least 2, got {resamples}")
    votes = read_votes(votes, duplicates=duplicates, responses=responses)
    skill = method(votes).annotators["skill"].to_numpy()
    order = np.argsort(votes.item, kind="stable")
    counts = votes.per_item()
    ends = np.cumsum(counts)
    generator = np.random.default_rng(seed)
    n_items, n_annotators = len(votes.item_ids), len(votes.annotator_ids)
    replicates = np.full((resamples, n_annotators), np.nan)
    for i in trange(resamples, desc="bootstrap", leave=False, disable=None):
        drawn = generator.integers(n_items, size=n_items)
        rows = order[np.concatenate([np.arange(ends[j] - counts[j], ends[j]) for j in drawn])]
        present, annotator = np.unique(votes.annotator[rows], return_inverse=True)
        pairs = None if votes.pairs is None else votes.pairs[drawn]
        sample = Votes(
            item_ids=np.arange(n_items).astype(object),
            annotator_ids=votes.annotator_ids[present],
            item=np.repeat(np.arange(n_items), counts[drawn]),
            annotator=annotator,
            first=votes.first[rows],
            response_ids=votes.response_ids,
            pairs=pairs,
        )
        replicates[i, present] = method(sample).annotators["skill"].to_numpy()
    tail = (1 - level) / 2
    low, high = np.nanquantile(replicates, [tail, 1 - tail], axis=0)
    return pd.DataFrame(
        {
            "annotator_id": votes.annotator_ids,
            "skill": skill,
            "skill_se": np.nanstd(replicates, axis=0, ddof=1),
            "ci_low": low,
            "ci_high": high,
            "n_resamples": np.isfinite(replicates).sum(axis=0),
        }
    )
