"""
What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE).

In the order of an analysis: `attributes` and `originals`, `rewriting` (by chat models, or by `rules`), `quality` of what came
out, `chains` of texts and rewards, `estimators` of the effect, `remedies` for rewrites that are not perfect, `many_effects`
at once, `report`. Before it: `power`. To check it: `experiments` with known effects, and the `original_files` of the
paper's code.
"""

from typing import TYPE_CHECKING

from ..lazy_exports import lazy_exports


_EXPORTS = {
    "AIPWEffects": "remedies.doubly_robust",
    "ASYMMETRIC_SENTENCE": "rules",
    "Attribute": "attributes.attribute",
    "AuditedEffects": "callbacks",
    "ChatClassifier": "attributes.chat_classifier",
    "ChatRewriter": "rewriting.chat_rewriter",
    "ClassifierReward": "chains.classifier_reward",
    "CombinedEffect": "many_effects.aggregation",
    "Compliance": "quality.compliance",
    "ComplianceCorrectedEffects": "remedies.compliance_correction",
    "DepthTest": "remedies.longer_chains",
    "EXPERIMENTS": "experiments.synthetic_experiments",
    "EffectFamily": "many_effects.effect_families",
    "EffectsByDepth": "remedies.longer_chains",
    "Exclusion": "quality.exclusions",
    "FamilyMember": "many_effects.effect_families",
    "FaultyRewriter": "rules",
    "FeatureAdjustedEffects": "remedies.feature_adjustment",
    "FeatureDrift": "quality.feature_drift",
    "LexicalReward": "rules",
    "Lexicon": "attributes.lexicons",
    "Limits": "quality.verdict",
    "OriginalTexts": "originals.loading",
    "RateAuditCallback": "callbacks",
    "RateEffects": "estimators.effects",
    "RateReport": "report.report",
    "RewardChains": "chains.reward_chains",
    "RewardModelComparison": "many_effects.reward_model_contrasts",
    "RewardModelContrast": "many_effects.reward_model_contrasts",
    "RewardProcess": "experiments.simulation",
    "RewriteEstimate": "rewriting.rewrite_estimate",
    "RewriteQuality": "quality.rewrite_quality",
    "RewriteRequest": "rewriting.rewriter",
    "Rewriter": "rewriting.rewriter",
    "Rewritten": "rewriting.rewriter",
    "Rule": "rules",
    "RuleRewriter": "rules",
    "SCENARIOS": "experiments.simulation",
    "SampleSize": "power.sample_sizes",
    "SelfTest": "experiments.self_test",
    "Sensitivity": "remedies.off_target_sensitivity",
    "Sweep": "experiments.sweep",
    "TextChains": "chains.text_chains",
    "TextFacts": "chains.text_facts",
    "Vocabulary": "rules",
    "add_typos": "rules",
    "adjust_family": "many_effects.effect_families",
    "aipw_effect": "remedies.doubly_robust",
    "attribute_names": "attributes.registry",
    "chat_prompts": "chains.scoring",
    "classify_texts": "attributes.classifiers",
    "combine_data_sets": "many_effects.aggregation",
    "compare_reward_models": "many_effects.reward_model_contrasts",
    "compliance_corrected_effects": "remedies.compliance_correction",
    "correlated_chains": "experiments.correlated_resampling",
    "correlated_counts": "experiments.correlated_resampling",
    "correlated_rows": "experiments.correlated_resampling",
    "depth_test": "remedies.longer_chains",
    "estimate_effects": "estimators.effects",
    "estimate_rewrites": "rewriting.rewrite_estimate",
    "feature_adjusted_effects": "remedies.feature_adjustment",
    "feature_differences": "quality.features",
    "find_chains": "chains.chain_folders",
    "fit_attribute": "attributes.classifiers",
    "get_attribute": "attributes.registry",
    "get_lexicon": "attributes.lexicons",
    "lexicon_hits": "attributes.lexicons",
    "lexicon_score": "attributes.lexicons",
    "load_encoder": "quality.text_encoder",
    "load_originals": "originals.loading",
    "make_classifier": "attributes.classifiers",
    "make_rewriter": "rewriting.rewriter_choice",
    "measure_features": "quality.features",
    "merge_original_scored": "original_files.scores",
    "minimum_detectable_effect": "power.detectable_effect",
    "normalised_effects": "estimators.normalised",
    "observe_attribute": "quality.compliance",
    "original_file_name": "original_files.layout",
    "original_hashes": "many_effects.same_texts",
    "paired_effects": "estimators.estimands",
    "planted_bias_test": "experiments.self_test",
    "rate_report": "report.report",
    "read_all_chains": "chains.chain_folders",
    "read_attributes": "attributes.registry",
    "read_original_effects": "original_files.effects",
    "read_original_rewrites": "original_files.layout",
    "read_original_scored": "original_files.scores",
    "read_original_template": "original_files.layout",
    "read_originals": "originals.loading",
    "read_reward_chains": "chains.scoring",
    "reading_ease": "attributes.readability",
    "rewrite_chains": "rewriting.rewrite_chains",
    "rewrite_quality": "quality.rewrite_quality",
    "rule_rewriter": "rules",
    "rule_texts": "rules",
    "sample_rows": "callbacks",
    "sample_size": "power.sample_sizes",
    "score_chains": "chains.scoring",
    "score_many": "chains.scoring",
    "sensitivity": "remedies.off_target_sensitivity",
    "simulate_rewards": "experiments.simulation",
    "step_names": "chains.steps",
    "sweep_effects": "experiments.sweep",
    "symmetric_effects": "remedies.longer_chains",
    "synthetic_answers": "rules",
    "synthetic_experiment": "experiments.synthetic_experiments",
    "synthetic_reviews": "rules",
    "world_vocabulary": "rules",
    "write_original_effects": "original_files.effects",
    "write_original_rewrites": "original_files.layout",
    "write_original_scored": "original_files.scores",
    "write_original_template": "original_files.layout",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attributes.attribute import Attribute as Attribute
    from .attributes.chat_classifier import ChatClassifier as ChatClassifier
    from .attributes.classifiers import classify_texts as classify_texts
    from .attributes.classifiers import fit_attribute as fit_attribute
    from .attributes.classifiers import make_classifier as make_classifier
    from .attributes.lexicons import Lexicon as Lexicon
    from .attributes.lexicons import get_lexicon as get_lexicon
    from .attributes.lexicons import lexicon_hits as lexicon_hits
    from .attributes.lexicons import lexicon_score as lexicon_score
    from .attributes.readability import reading_ease as reading_ease
    from .attributes.registry import attribute_names as attribute_names
    from .attributes.registry import get_attribute as get_attribute
    from .attributes.registry import read_attributes as read_attributes
    from .callbacks import AuditedEffects as AuditedEffects
    from .callbacks import RateAuditCallback as RateAuditCallback
    from .callbacks import sample_rows as sample_rows
    from .chains.chain_folders import find_chains as find_chains
    from .chains.chain_folders import read_all_chains as read_all_chains
    from .chains.classifier_reward import ClassifierReward as ClassifierReward
    from .chains.reward_chains import RewardChains as RewardChains
    from .chains.scoring import chat_prompts as chat_prompts
    from .chains.scoring import read_reward_chains as read_reward_chains
    from .chains.scoring import score_chains as score_chains
    from .chains.scoring import score_many as score_many
    from .chains.steps import step_names as step_names
    from .chains.text_chains import TextChains as TextChains
    from .chains.text_facts import TextFacts as TextFacts
    from .estimators.effects import RateEffects as RateEffects
    from .estimators.effects import estimate_effects as estimate_effects
    from .estimators.estimands import paired_effects as paired_effects
    from .estimators.normalised import normalised_effects as normalised_effects
    from .experiments.correlated_resampling import correlated_chains as correlated_chains
    from .experiments.correlated_resampling import correlated_counts as correlated_counts
    from .experiments.correlated_resampling import correlated_rows as correlated_rows
    from .experiments.self_test import SelfTest as SelfTest
    from .experiments.self_test import planted_bias_test as planted_bias_test
    from .experiments.simulation import SCENARIOS as SCENARIOS
    from .experiments.simulation import RewardProcess as RewardProcess
    from .experiments.simulation import simulate_rewards as simulate_rewards
    from .experiments.sweep import Sweep as Sweep
    from .experiments.sweep import sweep_effects as sweep_effects
    from .experiments.synthetic_experiments import EXPERIMENTS as EXPERIMENTS
    from .experiments.synthetic_experiments import synthetic_experiment as synthetic_experiment
    from .many_effects.aggregation import CombinedEffect as CombinedEffect
    from .many_effects.aggregation import combine_data_sets as combine_data_sets
    from .many_effects.effect_families import EffectFamily as EffectFamily
    from .many_effects.effect_families import FamilyMember as FamilyMember
    from .many_effects.effect_families import adjust_family as adjust_family
    from .many_effects.reward_model_contrasts import RewardModelComparison as RewardModelComparison
    from .many_effects.reward_model_contrasts import RewardModelContrast as RewardModelContrast
    from .many_effects.reward_model_contrasts import compare_reward_models as compare_reward_models
    from .many_effects.same_texts import original_hashes as original_hashes
    from .original_files.effects import read_original_effects as read_original_effects
    from .original_files.effects import write_original_effects as write_original_effects
    from .original_files.layout import original_file_name as original_file_name
    from .original_files.layout import read_original_rewrites as read_original_rewrites
    from .original_files.layout import read_original_template as read_original_template
    from .original_files.layout import write_original_rewrites as write_original_rewrites
    from .original_files.layout import write_original_template as write_original_template
    from .original_files.scores import merge_original_scored as merge_original_scored
    from .original_files.scores import read_original_scored as read_original_scored
    from .original_files.scores import write_original_scored as write_original_scored
    from .originals.loading import OriginalTexts as OriginalTexts
    from .originals.loading import load_originals as load_originals
    from .originals.loading import read_originals as read_originals
    from .power.detectable_effect import minimum_detectable_effect as minimum_detectable_effect
    from .power.sample_sizes import SampleSize as SampleSize
    from .power.sample_sizes import sample_size as sample_size
    from .quality.compliance import Compliance as Compliance
    from .quality.compliance import observe_attribute as observe_attribute
    from .quality.exclusions import Exclusion as Exclusion
    from .quality.feature_drift import FeatureDrift as FeatureDrift
    from .quality.features import feature_differences as feature_differences
    from .quality.features import measure_features as measure_features
    from .quality.rewrite_quality import RewriteQuality as RewriteQuality
    from .quality.rewrite_quality import rewrite_quality as rewrite_quality
    from .quality.text_encoder import load_encoder as load_encoder
    from .quality.verdict import Limits as Limits
    from .remedies.compliance_correction import ComplianceCorrectedEffects as ComplianceCorrectedEffects
    from .remedies.compliance_correction import compliance_corrected_effects as compliance_corrected_effects
    from .remedies.doubly_robust import AIPWEffects as AIPWEffects
    from .remedies.doubly_robust import aipw_effect as aipw_effect
    from .remedies.feature_adjustment import FeatureAdjustedEffects as FeatureAdjustedEffects
    from .remedies.feature_adjustment import feature_adjusted_effects as feature_adjusted_effects
    from .remedies.longer_chains import DepthTest as DepthTest
    from .remedies.longer_chains import EffectsByDepth as EffectsByDepth
    from .remedies.longer_chains import depth_test as depth_test
    from .remedies.longer_chains import symmetric_effects as symmetric_effects
    from .remedies.off_target_sensitivity import Sensitivity as Sensitivity
    from .remedies.off_target_sensitivity import sensitivity as sensitivity
    from .report.report import RateReport as RateReport
    from .report.report import rate_report as rate_report
    from .rewriting.chat_rewriter import ChatRewriter as ChatRewriter
    from .rewriting.rewrite_chains import rewrite_chains as rewrite_chains
    from .rewriting.rewrite_estimate import RewriteEstimate as RewriteEstimate
    from .rewriting.rewrite_estimate import estimate_rewrites as estimate_rewrites
    from .rewriting.rewriter import Rewriter as Rewriter
    from .rewriting.rewriter import RewriteRequest as RewriteRequest
    from .rewriting.rewriter import Rewritten as Rewritten
    from .rewriting.rewriter_choice import make_rewriter as make_rewriter
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

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
