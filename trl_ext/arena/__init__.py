"""Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "FittedRatings": "fitted_ratings",
    "RatingTable": "rating_table",
    "ResponseTable": "response_table",
    "ScoreTable": "score_table",
    "charm_ratings": "published_ratings",
    "check_battles": "battles",
    "elo_win_probability": "win_probability",
    "fit_ratings": "rating_fit",
    "read_battles": "battles",
    "read_leaderboard": "leaderboards",
    "simulate_battles": "simulated_battles",
    "win_probability_matrix": "win_probability",
    "write_ratings": "rating_files",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .battles import check_battles as check_battles
    from .battles import read_battles as read_battles
    from .fitted_ratings import FittedRatings as FittedRatings
    from .leaderboards import read_leaderboard as read_leaderboard
    from .published_ratings import charm_ratings as charm_ratings
    from .rating_files import write_ratings as write_ratings
    from .rating_fit import fit_ratings as fit_ratings
    from .rating_table import RatingTable as RatingTable
    from .response_table import ResponseTable as ResponseTable
    from .score_table import ScoreTable as ScoreTable
    from .simulated_battles import simulate_battles as simulate_battles
    from .win_probability import elo_win_probability as elo_win_probability
    from .win_probability import win_probability_matrix as win_probability_matrix


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
