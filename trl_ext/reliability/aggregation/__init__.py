"""Labels aggregated from several annotators, and how far to believe each of them."""

from .agreement import krippendorff_alpha
from .bootstrap import bootstrap_skills
from .dawid_skene import dawid_skene
from .glad import glad
from .majority import majority_vote
from .noisy_bradley_terry import noisy_bradley_terry
from .preferences import to_preferences
from .result import Aggregation
from .simulation import simulate_comparisons, simulate_votes
from .votes import Votes, read_votes


__all__ = [
    "Aggregation",
    "Votes",
    "bootstrap_skills",
    "dawid_skene",
    "glad",
    "krippendorff_alpha",
    "majority_vote",
    "noisy_bradley_terry",
    "read_votes",
    "simulate_comparisons",
    "simulate_votes",
    "to_preferences",
]
