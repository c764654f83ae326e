"""Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "MismatchChange": "mismatch_change",
    "RatingTable": "rating_table",
    "ResponseTable": "response_table",
    "ScoreTable": "score_table",
    "compare_mismatch": "mismatch_change",
    "elo_win_probability": "win_probability",
    "win_probability_matrix": "win_probability",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .mismatch_change import MismatchChange as MismatchChange
    from .mismatch_change import compare_mismatch as compare_mismatch
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
