"""How far annotators agree beyond chance, before any model of them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from trl_ext.evaluation.statistics import Estimate, cluster_bootstrap

from .votes import Votes, read_votes


def krippendorff_alpha(
    votes: pd.DataFrame | Mapping[str, ArrayLike] | Votes,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
    duplicates: str = "error",
) -> Estimate:
    r"""
    Krippendorff's alpha for 0/1 votes, any number of votes per item: 1 is full agreement, 0 what chance gives.

    \( \alpha = 1 - (n-1) \frac{\sum_i n_{i0} n_{i1}/(m_i-1)}{n_0 n_1} \) over items with \( m_i \ge 2 \) votes. With the
    same number of votes everywhere it is Fleiss' kappa up to a correction of order 1/n.

    References:
        - Krippendorff, Content Analysis, 2004, chapter 11.

    Args:
        votes (`DataFrame`, mapping of columns or [`Votes`]):
            See [`read_votes`].
        resamples (`int`, *optional*, defaults to `2000`):
            Bootstrap resamples of items.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the interval.
        duplicates (`str`, *optional*, defaults to `"error"`):
            Several votes of an annotator for an item: `"error"`, `"first"` or `"last"`.

    Returns:
        [`~trl_ext.evaluation.Estimate`]: `n` is the number of items with two votes or more; `nan` if all votes are the
        same.

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import krippendorff_alpha
        >>> votes = {"item_id": [1, 1, 2, 2, 3, 3], "annotator_id": list("ababab"), "label": [1, 1, 0, 0, 1, 0]}
        >>> round(krippendorff_alpha(votes, resamples=2).value, 4)
        0.4444
        ```
    """
    votes = read_votes(votes, duplicates=duplicates)
    n_votes, first = votes.per_item(), votes.per_item(votes.first.astype(float))
    compared = n_votes >= 2
    if not compared.any():
        raise ValueError("krippendorff_alpha needs items with two votes or more; every item has one")
    n_votes, first = n_votes[compared], first[compared]
    disagreement = first * (n_votes - first) / (n_votes - 1)

    def alpha(weights: np.ndarray) -> np.ndarray:
        total, total_first = weights @ n_votes, weights @ first
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - (total - 1) * (weights @ disagreement) / (total_first * (total - total_first))

    estimate = cluster_bootstrap(alpha, np.arange(n_votes.size), resamples=resamples, seed=seed, level=level)
    method = f"Krippendorff's alpha, nominal; {estimate.method}"
    return Estimate(estimate.value, estimate.se, estimate.ci_low, estimate.ci_high, estimate.n, method)
