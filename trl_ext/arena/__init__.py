"""Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "PairChoice": "pair_choice",
    "RatingAgreement": "agreement",
    "RatingTable": "rating_table",
    "ResponseTable": "response_table",
    "ScoreTable": "score_table",
    "choose_pairs": "pair_choice",
    "elo_win_probability": "win_probability",
    "implied_ratings": "implied_rating",
    "mismatch_degree": "mismatch",
    "mismatch_table": "mismatch",
    "rating_agreement": "agreement",
    "reward_elo": "implied_rating",
    "significant_pairs": "pair_choice",
    "win_probability_matrix": "win_probability",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .agreement import RatingAgreement as RatingAgreement
    from .agreement import rating_agreement as rating_agreement
    from .implied_rating import implied_ratings as implied_ratings
    from .implied_rating import reward_elo as reward_elo
    from .mismatch import mismatch_degree as mismatch_degree
    from .mismatch import mismatch_table as mismatch_table
    from .pair_choice import PairChoice as PairChoice
    from .pair_choice import choose_pairs as choose_pairs
    from .pair_choice import significant_pairs as significant_pairs
    from .rating_table import RatingTable as RatingTable
    from .response_table import ResponseTable as ResponseTable
    from .score_table import ScoreTable as ScoreTable
    from .win_probability import elo_win_probability as elo_win_probability
    from .win_probability import win_probability_matrix as win_probability_matrix


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
