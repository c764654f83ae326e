"""
Which of transformers' sequence-classification models can share prefixes, tried on tiny random models.

Run `python -m trl_ext.shared_prefix.scan > docs/architectures.md`.
"""

import copy
import dataclasses
import inspect
import logging
import sys
import warnings
from collections.abc import Iterator

import torch
import transformers
from tqdm import tqdm
from transformers import AutoModelForSequenceClassification, PreTrainedConfig, set_seed
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from .support import enable_shared_prefix


# Names under which configurations keep the same few sizes
_SIZES = {
    "vocab_size": 97,
    "hidden_size": 32,
    "n_embd": 32,
    "d_model": 32,
    "word_embed_proj_dim": 32,
    "intermediate_size": 64,
    "ffn_dim": 64,
    "n_inner": 64,
    "num_hidden_layers": 4,
    "n_layer": 4,
    "n_layers": 4,
    "num_attention_heads": 4,
    "n_head": 4,
    "n_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 16,
    "sliding_window": 8,
    "rotary_dim": 8,
    "q_lora_rank": 16,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 8,
    "n_group": 1,
    "topk_group": 1,
}

# What the sizes above don't reach (vision towers, say) makes a model as large as the real one: left out
MAX_PARAMETERS = 20_000_000


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Result of one architecture: `shared`, `padded` or `not tried`, and why."""

    model: str
    attention: str
    result: str
    detail: str


def _tiny_config(config_class: type[PreTrainedConfig]) -> PreTrainedConfig:
    """A configuration of four small layers, with a window shorter than the sequences where there is one."""
    defaults = config_class()
    known = set(inspect.signature(config_class.__init__).parameters) | set(defaults.to_dict())
    sizes = {name: size for name, size in _SIZES.items() if name in known}
    if getattr(defaults, "sliding_window", None) is None:
        sizes.pop("sliding_window", None)
    if "kv_lora_rank" in sizes:  # latent attention expands keys for every head
        sizes["num_key_value_heads"] = sizes["num_attention_heads"]
    rope = getattr(defaults, "rope_parameters", None)
    if rope and "rope_theta" in rope:  # without scaling, which depends on the original length of the context
        sizes["rope_parameters"] = rope | {"rope_type": "default"}
    return config_class(**sizes, num_labels=1, pad_token_id=0, bos_token_id=1, eos_token_id=2)


def _num_parameters(config: PreTrainedConfig) -> int:
    with torch.device("meta"):
        return AutoModelForSequenceClassification.from_config(copy.deepcopy(config)).num_parameters()


def _attention_kinds(config: PreTrainedConfig) -> str:
    text = config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ())
    if not kinds:
        kinds = {"sliding_attention" if getattr(text, "sliding_window", None) else "full_attention"}
    names = sorted(kind.removesuffix("_attention").replace("_", " ") for kind in kinds)
    if getattr(text, "attn_logit_softcapping", None):
        names.append("soft-capped")
    return ", ".join(names)


def scan() -> Iterator[Verdict]:
    """Try every model that transformers can load as a sequence classifier."""
    by_name = {
        model_class.__name__.removesuffix("ForSequenceClassification"): config_class
        for config_class, model_class in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING.items()
    }
    for name, config_class in tqdm(sorted(by_name.items()), file=sys.stderr):
        try:
            config = _tiny_config(config_class)
            if _num_parameters(config) > MAX_PARAMETERS:
                yield Verdict(name, "", "not tried", "no tiny model: a part of it keeps its size")
                continue
            set_seed(0)
            model = AutoModelForSequenceClassification.from_config(copy.deepcopy(config)).float().eval()
            model(input_ids=torch.tensor([[3, 4, 5]]))
        except Exception as error:  # whatever a model of this size does not allow is the finding
            yield Verdict(name, "", "not tried", f"no tiny model: {type(error).__name__}")
            continue
        report = enable_shared_prefix(model)
        kinds = _attention_kinds(model.config) if report.enabled else ""
        if report.enabled:
            yield Verdict(name, kinds, "shared", f"{report.max_relative_difference:.0e}")
        else:
            yield Verdict(name, kinds, "padded", report.reason.splitlines()[0][:100])


def format_page(verdicts: list[Verdict]) -> str:
    """The page of the documentation."""
    counts = {result: sum(v.result == result for v in verdicts) for result in ("shared", "padded", "not tried")}
    lines = [
        "# Which architectures share prefixes",
        "",
        f"Written by `python -m trl_ext.shared_prefix.scan` with transformers {transformers.__version__}: a tiny random",
        "model of every sequence-classification architecture, what its head reads in packed rows compared with single",
        "sequences. The same check runs on your model before it is trained or scores; a model that fails it, or is not",
        "in this list, is padded instead, and the log says why.",
        "",
        f"{counts['shared']} share prefixes, {counts['padded']} are padded, {counts['not tried']} could not be tried at "
        "this size.",
        "",
        "## Shared",
        "",
        "| architecture | attention of the tiny model | largest relative difference |",
        "|---|---|---|",
        *(f"| {v.model} | {v.attention} | {v.detail} |" for v in verdicts if v.result == "shared"),
        "",
        "## Padded",
        "",
        "| architecture | reason |",
        "|---|---|",
        *(f"| {v.model} | {v.detail} |" for v in verdicts if v.result == "padded"),
        "",
        "## Not tried",
        "",
        ", ".join(v.model for v in verdicts if v.result == "not tried") + ".",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    print(format_page(list(scan())))
