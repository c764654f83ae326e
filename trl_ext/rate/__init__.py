"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "AIPWEffects": "doubly_robust",
    "Attribute": "attribute",
    "ComplianceCorrectedEffects": "compliance_correction",
    "DepthTest": "longer_chains",
    "EffectFamily": "effect_families",
    "EffectsByDepth": "longer_chains",
    "FamilyMember": "effect_families",
    "FeatureAdjustedEffects": "feature_adjustment",
    "RewardChains": "reward_chains",
    "RewardModelComparison": "reward_model_contrasts",
    "RewardModelContrast": "reward_model_contrasts",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "SampleSize": "power",
    "Sensitivity": "off_target_sensitivity",
    "TextChains": "text_chains",
    "adjust_family": "effect_families",
    "aipw_effect": "doubly_robust",
    "compare_reward_models": "reward_model_contrasts",
    "compliance_corrected_effects": "compliance_correction",
    "depth_test": "longer_chains",
    "feature_adjusted_effects": "feature_adjustment",
    "minimum_detectable_effect": "power",
    "sample_size": "power",
    "sensitivity": "off_target_sensitivity",
    "step_names": "steps",
    "symmetric_effects": "longer_chains",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attribute import Attribute as Attribute
    from .compliance_correction import ComplianceCorrectedEffects as ComplianceCorrectedEffects
    from .compliance_correction import compliance_corrected_effects as compliance_corrected_effects
    from .doubly_robust import AIPWEffects as AIPWEffects
    from .doubly_robust import aipw_effect as aipw_effect
    from .effect_families import EffectFamily as EffectFamily
    from .effect_families import FamilyMember as FamilyMember
    from .effect_families import adjust_family as adjust_family
    from .feature_adjustment import FeatureAdjustedEffects as FeatureAdjustedEffects
    from .feature_adjustment import feature_adjusted_effects as feature_adjusted_effects
    from .longer_chains import DepthTest as DepthTest
    from .longer_chains import EffectsByDepth as EffectsByDepth
    from .longer_chains import depth_test as depth_test
    from .longer_chains import symmetric_effects as symmetric_effects
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
    from .steps import step_names as step_names
    from .text_chains import TextChains as TextChains


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
