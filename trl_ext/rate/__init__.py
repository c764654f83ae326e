"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "Attribute": "attribute",
    "ChatRewriter": "chat_rewriter",
    "RewardChains": "reward_chains",
    "RewriteEstimate": "rewrite_estimate",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "TextChains": "text_chains",
    "estimate_rewrites": "rewrite_estimate",
    "make_rewriter": "rewriter_choice",
    "rewrite_chains": "rewriting",
    "step_names": "steps",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attribute import Attribute as Attribute
    from .chat_rewriter import ChatRewriter as ChatRewriter
    from .reward_chains import RewardChains as RewardChains
    from .rewrite_estimate import RewriteEstimate as RewriteEstimate
    from .rewrite_estimate import estimate_rewrites as estimate_rewrites
    from .rewriter import Rewriter as Rewriter
    from .rewriter import RewriteRequest as RewriteRequest
    from .rewriter import Rewritten as Rewritten
    from .rewriter_choice import make_rewriter as make_rewriter
    from .rewriting import rewrite_chains as rewrite_chains
    from .steps import step_names as step_names
    from .text_chains import TextChains as TextChains


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
