"""Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "PolicyModel": "policy_model",
    "RatingTable": "rating_table",
    "ResponseTable": "response_table",
    "ScoreTable": "score_table",
    "check_prompt_rows": "prompt_rows",
    "elo_win_probability": "win_probability",
    "generate_responses": "response_generation",
    "policy_backend": "response_generation",
    "read_policies": "policy_model",
    "read_prompt_rows": "prompt_rows",
    "read_responses": "response_files",
    "read_scores": "response_scores",
    "score_responses": "response_scores",
    "win_probability_matrix": "win_probability",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .policy_model import PolicyModel as PolicyModel
    from .policy_model import read_policies as read_policies
    from .prompt_rows import check_prompt_rows as check_prompt_rows
    from .prompt_rows import read_prompt_rows as read_prompt_rows
    from .rating_table import RatingTable as RatingTable
    from .response_files import read_responses as read_responses
    from .response_generation import generate_responses as generate_responses
    from .response_generation import policy_backend as policy_backend
    from .response_scores import read_scores as read_scores
    from .response_scores import score_responses as score_responses
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
