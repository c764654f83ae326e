"""Preference data: schema and validation, loading, tokenisation, the built-in demo and the bundled model."""

import importlib


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


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
