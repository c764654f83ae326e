"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "Attribute": "attribute",
    "ChatClassifier": "chat_classifier",
    "Compliance": "compliance",
    "Exclusion": "exclusions",
    "FeatureDrift": "feature_drift",
    "Limits": "quality",
    "RewardChains": "reward_chains",
    "RewriteQuality": "quality",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "SelfTest": "self_test",
    "TextChains": "text_chains",
    "feature_differences": "features",
    "load_encoder": "text_encoder",
    "measure_features": "features",
    "observe_attribute": "compliance",
    "planted_bias_test": "self_test",
    "reading_ease": "readability",
    "rewrite_quality": "quality",
    "step_names": "steps",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attribute import Attribute as Attribute
    from .chat_classifier import ChatClassifier as ChatClassifier
    from .compliance import Compliance as Compliance
    from .compliance import observe_attribute as observe_attribute
    from .exclusions import Exclusion as Exclusion
    from .feature_drift import FeatureDrift as FeatureDrift
    from .features import feature_differences as feature_differences
    from .features import measure_features as measure_features
    from .quality import Limits as Limits
    from .quality import RewriteQuality as RewriteQuality
    from .quality import rewrite_quality as rewrite_quality
    from .readability import reading_ease as reading_ease
    from .reward_chains import RewardChains as RewardChains
    from .rewriter import Rewriter as Rewriter
    from .rewriter import RewriteRequest as RewriteRequest
    from .rewriter import Rewritten as Rewritten
    from .self_test import SelfTest as SelfTest
    from .self_test import planted_bias_test as planted_bias_test
    from .steps import step_names as step_names
    from .text_chains import TextChains as TextChains
    from .text_encoder import load_encoder as load_encoder


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
