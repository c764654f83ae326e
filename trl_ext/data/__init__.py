"""Preference data: schema and validation, loading, tokenisation, the built-in demo and the bundled model."""

from ..lazy_exports import lazy_exports


_EXPORTS = {
    "DEFAULT_MODEL": "bundled",
    "LengthReport": "tokenization",
    "PREFERENCE_COLUMNS": "preference",
    "distinct_pad_token": "padding",
    "load_demo_preferences": "demo",
    "load_demo_questions": "demo",
    "load_preferences": "loading",
    "resolve_model": "bundled",
    "tokenize_preferences": "tokenization",
    "validate_preferences": "preference",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
