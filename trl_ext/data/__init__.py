"""Preference data: schema and validation, loading, tokenisation."""

import importlib
from typing import TYPE_CHECKING


# Public name -> submodule. Resolved on first use, so that importing the package imports neither torch nor datasets.
_EXPORTS = {
    "LengthReport": "tokenization",
    "PREFERENCE_COLUMNS": "preference",
    "distinct_pad_token": "padding",
    "load_preferences": "loading",
    "tokenize_preferences": "tokenization",
    "validate_preferences": "preference",
}

__all__ = sorted(_EXPORTS)

if TYPE_CHECKING:
    from .loading import load_preferences as load_preferences
    from .padding import distinct_pad_token as distinct_pad_token
    from .preference import PREFERENCE_COLUMNS as PREFERENCE_COLUMNS
    from .preference import validate_preferences as validate_preferences
    from .tokenization import LengthReport as LengthReport
    from .tokenization import tokenize_preferences as tokenize_preferences


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
