"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "AIPWEffects": "doubly_robust",
    "Attribute": "attribute",
    "CombinedEffect": "aggregation",
    "ComplianceCorrectedEffects": "compliance_correction",
    "DepthTest": "longer_chains",
    "EffectFamily": "effect_families",
    "EffectsByDepth": "longer_chains",
    "FamilyMember": "effect_families",
    "FeatureAdjustedEffects": "feature_adjustment",
    "RateEffects": "effects",
    "RewardChains": "reward_chains",
    "RewardModelComparison": "reward_model_contrasts",
    "RewardModelContrast": "reward_model_contrasts",
    "RewardProcess": "simulation",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "SCENARIOS": "simulation",
    "SampleSize": "power",
    "Sensitivity": "off_target_sensitivity",
    "Sweep": "sweep",
    "TextChains": "text_chains",
    "adjust_family": "effect_families",
    "aipw_effect": "doubly_robust",
    "combine_data_sets": "aggregation",
    "compare_reward_models": "reward_model_contrasts",
    "compliance_corrected_effects": "compliance_correction",
    "correlated_chains": "correlated_resampling",
    "correlated_counts": "correlated_resampling",
    "correlated_rows": "correlated_resampling",
    "depth_test": "longer_chains",
    "estimate_effects": "effects",
    "feature_adjusted_effects": "feature_adjustment",
    "minimum_detectable_effect": "power",
    "normalised_effects": "normalised",
    "paired_effects": "estimands",
    "sample_size": "power",
    "sensitivity": "off_target_sensitivity",
    "simulate_rewards": "simulation",
    "step_names": "steps",
    "sweep_effects": "sweep",
    "symmetric_effects": "longer_chains",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .aggregation import CombinedEffect as CombinedEffect
    from .aggregation import combine_data_sets as combine_data_sets
    from .attribute import Attribute as Attribute
    from .compliance_correction import ComplianceCorrectedEffects as ComplianceCorrectedEffects
    from .compliance_correction import compliance_corrected_effects as compliance_corrected_effects
    from .correlated_resampling import correlated_chains as correlated_chains
    from .correlated_resampling import correlated_counts as correlated_counts
    from .correlated_resampling import correlated_rows as correlated_rows
    from .doubly_robust import AIPWEffects as AIPWEffects
    from .doubly_robust import aipw_effect as aipw_effect
    from .effect_families import EffectFamily as EffectFamily
    from .effect_families import FamilyMember as FamilyMember
    from .effect_families import adjust_family as adjust_family
    from .effects import RateEffects as RateEffects
    from .effects import estimate_effects as estimate_effects
    from .estimands import paired_effects as paired_effects
    from .feature_adjustment import FeatureAdjustedEffects as FeatureAdjustedEffects
    from .feature_adjustment import feature_adjusted_effects as feature_adjusted_effects
    from .longer_chains import DepthTest as DepthTest
    from .longer_chains import EffectsByDepth as EffectsByDepth
    from .longer_chains import depth_test as depth_test
    from .longer_chains import symmetric_effects as symmetric_effects
    from .normalised import normalised_effects as normalised_effects
    from .off_target_sensitivity import Sensitivity as Sensitivity
    from .off_target_sensitivity import sensitivity as sensitivity
    from .power import SampleSize as SampleSize
    from .power import minimum_detectable_effect as minimum_detectable_effect
    from .power import sample_size as sample_size
    from .reward_chains import RewardChains as RewardChains
    from .reward_model_contrasts import RewardModelComparison as RewardModelComparison
    from .reward_model_contrasts import RewardModelContrast as RewardModelContrast
    from .reward_model_contrasts import compare_reward_models as compare_reward_models
    from .rewriter import Rewriter as Rewriter
    from .rewriter import RewriteRequest as RewriteRequest
    from .rewriter import Rewritten as Rewritten
    from .simulation import SCENARIOS as SCENARIOS
    from .simulation import RewardProcess as RewardProcess
    from .simulation import simulate_rewards as simulate_rewards
    from .steps import step_names as step_names
    from .sweep import Sweep as Sweep
    from .sweep import sweep_effects as sweep_effects
    from .text_chains import TextChains as TextChains


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
