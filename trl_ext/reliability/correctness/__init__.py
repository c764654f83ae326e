"""The TRUE model: P(the annotator's label is correct) from the prompt and the two responses."""

from ...lazy_exports import lazy_exports


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

__getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
