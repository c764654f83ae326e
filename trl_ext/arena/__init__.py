"""
Which models a reward model over-values, against a leaderboard of human votes, and by how much (CHARM).

`leaderboards` and `ratings` say how often one model should win; `responses` are those of the models, with their rewards;
`mismatch` compares the two; `offsets` would close the gap; `calibration` makes pairs to train on, and looks at what else
such a training changed.
"""

from typing import TYPE_CHECKING

from ..lazy_exports import lazy_exports


_EXPORTS = {
    "FittedRatings": "ratings.fitted_ratings",
    "HumanPairsChange": "calibration.human_pairs",
    "JointOffsets": "offsets.joint_offsets",
    "MismatchChange": "mismatch.change",
    "OffsetSolution": "offsets.pair_offsets",
    "PairChoice": "mismatch.pair_choice",
    "PolicyModel": "responses.policy_model",
    "RatingAgreement": "mismatch.agreement",
    "RatingTable": "ratings.rating_table",
    "ResponseTable": "responses.response_table",
    "RewardDrift": "calibration.drift",
    "ScoreTable": "score_table",
    "calibrated_pairs": "calibration.calibrated_rows",
    "calibrated_pairs_with_report": "calibration.calibrated_rows",
    "charm_ratings": "leaderboards.published_ratings",
    "check_battles": "ratings.battles",
    "check_prompt_rows": "responses.prompt_rows",
    "choose_pairs": "mismatch.pair_choice",
    "compare_human_pairs": "calibration.human_pairs",
    "compare_mismatch": "mismatch.change",
    "elo_win_probability": "ratings.win_probability",
    "fit_ratings": "ratings.rating_fit",
    "generate_responses": "responses.generation",
    "implied_ratings": "mismatch.implied_rating",
    "mismatch_degree": "mismatch.degrees",
    "mismatch_table": "mismatch.degrees",
    "offset_estimate": "offsets.uncertainty",
    "policy_backend": "responses.generation",
    "rating_agreement": "mismatch.agreement",
    "read_battles": "ratings.battles",
    "read_leaderboard": "leaderboards.reading",
    "read_original_pairs": "responses.original_layout",
    "read_original_responses": "responses.original_layout",
    "read_original_scores": "responses.original_layout",
    "read_policies": "responses.policy_model",
    "read_prompt_rows": "responses.prompt_rows",
    "read_responses": "responses.files",
    "read_rm_config": "responses.original_layout",
    "read_scored_responses": "responses.scores",
    "read_scores": "responses.scores",
    "response_features": "responses.text_counts",
    "reward_drift": "calibration.drift",
    "reward_elo": "mismatch.implied_rating",
    "score_responses": "responses.scores",
    "significant_pairs": "mismatch.pair_choice",
    "simulate_battles": "ratings.simulated_battles",
    "soft_unpaired_win_rates": "offsets.unpaired_win_rates",
    "solve_joint_offsets": "offsets.joint_offsets",
    "solve_offset": "offsets.pair_offsets",
    "text_features": "responses.text_counts",
    "unpaired_objective": "offsets.unpaired_win_rates",
    "win_probability_matrix": "ratings.win_probability",
    "write_original_pairs": "responses.original_layout",
    "write_original_responses": "responses.original_layout",
    "write_original_scores": "responses.original_layout",
    "write_pm_config": "responses.original_layout",
    "write_ratings": "leaderboards.rating_files",
    "write_rm_config": "responses.original_layout",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .calibration.calibrated_rows import calibrated_pairs as calibrated_pairs
    from .calibration.calibrated_rows import calibrated_pairs_with_report as calibrated_pairs_with_report
    from .calibration.drift import RewardDrift as RewardDrift
    from .calibration.drift import reward_drift as reward_drift
    from .calibration.human_pairs import HumanPairsChange as HumanPairsChange
    from .calibration.human_pairs import compare_human_pairs as compare_human_pairs
    from .leaderboards.published_ratings import charm_ratings as charm_ratings
    from .leaderboards.rating_files import write_ratings as write_ratings
    from .leaderboards.reading import read_leaderboard as read_leaderboard
    from .mismatch.agreement import RatingAgreement as RatingAgreement
    from .mismatch.agreement import rating_agreement as rating_agreement
    from .mismatch.change import MismatchChange as MismatchChange
    from .mismatch.change import compare_mismatch as compare_mismatch
    from .mismatch.degrees import mismatch_degree as mismatch_degree
    from .mismatch.degrees import mismatch_table as mismatch_table
    from .mismatch.implied_rating import implied_ratings as implied_ratings
    from .mismatch.implied_rating import reward_elo as reward_elo
    from .mismatch.pair_choice import PairChoice as PairChoice
    from .mismatch.pair_choice import choose_pairs as choose_pairs
    from .mismatch.pair_choice import significant_pairs as significant_pairs
    from .offsets.joint_offsets import JointOffsets as JointOffsets
    from .offsets.joint_offsets import solve_joint_offsets as solve_joint_offsets
    from .offsets.pair_offsets import OffsetSolution as OffsetSolution
    from .offsets.pair_offsets import solve_offset as solve_offset
    from .offsets.uncertainty import offset_estimate as offset_estimate
    from .offsets.unpaired_win_rates import soft_unpaired_win_rates as soft_unpaired_win_rates
    from .offsets.unpaired_win_rates import unpaired_objective as unpaired_objective
    from .ratings.battles import check_battles as check_battles
    from .ratings.battles import read_battles as read_battles
    from .ratings.fitted_ratings import FittedRatings as FittedRatings
    from .ratings.rating_fit import fit_ratings as fit_ratings
    from .ratings.rating_table import RatingTable as RatingTable
    from .ratings.simulated_battles import simulate_battles as simulate_battles
    from .ratings.win_probability import elo_win_probability as elo_win_probability
    from .ratings.win_probability import win_probability_matrix as win_probability_matrix
    from .responses.files import read_responses as read_responses
    from .responses.generation import generate_responses as generate_responses
    from .responses.generation import policy_backend as policy_backend
    from .responses.original_layout import read_original_pairs as read_original_pairs
    from .responses.original_layout import read_original_responses as read_original_responses
    from .responses.original_layout import read_original_scores as read_original_scores
    from .responses.original_layout import read_rm_config as read_rm_config
    from .responses.original_layout import write_original_pairs as write_original_pairs
    from .responses.original_layout import write_original_responses as write_original_responses
    from .responses.original_layout import write_original_scores as write_original_scores
    from .responses.original_layout import write_pm_config as write_pm_config
    from .responses.original_layout import write_rm_config as write_rm_config
    from .responses.policy_model import PolicyModel as PolicyModel
    from .responses.policy_model import read_policies as read_policies
    from .responses.prompt_rows import check_prompt_rows as check_prompt_rows
    from .responses.prompt_rows import read_prompt_rows as read_prompt_rows
    from .responses.response_table import ResponseTable as ResponseTable
    from .responses.scores import read_scored_responses as read_scored_responses
    from .responses.scores import read_scores as read_scores
    from .responses.scores import score_responses as score_responses
    from .responses.text_counts import response_features as response_features
    from .responses.text_counts import text_features as text_features
    from .score_table import ScoreTable as ScoreTable

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
