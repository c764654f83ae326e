"""Scoring of N responses per prompt: reward models, DPO models, pairwise rankers, ensembles."""

import importlib
from typing import TYPE_CHECKING


# Public name -> submodule. Resolved at first use: the command line's --help needs no torch
_EXPORTS = {
    "Comparer": "ranking",
    "CrossEncoderComparer": "cross_encoder_comparer",
    "DPOImplicitRewardScorer": "dpo",
    "EnsembleScorer": "ensemble",
    "LanguageModelComparer": "language_model_comparer",
    "PairwiseRankingScorer": "ranking",
    "RewardScorer": "scorer",
    "ensemble_rewards": "ensemble_combination",
    "response_log_probabilities": "token_log_probabilities",
    "sweep_ensembles": "ensemble_sweep",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .cross_encoder_comparer import CrossEncoderComparer as CrossEncoderComparer
    from .dpo import DPOImplicitRewardScorer as DPOImplicitRewardScorer
    from .ensemble import EnsembleScorer as EnsembleScorer
    from .ensemble_combination import ensemble_rewards as ensemble_rewards
    from .ensemble_sweep import sweep_ensembles as sweep_ensembles
    from .language_model_comparer import LanguageModelComparer as LanguageModelComparer
    from .ranking import Comparer as Comparer
    from .ranking import PairwiseRankingScorer as PairwiseRankingScorer
    from .scorer import RewardScorer as RewardScorer
    from .token_log_probabilities import response_log_probabilities as response_log_probabilities


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
