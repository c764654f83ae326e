"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "Attribute": "attribute",
    "FaultyRewriter": "rules",
    "LexicalReward": "rules",
    "Lexicon": "lexicons",
    "RewardChains": "reward_chains",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "Rule": "rules",
    "RuleRewriter": "rules",
    "TextChains": "text_chains",
    "Vocabulary": "rules",
    "add_typos": "rules",
    "get_lexicon": "lexicons",
    "lexicon_hits": "lexicons",
    "lexicon_score": "lexicons",
    "rule_rewriter": "rules",
    "rule_texts": "rules",
    "step_names": "steps",
    "synthetic_answers": "rules",
    "synthetic_reviews": "rules",
    "world_vocabulary": "rules",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attribute import Attribute as Attribute
    from .lexicons import Lexicon as Lexicon
    from .lexicons import get_lexicon as get_lexicon
    from .lexicons import lexicon_hits as lexicon_hits
    from .lexicons import lexicon_score as lexicon_score
    from .reward_chains import RewardChains as RewardChains
    from .rewriter import Rewriter as Rewriter
    from .rewriter import RewriteRequest as RewriteRequest
    from .rewriter import Rewritten as Rewritten
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
    from .steps import step_names as step_names
    from .text_chains import TextChains as TextChains


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
