"""How uncertain reward differences are: spread of heads, conformal intervals, and when to abstain."""

from .conformal import ConformalIntervals, fit_conformal_intervals
from .preference_sets import PreferenceSets, fit_preference_sets
from .rewards import PairUncertainty, UncertainRewards
from .storage import RewardUncertainty, read_uncertainty, remove_uncertainty, save_uncertainty


__all__ = [
    "ConformalIntervals",
    "PairUncertainty",
    "PreferenceSets",
    "RewardUncertainty",
    "UncertainRewards",
    "fit_conformal_intervals",
    "fit_preference_sets",
    "read_uncertainty",
    "remove_uncertainty",
    "save_uncertainty",
]
