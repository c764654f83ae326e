"""Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "JointOffsets": "joint_offsets",
    "OffsetSolution": "offsets",
    "RatingTable": "rating_table",
    "ResponseTable": "response_table",
    "ScoreTable": "score_table",
    "calibrated_pairs": "calibrated_rows",
    "calibrated_pairs_with_report": "calibrated_rows",
    "elo_win_probability": "win_probability",
    "offset_estimate": "offset_uncertainty",
    "read_original_pairs": "original_layout",
    "read_original_responses": "original_layout",
    "read_original_scores": "original_layout",
    "read_rm_config": "original_layout",
    "soft_unpaired_win_rates": "unpaired_win_rates",
    "solve_joint_offsets": "joint_offsets",
    "solve_offset": "offsets",
    "unpaired_objective": "unpaired_win_rates",
    "win_probability_matrix": "win_probability",
    "write_original_pairs": "original_layout",
    "write_original_responses": "original_layout",
    "write_original_scores": "original_layout",
    "write_pm_config": "original_layout",
    "write_rm_config": "original_layout",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .calibrated_rows import calibrated_pairs as calibrated_pairs
    from .calibrated_rows import calibrated_pairs_with_report as calibrated_pairs_with_report
    from .joint_offsets import JointOffsets as JointOffsets
    from .joint_offsets import solve_joint_offsets as solve_joint_offsets
    from .offset_uncertainty import offset_estimate as offset_estimate
    from .offsets import OffsetSolution as OffsetSolution
    from .offsets import solve_offset as solve_offset
    from .original_layout import read_original_pairs as read_original_pairs
    from .original_layout import read_original_responses as read_original_responses
    from .original_layout import read_original_scores as read_original_scores
    from .original_layout import read_rm_config as read_rm_config
    from .original_layout import write_original_pairs as write_original_pairs
    from .original_layout import write_original_responses as write_original_responses
    from .original_layout import write_original_scores as write_original_scores
    from .original_layout import write_pm_config as write_pm_config
    from .original_layout import write_rm_config as write_rm_config
    from .rating_table import RatingTable as RatingTable
    from .response_table import ResponseTable as ResponseTable
    from .score_table import ScoreTable as ScoreTable
    from .unpaired_win_rates import soft_unpaired_win_rates as soft_unpaired_win_rates
    from .unpaired_win_rates import unpaired_objective as unpaired_objective
    from .win_probability import elo_win_probability as elo_win_probability
    from .win_probability import win_probability_matrix as win_probability_matrix


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
