"""Rewriting without models: rules with known effects, faults on purpose, synthetic texts and a reward that counts."""

from typing import TYPE_CHECKING

from ...lazy_exports import lazy_exports


_EXPORTS = {
    "ASYMMETRIC_SENTENCE": "base",
    "FaultyRewriter": "faulty",
    "LexicalReward": "lexical_reward",
    "Rule": "base",
    "RuleRewriter": "base",
    "Vocabulary": "vocabulary",
    "add_typos": "typos",
    "rule_rewriter": "attribute_rules",
    "rule_texts": "attribute_rules",
    "synthetic_answers": "answers",
    "synthetic_reviews": "reviews",
    "world_vocabulary": "synthetic",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .answers import synthetic_answers as synthetic_answers
    from .attribute_rules import rule_rewriter as rule_rewriter
    from .attribute_rules import rule_texts as rule_texts
    from .base import ASYMMETRIC_SENTENCE as ASYMMETRIC_SENTENCE
    from .base import Rule as Rule
    from .base import RuleRewriter as RuleRewriter
    from .faulty import FaultyRewriter as FaultyRewriter
    from .lexical_reward import LexicalReward as LexicalReward
    from .reviews import synthetic_reviews as synthetic_reviews
    from .synthetic import world_vocabulary as world_vocabulary
    from .typos import add_typos as add_typos
    from .vocabulary import Vocabulary as Vocabulary

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
