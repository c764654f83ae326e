"""Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "FittedRatings": "fitted_ratings",
    "HumanPairsChange": "human_pairs",
    "JointOffsets": "joint_offsets",
    "MismatchChange": "mismatch_change",
    "OffsetSolution": "offsets",
    "PairChoice": "pair_choice",
    "PolicyModel": "policy_model",
    "RatingAgreement": "agreement",
    "RatingTable": "rating_table",
    "ResponseTable": "response_table",
    "RewardDrift": "drift",
    "ScoreTable": "score_table",
    "calibrated_pairs": "calibrated_rows",
    "calibrated_pairs_with_report": "calibrated_rows",
    "charm_ratings": "published_ratings",
    "check_battles": "battles",
    "check_prompt_rows": "prompt_rows",
    "choose_pairs": "pair_choice",
    "compare_human_pairs": "human_pairs",
    "compare_mismatch": "mismatch_change",
    "elo_win_probability": "win_probability",
    "fit_ratings": "rating_fit",
    "generate_responses": "response_generation",
    "implied_ratings": "implied_rating",
    "mismatch_degree": "mismatch",
    "mismatch_table": "mismatch",
    "offset_estimate": "offset_uncertainty",
    "policy_backend": "response_generation",
    "rating_agreement": "agreement",
    "read_battles": "battles",
    "read_leaderboard": "leaderboards",
    "read_original_pairs": "original_layout",
    "read_original_responses": "original_layout",
    "read_original_scores": "original_layout",
    "read_policies": "policy_model",
    "read_prompt_rows": "prompt_rows",
    "read_responses": "response_files",
    "read_rm_config": "original_layout",
    "read_scored_responses": "response_scores",
    "read_scores": "response_scores",
    "response_features": "text_counts",
    "reward_drift": "drift",
    "reward_elo": "implied_rating",
    "score_responses": "response_scores",
    "significant_pairs": "pair_choice",
    "simulate_battles": "simulated_battles",
    "soft_unpaired_win_rates": "unpaired_win_rates",
    "solve_joint_offsets": "joint_offsets",
    "solve_offset": "offsets",
    "text_features": "text_counts",
    "unpaired_objective": "unpaired_win_rates",
    "win_probability_matrix": "win_probability",
    "write_original_pairs": "original_layout",
    "write_original_responses": "original_layout",
    "write_original_scores": "original_layout",
    "write_pm_config": "original_layout",
    "write_ratings": "rating_files",
    "write_rm_config": "original_layout",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .agreement import RatingAgreement as RatingAgreement
    from .agreement import rating_agreement as rating_agreement
    from .battles import check_battles as check_battles
    from .battles import read_battles as read_battles
    from .calibrated_rows import calibrated_pairs as calibrated_pairs
    from .calibrated_rows import calibrated_pairs_with_report as calibrated_pairs_with_report
    from .drift import RewardDrift as RewardDrift
    from .drift import reward_drift as reward_drift
    from .fitted_ratings import FittedRatings as FittedRatings
    from .human_pairs import HumanPairsChange as HumanPairsChange
    from .human_pairs import compare_human_pairs as compare_human_pairs
    from .implied_rating import implied_ratings as implied_ratings
    from .implied_rating import reward_elo as reward_elo
    from .joint_offsets import JointOffsets as JointOffsets
    from .joint_offsets import solve_joint_offsets as solve_joint_offsets
    from .leaderboards import read_leaderboard as read_leaderboard
    from .mismatch import mismatch_degree as mismatch_degree
    from .mismatch import mismatch_table as mismatch_table
    from .mismatch_change import MismatchChange as MismatchChange
    from .mismatch_change import compare_mismatch as compare_mismatch
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
    from .pair_choice import PairChoice as PairChoice
    from .pair_choice import choose_pairs as choose_pairs
    from .pair_choice import significant_pairs as significant_pairs
    from .policy_model import PolicyModel as PolicyModel
    from .policy_model import read_policies as read_policies
    from .prompt_rows import check_prompt_rows as check_prompt_rows
    from .prompt_rows import read_prompt_rows as read_prompt_rows
    from .published_ratings import charm_ratings as charm_ratings
    from .rating_files import write_ratings as write_ratings
    from .rating_fit import fit_ratings as fit_ratings
    from .rating_table import RatingTable as RatingTable
    from .response_files import read_responses as read_responses
    from .response_generation import generate_responses as generate_responses
    from .response_generation import policy_backend as policy_backend
    from .response_scores import read_scored_responses as read_scored_responses
    from .response_scores import read_scores as read_scores
    from .response_scores import score_responses as score_responses
    from .response_table import ResponseTable as ResponseTable
    from .score_table import ScoreTable as ScoreTable
    from .simulated_battles import simulate_battles as simulate_battles
    from .text_counts import response_features as response_features
    from .text_counts import text_features as text_features
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
