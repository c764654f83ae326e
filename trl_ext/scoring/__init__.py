"""Scoring of N responses per prompt: reward models, DPO models, pairwise rankers, ensembles, judges; calibrated or raw."""

from typing import TYPE_CHECKING

from ..lazy_exports import lazy_exports


# Public name -> submodule. Resolved at first use: the command line's --help needs no torch
_EXPORTS = {
    "CalibratedScorer": "calibrated",
    "ConformalIntervals": "uncertainty",
    "PreferenceSets": "uncertainty",
    "RewardUncertainty": "uncertainty",
    "Comparer": "ranking",
    "CrossEncoderComparer": "cross_encoder_comparer",
    "DPOImplicitRewardScorer": "dpo",
    "EnsembleScorer": "ensemble",
    "FourWayJudge": "judges",
    "LengthCurve": "calibrated",
    "JudgePanel": "judges",
    "LanguageModelComparer": "language_model_comparer",
    "PairwiseJudge": "judges",
    "PairwiseRankingScorer": "ranking",
    "RatingsJudge": "judges",
    "PreferenceCurve": "calibrated",
    "RewardCalibration": "calibrated",
    "RewardScorer": "scorer",
    "RoutedJudge": "judges",
    "ensemble_rewards": "ensemble_combination",
    "fit_conformal_intervals": "uncertainty",
    "fit_length_calibration": "calibrated",
    "fit_preference_calibration": "calibrated",
    "fit_preference_sets": "uncertainty",
    "read_calibration": "calibrated",
    "read_uncertainty": "uncertainty",
    "remove_calibration": "calibrated",
    "remove_uncertainty": "uncertainty",
    "response_lengths": "calibrated",
    "response_log_probabilities": "token_log_probabilities",
    "reward_function": "grpo",
    "save_calibration": "calibrated",
    "save_uncertainty": "uncertainty",
    "sweep_ensembles": "ensemble_sweep",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .calibrated import CalibratedScorer as CalibratedScorer
    from .calibrated import LengthCurve as LengthCurve
    from .calibrated import PreferenceCurve as PreferenceCurve
    from .calibrated import RewardCalibration as RewardCalibration
    from .calibrated import fit_length_calibration as fit_length_calibration
    from .calibrated import fit_preference_calibration as fit_preference_calibration
    from .calibrated import read_calibration as read_calibration
    from .calibrated import remove_calibration as remove_calibration
    from .calibrated import response_lengths as response_lengths
    from .calibrated import save_calibration as save_calibration
    from .cross_encoder_comparer import CrossEncoderComparer as CrossEncoderComparer
    from .dpo import DPOImplicitRewardScorer as DPOImplicitRewardScorer
    from .ensemble import EnsembleScorer as EnsembleScorer
    from .ensemble_combination import ensemble_rewards as ensemble_rewards
    from .ensemble_sweep import sweep_ensembles as sweep_ensembles
    from .grpo import reward_function as reward_function
    from .judges import FourWayJudge as FourWayJudge
    from .judges import JudgePanel as JudgePanel
    from .judges import PairwiseJudge as PairwiseJudge
    from .judges import RatingsJudge as RatingsJudge
    from .judges import RoutedJudge as RoutedJudge
    from .language_model_comparer import LanguageModelComparer as LanguageModelComparer
    from .ranking import Comparer as Comparer
    from .ranking import PairwiseRankingScorer as PairwiseRankingScorer
    from .scorer import RewardScorer as RewardScorer
    from .token_log_probabilities import response_log_probabilities as response_log_probabilities
    from .uncertainty import ConformalIntervals as ConformalIntervals
    from .uncertainty import PreferenceSets as PreferenceSets
    from .uncertainty import RewardUncertainty as RewardUncertainty
    from .uncertainty import fit_conformal_intervals as fit_conformal_intervals
    from .uncertainty import fit_preference_sets as fit_preference_sets
    from .uncertainty import read_uncertainty as read_uncertainty
    from .uncertainty import remove_uncertainty as remove_uncertainty
    from .uncertainty import save_uncertainty as save_uncertainty

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
