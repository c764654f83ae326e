"""What is measured of the texts behind rewards, for the estimators that need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .reward_chains import RewardChains


@dataclass(frozen=True)
class TextFacts:
    """
    Measurements of N chains of texts, row by row. Rewards are joined by id.

    Args:
        ids (`np.ndarray` of shape `(N,)`):
            Ids of the rows, each once.
        observed (`np.ndarray` of shape `(N, K + 1)`, *optional*):
            Whether each text has the attribute, `nan` where that can't be said: for the correction for compliance.
        differences (`pandas.DataFrame` of N rows, *optional*):
            Features of the rewrite with the attribute minus those of the rewrite without it: for the adjustment.
        covariates (`pandas.DataFrame` of N rows, *optional*):
            Features of the originals: for the comparison without rewrites (AIPW).
        excluded (`Mapping[str, int]`, *optional*):
            Rows that were left out before, by reason. They are not among the N rows.
        originals (`np.ndarray` of shape `(N,)`, *optional*):
            Hashes of prompts and originals ([`original_hashes`]): to know data sets that have texts in common.

    Raises:
        ValueError: Numbers of rows do not agree, or an id occurs twice.
    """

    ids: np.ndarray
    observed: np.ndarray | None = None
    differences: pd.DataFrame | None = None
    covariates: pd.DataFrame | None = None
    excluded: Mapping[str, int] = field(default_factory=dict)
    originals: np.ndarray | None = None

    def __post_init__(self):
        object.__setattr__(self, "ids", np.array(self.ids, dtype=object))
        for name in ("observed", "differences", "covariates", "originals"):
            part = getattr(self, name)
            if part is not None and len(part) != len(self.ids):
                raise ValueError(f"there are {len(self.ids)} ids, but {len(part)} rows of {name}")
        repeated = np.flatnonzero(pd.Series(self.ids).duplicated())
        if repeated.size:
            raise ValueError(f"id {self.ids[repeated[0]]!r} occurs more than once; second time: row {repeated[0]}")

    def rows_of(self, chains: RewardChains) -> np.ndarray:
        """
        Row numbers of the facts of each row of rewards, shape `(M,)`.

        Raises:
            ValueError: The rewards have no ids, or an id that the facts lack.
        """
        if chains.ids is None:
            raise ValueError("rewards must have ids to be joined with what is measured of their texts")
        rows = pd.Index(self.ids).get_indexer(chains.ids)
        missing = np.flatnonzero(rows < 0)
        if missing.size:
            raise ValueError(
                f"{missing.size} rows of rewards have an id without a text; first: row {missing[0]}, id "
                f"{chains.ids[missing[0]]!r}"
            )
        return rows


def take(part: Any, rows: np.ndarray) -> Any:
    """Some rows of an array or a table."""
    return part.iloc[rows].reset_index(drop=True) if isinstance(part, pd.DataFrame) else part[rows]
