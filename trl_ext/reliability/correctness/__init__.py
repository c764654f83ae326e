"""The TRUE model: P(the annotator's label is correct) from the prompt and the two responses."""

import importlib


_EXPORTS = {
    "ComparisonFormat": "text",
    "Comparisons": "comparisons",
    "CorrectnessEnsemble": "model",
    "CorrectnessModel": "model",
    "NextTokenScorer": "next_token",
    "ValueHeadScorer": "value_head",
    "correctness_figures": "figures",
    "few_shot_examples": "next_token",
    "load_correctness_model": "model",
    "read_comparisons": "comparisons",
    "train_next_token": "next_token_training",
    "train_value_head": "value_head_training",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name: str):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_EXPORTS))
