"""Majority vote: every annotator counts the same."""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .result import Aggregation, annotators_table, check_settings, items_table
from .votes import Votes, read_votes


logger = logging.getLogger(__name__)

TIE_POLICIES = ("half", "error")


def majority_vote(
    votes: pd.DataFrame | Mapping[str, ArrayLike] | Votes,
    *,
    ties: str = "half",
    smoothing: float = 1.0,
    level: float = 0.95,
    duplicates: str = "error",
) -> Aggregation:
    r"""
    Label of the majority, with ties left open.

    `probability` is \( (k+s)/(n+2s) \) for k of n votes: the posterior mean of the share of annotators who would prefer
    the first response, under a Beta(s, s) prior. `reliability` is the larger of it and its complement. It knows nothing
    of annotators: use it as a baseline, and [`dawid_skene`] to learn whom to believe.

    `skill` is the share of votes that agree with the majority of the *other* annotators on the item (items without such
    a majority are left out), with s added on both sides. It is pulled towards 1/2, because majorities err too.

    Args:
        votes (`DataFrame`, mapping of columns or [`Votes`]):
            See [`read_votes`].
        ties (`str`, *optional*, defaults to `"half"`):
            As many votes for as against: `"half"` gives label and reliability 0.5, `"error"` raises. A coin is not tossed.
        smoothing (`float`, *optional*, defaults to `1.0`):
            Pseudo-votes s > 0 on either side. One vote then has reliability 2/3, three of three 4/5.
        level (`float`, *optional*, defaults to `0.95`):
            Level of the intervals of skills.
        duplicates (`str`, *optional*, defaults to `"error"`):
            Several votes of an annotator for an item: `"error"`, `"first"` or `"last"`.

    Returns:
        [`Aggregation`]

    Example:
        ```python
        >>> from trl_ext.reliability.aggregation import majority_vote
        >>> votes = {"item_id": ["p", "p", "p", "q", "q"], "annotator_id": list("abcab"), "label": [1, 1, 0, 1, 0]}
        >>> majority_vote(votes).items[["item_id", "label", "reliability", "margin", "tie"]]
          item_id  label  reliability  margin    tie
        0       p    1.0          0.6       1  False
        1       q    0.5          0.5       0   True
        ```
    """
    if ties not in TIE_POLICIES:
        raise ValueError(f"`ties` must be one of {', '.join(TIE_POLICIES)}, got {ties!r}")
    check_settings(level=level, max_iter=1, smoothing=smoothing)
    votes = read_votes(votes, duplicates=duplicates)
    n_votes, margin = votes.per_item(), votes.per_item(votes.sign)
    tied = np.flatnonzero(margin == 0)
    messages = list(votes.messages)
    if tied.size:
        messages.append(f"{tied.size} of {margin.size} items are ties")
        if ties == "error":
            item = votes.item_ids[tied[0]]
            raise ValueError(f'{messages[-1]}; first: item {item!r}. Collect more votes, or set ties="half".')
        logger.info(messages[-1])
    probability = (n_votes + margin + 2 * smoothing) / (2 * (n_votes + 2 * smoothing))

    others = np.sign(margin[votes.item] - votes.sign)
    compared = votes.per_annotator((others != 0).astype(float))
    agreeing = votes.per_annotator(((others == votes.sign) & (others != 0)).astype(float))
    skill = (agreeing + smoothing) / (compared + 2 * smoothing)
    skill_se = np.sqrt(skill * (1 - skill) / (compared + 2 * smoothing))
    alone = compared == 0
    if alone.any():
        messages.append(f"{int(alone.sum())} annotators share no item with a majority of others: skill unknown")
    skill, skill_se = np.where(alone, np.nan, skill), np.where(alone, np.nan, skill_se)
    return Aggregation(
        items=items_table(votes, probability),
        annotators=annotators_table(votes, skill, skill_se, level, n_compared=compared.astype(np.int64)),
        log_likelihood=float("nan"),
        history=(),
        iterations=0,
        converged=True,
        method=f"majority vote, {smoothing:g} pseudo-votes on either side; skill: agreement with the majority of the "
        f"others, binomial standard error, logit interval ({level:g} level)",
        level=level,
        prevalence=float("nan"),
        messages=tuple(messages),
    )
