"""From aggregated labels to rows of a preference dataset."""

import logging
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .result import Aggregation


if TYPE_CHECKING:
    from datasets import Dataset

logger = logging.getLogger(__name__)

TIE_POLICIES = ("drop", "keep", "error")
_MADE_HERE = ("id", "chosen", "rejected", "label", "reliability", "n_votes", "vote_margin")


def to_preferences(
    result: Aggregation, pairs: "pd.DataFrame | Dataset", *, soft_labels: bool = False, ties: str = "drop"
) -> "Dataset":
    """
    Write pairs in the aggregated order: the response that the label prefers is `chosen`.

    Args:
        result ([`Aggregation`]):
            Aggregated labels.
        pairs (`DataFrame` or [`~datasets.Dataset`]):
            One row per item: `item_id`, `response_a` and `response_b` (text or messages); further columns, such as
            `prompt`, are kept.
        soft_labels (`bool`, *optional*, defaults to `False`):
            `label` is the method's probability that `chosen` is preferred, instead of 1. Give a loss either soft labels or
            `reliability`: both say the same thing, and together they count it twice.
        ties (`str`, *optional*, defaults to `"drop"`):
            Items with label 0.5: `"drop"` (their number is logged), `"keep"` with the first response as `chosen` and
            reliability 0.5 (label 0.5 if soft), or `"error"`.

    Returns:
        [`~datasets.Dataset`]: `id`, `chosen`, `rejected`, `label`, `reliability`, `n_votes`, `vote_margin` (votes for
        `chosen` minus votes for `rejected`; negative where better annotators overruled the majority), and the other
        columns of `pairs`, in the order of `pairs`. Not named `margin`, which losses take as a margin of rewards.

    Raises:
        `ValueError`: Missing columns, pairs without an aggregated label or the other way round, items that occur twice,
            reliability that is not known.

    Example:
        ```python
        >>> import pandas as pd
        >>> from trl_ext.reliability.aggregation import majority_vote, to_preferences
        >>> votes = {"item_id": ["p", "p", "p"], "annotator_id": list("abc"), "label": [0, 0, 1]}
        >>> pairs = pd.DataFrame({"item_id": ["p"], "prompt": ["2+2?"], "response_a": ["5"], "response_b": ["4"]})
        >>> to_preferences(majority_vote(votes), pairs)[0]["chosen"]
        '4'
        ```
    """
    from datasets import Dataset

    if ties not in TIE_POLICIES:
        raise ValueError(f"`ties` must be one of {', '.join(TIE_POLICIES)}, got {ties!r}")
    frame = pairs.to_pandas() if isinstance(pairs, Dataset) else pairs.reset_index(drop=True)
    for column in ("item_id", "response_a", "response_b"):
        if column not in frame:
            raise ValueError(f"pairs have no column '{column}'; columns are {', '.join(map(repr, frame))}")
    taken = [column for column in frame if column in _MADE_HERE]
    if taken:
        raise ValueError(f"pairs have columns that are made here: {', '.join(map(repr, taken))}. Rename them.")
    repeated = frame["item_id"].duplicated()
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise ValueError(
            f"column 'item_id' of pairs has {int(repeated.sum())} repeated values; first: row {row}, value "
            f"{frame['item_id'][row]!r}. Give each pair once."
        )
    items = result.items.set_index("item_id")
    for ids, others, what in (
        (frame["item_id"], items.index, "pairs without an aggregated label"),
        (items.index.to_series(), frame["item_id"], "aggregated labels without a pair"),
    ):
        absent = ids[~ids.isin(others)]
        if len(absent):
            raise ValueError(
                f"{len(absent)} {what}; first: item {absent.iloc[0]!r}. Item ids must match, type included."
            )
    items = items.loc[frame["item_id"]]
    unknown = ~np.isfinite(items["reliability"].to_numpy())
    if unknown.any():
        raise ValueError(f"{int(unknown.sum())} items have no reliability; first: item {items.index[unknown][0]!r}")
    tie = items["tie"].to_numpy()
    if tie.any():
        if ties == "error":
            raise ValueError(f"{int(tie.sum())} items are ties; first: item {items.index[tie][0]!r}")
        if ties == "drop":
            logger.warning("left out %d of %d items that are ties", int(tie.sum()), len(tie))
            frame, items, tie = frame[~tie], items[~tie], tie[~tie]
            if frame.empty:
                raise ValueError(
                    'all items are ties: nothing is left. Set ties="keep" to have them with reliability 0.5.'
                )
    is_first = items["label"].to_numpy() >= 0.5
    first, second = frame["response_a"].to_numpy(), frame["response_b"].to_numpy()
    probability = items["probability"].to_numpy()
    rows = {
        "id": frame["item_id"].to_numpy(),
        **{name: frame[name].to_numpy() for name in frame if name not in ("item_id", "response_a", "response_b")},
        "chosen": [a if ok else b for a, b, ok in zip(first, second, is_first, strict=True)],
        "rejected": [b if ok else a for a, b, ok in zip(first, second, is_first, strict=True)],
        "label": np.where(is_first, probability, 1 - probability) if soft_labels else np.ones(len(frame)),
        "reliability": items["reliability"].to_numpy(),
        "n_votes": items["n_votes"].to_numpy(),
        "vote_margin": np.where(is_first, 1, -1) * items["margin"].to_numpy(),
    }
    return Dataset.from_dict({name: list(column) for name, column in rows.items()})
