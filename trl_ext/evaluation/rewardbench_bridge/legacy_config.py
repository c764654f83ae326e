"""Configurations of today's transformers in the words of transformers 4.51, which ignores what it does not know."""

import copy
from collections.abc import Mapping
from typing import Any


# Families whose rewards were compared with those of transformers 4.51; it has no reward model of gemma3 and newer ones
FAMILIES = (
    *("gemma", "gemma2", "gpt2", "gpt_neox", "llama", "mistral", "opt", "phi", "phi3", "qwen2", "qwen3"),
    *("stablelm", "starcoder2"),
)
# What transformers 4.51 calls the share of a head's dimensions that is rotated, where not partial_rotary_factor
_PARTIAL_ROTARY_NAMES = {"gpt_neox": "rotary_pct"}
_THETA_NAMES = {"gpt_neox": "rotary_emb_base"}
_SCALING_KEYS = {
    "linear": ("factor",),
    "dynamic": ("factor",),
    "yarn": ("factor", "attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
    "longrope": ("short_factor", "long_factor", "factor", "attention_factor"),
}
_ROPE_KEYS = {"rope_type", "type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings"}


def legacy_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    A model's `config.json` with what transformers 4.51 reads beside what today's reads.

    Transformers 5 writes `rope_parameters` and `dtype`. Transformers 4.51 ignores both without a word, and computes
    rewards with the default rotary embedding: this writes `rope_theta`, `rope_scaling` and `torch_dtype`.

    Args:
        config (`Mapping[str, Any]`):
            Content of `config.json`, complete: with the values that are a family's defaults.

    Returns:
        `dict[str, Any]`: The content with the keys of both.

    Raises:
        ValueError: The model is of a family, or its rotary embedding or attention of a kind, that transformers 4.51
            does not have.

    Example:
        ```python
        >>> from trl_ext.evaluation.rewardbench_bridge import legacy_config
        >>> rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000.0}
        >>> legacy = legacy_config({"model_type": "llama", "dtype": "bfloat16", "rope_parameters": rope})
        >>> legacy["rope_theta"], legacy["rope_scaling"], legacy["torch_dtype"]
        (500000.0, {'rope_type': 'linear', 'factor': 2.0}, 'bfloat16')

        ```
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ValueError(
            f"models of type {family!r} can't be exported: rewards of {', '.join(FAMILIES)} were compared with those of "
            "transformers 4.51, which rewardbench 0.1.4 needs"
        )
    legacy = copy.deepcopy(dict(config))
    if "dtype" in legacy:
        legacy["torch_dtype"] = legacy["dtype"]
    _check_attention(family, legacy)
    rope = legacy.get("rope_parameters")
    if rope:
        legacy.update(_legacy_rope(family, rope, legacy))
    return legacy


def _legacy_rope(family: str, rope: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """`rope_theta`, `rope_scaling` and what belongs to them."""
    if any(isinstance(value, Mapping) for value in rope.values()):
        raise ValueError(
            f"`rope_parameters` differ between kinds of layers ({', '.join(rope)}), which transformers 4.51 can't read"
        )
    kind = rope.get("rope_type", "default")
    legacy: dict[str, Any] = {_THETA_NAMES.get(family, "rope_theta"): rope["rope_theta"], "rope_scaling": None}
    partial = rope.get("partial_rotary_factor")
    if partial is not None:
        legacy[_PARTIAL_ROTARY_NAMES.get(family, "partial_rotary_factor")] = partial
    if kind == "default":
        return legacy
    if kind not in _SCALING_KEYS:
        raise ValueError(
            f"rope type {kind!r} is unknown to transformers 4.51; it has default, {', '.join(_SCALING_KEYS)}"
        )
    unknown = {name: value for name, value in rope.items() if value is not None}.keys()
    if unknown := sorted(unknown - _ROPE_KEYS - set(_SCALING_KEYS[kind])):
        raise ValueError(f"rope type {kind!r} with {', '.join(unknown)} is unknown to transformers 4.51")
    scaling = {name: rope[name] for name in _SCALING_KEYS[kind] if rope.get(name) is not None}
    if kind in ("yarn", "longrope"):
        _set_original_length(kind, rope, scaling, legacy, config["max_position_embeddings"])
    if family == "phi3":
        if set(scaling) != {"short_factor", "long_factor"}:
            raise ValueError(f"transformers 4.51 reads phi3's rope scaling with short_factor and long_factor only: {rope}")
        legacy["rope_scaling"] = {"type": kind, **scaling}
    else:
        legacy["rope_scaling"] = {"rope_type": kind, **scaling}
    return legacy


def _set_original_length(
    kind: str, rope: Mapping[str, Any], scaling: dict[str, Any], legacy: dict[str, Any], length: int
) -> None:
    """Transformers 4.51 ignores `factor` where it knows the original length: the two must say the same."""
    original = rope.get("original_max_position_embeddings") or length
    factor = scaling.get("factor") or length / original
    if kind == "yarn":
        scaling["factor"] = factor
    else:
        scaling.pop("factor", None)  # of use only for the attention factor
    if kind == "longrope" or original != length:
        if factor != length / original and (kind == "yarn" or "attention_factor" not in scaling):
            raise ValueError(
                f"rope type {kind!r}: transformers 4.51 computes the factor as max_position_embeddings / "
                f"original_max_position_embeddings = {length} / {original}, but it is {factor}"
            )
        target = scaling if kind == "yarn" else legacy
        target["original_max_position_embeddings"] = original


def _check_attention(family: str, config: Mapping[str, Any]) -> None:
    """Refuse windows of attention that transformers 4.51 applies to other layers, or ignores."""
    layers = config.get("layer_types") or []
    if family == "gemma2":
        if any(kind != ("full_attention" if index % 2 else "sliding_attention") for index, kind in enumerate(layers)):
            raise ValueError("`layer_types`: transformers 4.51 has gemma2 with every other layer sliding only")
    elif any(kind != "full_attention" for kind in layers):
        raise ValueError(
            f"`layer_types`: transformers 4.51 can't compute {family} with layers other than full_attention exactly"
        )


def legacy_tokenizer_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """
    A tokenizer's `tokenizer_config.json` as transformers 4.51 reads it.

    The class becomes `PreTrainedTokenizerFast`, which takes everything from `tokenizer.json`; and the model gets
    `input_ids` and `attention_mask` only, because Llama there refuses `token_type_ids`.

    Args:
        config (`Mapping[str, Any]`):
            Content of `tokenizer_config.json`.

    Returns:
        `dict[str, Any]`: The new content.
    """
    legacy = {name: value for name, value in config.items() if name not in ("backend", "is_local", "local_files_only")}
    extra = legacy.pop("extra_special_tokens", None)
    if isinstance(extra, list):  # a dict in 4.51
        legacy["additional_special_tokens"] = extra
    elif extra:
        legacy["extra_special_tokens"] = extra
    legacy["tokenizer_class"] = "PreTrainedTokenizerFast"
    legacy["model_input_names"] = ["input_ids", "attention_mask"]
    return legacy
