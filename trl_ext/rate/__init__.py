"""What a reward model pays for an attribute of a text, such as its length: measured by rewriting texts twice (RATE)."""

import importlib
from typing import TYPE_CHECKING


_EXPORTS = {
    "Attribute": "attribute",
    "OriginalTexts": "originals",
    "RewardChains": "reward_chains",
    "RewriteRequest": "rewriter",
    "Rewriter": "rewriter",
    "Rewritten": "rewriter",
    "TextChains": "text_chains",
    "attribute_names": "attributes",
    "classify_texts": "classifiers",
    "fit_attribute": "classifiers",
    "get_attribute": "attributes",
    "load_originals": "originals",
    "make_classifier": "classifiers",
    "merge_original_scored": "original_scores",
    "original_file_name": "original_layout",
    "read_attributes": "attributes",
    "read_original_effects": "original_effects",
    "read_original_rewrites": "original_layout",
    "read_original_scored": "original_scores",
    "read_original_template": "original_layout",
    "read_originals": "originals",
    "step_names": "steps",
    "write_original_effects": "original_effects",
    "write_original_rewrites": "original_layout",
    "write_original_scored": "original_scores",
    "write_original_template": "original_layout",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .attribute import Attribute as Attribute
    from .attributes import attribute_names as attribute_names
    from .attributes import get_attribute as get_attribute
    from .attributes import read_attributes as read_attributes
    from .classifiers import classify_texts as classify_texts
    from .classifiers import fit_attribute as fit_attribute
    from .classifiers import make_classifier as make_classifier
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
    from .reward_chains import RewardChains as RewardChains
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
