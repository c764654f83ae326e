"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "AIPWEffects": "doubly_robust",
    "ASYMMETRIC_SENTENCE": "rules",
    "Attribute": "attribute",
    "AuditedEffects": "callbacks",
    "ChatClassifier": "chat_classifier",
    "ChatRewriter": "chat_rewriter",
    "ClassifierReward": "classifier_reward",
    "CombinedEffect": "aggregation",
    "Compliance": "compliance",
    "ComplianceCorrectedEffects": "compliance_correction",
    "DepthTest": "longer_chains",
    "EXPERIMENTS": "synthetic_experiments",
    "EffectFamily": "effect_families",
    "EffectsByDepth": "longer_chains",
    "Exclusion": "exclusions",
    "FamilyMember": "effect_families",
    "FaultyRewriter": "rules",
    "FeatureAdjustedEffects": "feature_adjustment",
    "FeatureDrift": "feature_drift",
    "LexicalReward": "rules",
    "Lexicon": "lexicons",
    "Limits": "quality_verdict",
    "OriginalTexts": "originals",
    "RateAuditCallback": "callbacks",
    "RateEffects": "effects",
    "RateReport": "report",
    "RewardChains": "reward_chains",
    "RewardModelComparison": "reward_model_contrasts",
    "RewardModelContrast": "reward_model_contrasts",
    "RewardProcess": "simulation",
    "RewriteEstimate": "rewrite_estimate",
    "RewriteQuality": "quality",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "Rule": "rules",
    "RuleRewriter": "rules",
    "SCENARIOS": "simulation",
    "SampleSize": "sample_sizes",
    "SelfTest": "self_test",
    "Sensitivity": "off_target_sensitivity",
    "Sweep": "sweep",
    "TextChains": "text_chains",
    "TextFacts": "text_facts",
    "Vocabulary": "rules",
    "add_typos": "rules",
    "adjust_family": "effect_families",
    "aipw_effect": "doubly_robust",
    "attribute_names": "attributes",
    "chat_prompts": "scoring",
    "classify_texts": "classifiers",
    "combine_data_sets": "aggregation",
    "compare_reward_models": "reward_model_contrasts",
    "compliance_corrected_effects": "compliance_correction",
    "correlated_chains": "correlated_resampling",
    "correlated_counts": "correlated_resampling",
    "correlated_rows": "correlated_resampling",
    "depth_test": "longer_chains",
    "estimate_effects": "effects",
    "estimate_rewrites": "rewrite_estimate",
    "feature_adjusted_effects": "feature_adjustment",
    "feature_differences": "features",
    "find_chains": "chain_folders",
    "fit_attribute": "classifiers",
    "get_attribute": "attributes",
    "get_lexicon": "lexicons",
    "lexicon_hits": "lexicons",
    "lexicon_score": "lexicons",
    "load_encoder": "text_encoder",
    "load_originals": "originals",
    "make_classifier": "classifiers",
    "make_rewriter": "rewriter_choice",
    "measure_features": "features",
    "merge_original_scored": "original_scores",
    "minimum_detectable_effect": "detectable_effect",
    "normalised_effects": "normalised",
    "observe_attribute": "compliance",
    "original_file_name": "original_layout",
    "original_hashes": "same_texts",
    "paired_effects": "estimands",
    "planted_bias_test": "self_test",
    "rate_report": "report",
    "read_all_chains": "chain_folders",
    "read_attributes": "attributes",
    "read_original_effects": "original_effects",
    "read_original_rewrites": "original_layout",
    "read_original_scored": "original_scores",
    "read_original_template": "original_layout",
    "read_originals": "originals",
    "read_reward_chains": "scoring",
    "reading_ease": "readability",
    "rewrite_chains": "rewriting",
    "rewrite_quality": "quality",
    "rule_rewriter": "rules",
    "rule_texts": "rules",
    "sample_rows": "callbacks",
    "sample_size": "sample_sizes",
    "score_chains": "scoring",
    "score_many": "scoring",
    "sensitivity": "off_target_sensitivity",
    "simulate_rewards": "simulation",
    "step_names": "steps",
    "sweep_effects": "sweep",
    "symmetric_effects": "longer_chains",
    "synthetic_answers": "rules",
    "synthetic_experiment": "synthetic_experiments",
    "synthetic_reviews": "rules",
    "world_vocabulary": "rules",
    "write_original_effects": "original_effects",
    "write_original_rewrites": "original_layout",
    "write_original_scored": "original_scores",
    "write_original_template": "original_layout",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .aggregation import CombinedEffect as CombinedEffect
    from .aggregation import combine_data_sets as combine_data_sets
    from .attribute import Attribute as Attribute
    from .attributes import attribute_names as attribute_names
    from .attributes import get_attribute as get_attribute
    from .attributes import read_attributes as read_attributes
    from .callbacks import AuditedEffects as AuditedEffects
    from .callbacks import RateAuditCallback as RateAuditCallback
    from .callbacks import sample_rows as sample_rows
    from .chain_folders import find_chains as find_chains
    from .chain_folders import read_all_chains as read_all_chains
    from .chat_classifier import ChatClassifier as ChatClassifier
    from .chat_rewriter import ChatRewriter as ChatRewriter
    from .classifier_reward import ClassifierReward as ClassifierReward
    from .classifiers import classify_texts as classify_texts
    from .classifiers import fit_attribute as fit_attribute
    from .classifiers import make_classifier as make_classifier
    from .compliance import Compliance as Compliance
    from .compliance import observe_attribute as observe_attribute
    from .compliance_correction import ComplianceCorrectedEffects as ComplianceCorrectedEffects
    from .compliance_correction import compliance_corrected_effects as compliance_corrected_effects
    from .correlated_resampling import correlated_chains as correlated_chains
    from .correlated_resampling import correlated_counts as correlated_counts
    from .correlated_resampling import correlated_rows as correlated_rows
    from .detectable_effect import minimum_detectable_effect as minimum_detectable_effect
    from .doubly_robust import AIPWEffects as AIPWEffects
    from .doubly_robust import aipw_effect as aipw_effect
    from .effect_families import EffectFamily as EffectFamily
    from .effect_families import FamilyMember as FamilyMember
    from .effect_families import adjust_family as adjust_family
    from .effects import RateEffects as RateEffects
    from .effects import estimate_effects as estimate_effects
    from .estimands import paired_effects as paired_effects
    from .exclusions import Exclusion as Exclusion
    from .feature_adjustment import FeatureAdjustedEffects as FeatureAdjustedEffects
    from .feature_adjustment import feature_adjusted_effects as feature_adjusted_effects
    from .feature_drift import FeatureDrift as FeatureDrift
    from .features import feature_differences as feature_differences
    from .features import measure_features as measure_features
    from .lexicons import Lexicon as Lexicon
    from .lexicons import get_lexicon as get_lexicon
    from .lexicons import lexicon_hits as lexicon_hits
    from .lexicons import lexicon_score as lexicon_score
    from .longer_chains import DepthTest as DepthTest
    from .longer_chains import EffectsByDepth as EffectsByDepth
    from .longer_chains import depth_test as depth_test
    from .longer_chains import symmetric_effects as symmetric_effects
    from .normalised import normalised_effects as normalised_effects
    from .off_target_sensitivity import Sensitivity as Sensitivity
    from .off_target_sensitivity import sensitivity as sensitivity
    from .original_effects import read_original_effects as read_original_effects
    from .original_effects import write_original_effects as write_original_effects
    from .original_layout import original_file_name as original_file_name
    from .original_layout import read_original_rewrites as read_original_rewrites
    from .original_layout import read_original_template as read_original_template
    from .original_layout import write_original_rewrites as write_original_rewrites
    from .original_layout import write_original_template as write_original_template
    from .original_scores import merge_original_scored as merge_original_scored
    from .original_scores import read_original_scored as read_original_scored
    from .original_scores import write_original_scored as write_original_scored
    from .originals import OriginalTexts as OriginalTexts
    from .originals import load_originals as load_originals
    from .originals import read_originals as read_originals
    from .quality import RewriteQuality as RewriteQuality
    from .quality import rewrite_quality as rewrite_quality
    from .quality_verdict import Limits as Limits
    from .readability import reading_ease as reading_ease
    from .report import RateReport as RateReport
    from .report import rate_report as rate_report
    from .reward_chains import RewardChains as RewardChains
    from .reward_model_contrasts import RewardModelComparison as RewardModelComparison
    from .reward_model_contrasts import RewardModelContrast as RewardModelContrast
    from .reward_model_contrasts import compare_reward_models as compare_reward_models
    from .rewrite_estimate import RewriteEstimate as RewriteEstimate
    from .rewrite_estimate import estimate_rewrites as estimate_rewrites
    from .rewriter import Rewriter as Rewriter
    from .rewriter import RewriteRequest as RewriteRequest
    from .rewriter import Rewritten as Rewritten
    from .rewriter_choice import make_rewriter as make_rewriter
    from .rewriting import rewrite_chains as rewrite_chains
    from .rules import ASYMMETRIC_SENTENCE as ASYMMETRIC_SENTENCE
    from .rules import FaultyRewriter as FaultyRewriter
    from .rules import LexicalReward as LexicalReward
    from .rules import Rule as Rule
    from .rules import RuleRewriter as RuleRewriter
    from .rules import Vocabulary as Vocabulary
    from .rules import add_typos as add_typos
    from .rules import rule_rewriter as rule_rewriter
    from .rules import rule_texts as rule_texts
    from .rules import synthetic_answers as synthetic_answers
    from .rules import synthetic_reviews as synthetic_reviews
    from .rules import world_vocabulary as world_vocabulary
    from .same_texts import original_hashes as original_hashes
    from .sample_sizes import SampleSize as SampleSize
    from .sample_sizes import sample_size as sample_size
    from .scoring import chat_prompts as chat_prompts
    from .scoring import read_reward_chains as read_reward_chains
    from .scoring import score_chains as score_chains
    from .scoring import score_many as score_many
    from .self_test import SelfTest as SelfTest
    from .self_test import planted_bias_test as planted_bias_test
    from .simulation import SCENARIOS as SCENARIOS
    from .simulation import RewardProcess as RewardProcess
    from .simulation import simulate_rewards as simulate_rewards
    from .steps import step_names as step_names
    from .sweep import Sweep as Sweep
    from .sweep import sweep_effects as sweep_effects
    from .synthetic_experiments import EXPERIMENTS as EXPERIMENTS
    from .synthetic_experiments import synthetic_experiment as synthetic_experiment
    from .text_chains import TextChains as TextChains
    from .text_encoder import load_encoder as load_encoder
    from .text_facts import TextFacts as TextFacts


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
