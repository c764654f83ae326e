"""Ratings that were fitted to battles."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ...evaluation.statistics import Estimate
from .rating_table import RatingTable


@dataclass(frozen=True)
class FittedRatings(RatingTable):
    """
    A [`RatingTable`] that also knows what it was fitted to.

    Args:
        n_battles (`int`):
            Number of battles.
        style (`Mapping[str, Estimate]`):
            Under style control, the effect of each style feature: log-odds of winning for one standard deviation of
            (a − b)/(a + b + 1). Positive where people, at equal strength, prefer more of it.
    """

    n_battles: int = 0
    style: Mapping[str, Estimate] = field(default_factory=dict)
