"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "Attribute": "attribute",
    "AuditedEffects": "callbacks",
    "ClassifierReward": "classifier_reward",
    "RateAuditCallback": "callbacks",
    "RewardChains": "reward_chains",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "TextChains": "text_chains",
    "chat_prompts": "scoring",
    "find_chains": "chain_folders",
    "read_all_chains": "chain_folders",
    "read_reward_chains": "scoring",
    "sample_rows": "callbacks",
    "score_chains": "scoring",
    "score_many": "scoring",
    "step_names": "steps",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attribute import Attribute as Attribute
    from .callbacks import AuditedEffects as AuditedEffects
    from .callbacks import RateAuditCallback as RateAuditCallback
    from .callbacks import sample_rows as sample_rows
    from .chain_folders import find_chains as find_chains
    from .chain_folders import read_all_chains as read_all_chains
    from .classifier_reward import ClassifierReward as ClassifierReward
    from .reward_chains import RewardChains as RewardChains
    from .rewriter import Rewriter as Rewriter
    from .rewriter import RewriteRequest as RewriteRequest
    from .rewriter import Rewritten as Rewritten
    from .scoring import chat_prompts as chat_prompts
    from .scoring import read_reward_chains as read_reward_chains
    from .scoring import score_chains as score_chains
    from .scoring import score_many as score_many
    from .steps import step_names as step_names
    from .text_chains import TextChains as TextChains


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
