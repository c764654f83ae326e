"""
What a forward pass keeps for the backward pass: a formula for decoders as Llama, Qwen2 and Qwen3 are built, and the
measurement that it is checked against.

Bytes per token and layer, for hidden size h, intermediate size i, query width a and key width k (heads times their size):

| | norms | inputs of linear layers | attention | MLP | norms of queries and keys (Qwen3) |
|---|---|---|---|---|---|
| float32 | 16 h | 8 h | 8 a + 8 k | 16 i | 8 (a + k) |
| autocast (float32 weights, DDP) | 16 h | 10 h | 4 a + 4 k | 8 i | 6 (a + k) |
| bfloat16 (ZeRO, FSDP2) | 12 h | 4 h | 4 a + 4 k | 8 i | 6 (a + k) |

and four bytes for each scale of a norm and each head. With gradient checkpointing only the input of every layer stays,
and what one layer keeps while it is computed again.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from trl_ext.shared_prefix import SharedPrefixPlan
from trl_ext.shared_prefix.attention import SharedPrefixMask


@dataclass(frozen=True)
class Precision:
    """Bytes of an element: of activations in general, and of the residual stream; bytes per unit of width."""

    element: int
    residual: int
    norm: int
    linear_input: int
    head_norm: int


PRECISIONS = {
    "float32": Precision(element=4, residual=4, norm=8, linear_input=8, head_norm=8),
    "autocast": Precision(element=2, residual=4, norm=8, linear_input=10, head_norm=6),
    "bfloat16": Precision(element=2, residual=2, norm=6, linear_input=4, head_norm=6),
}


@dataclass(frozen=True)
class Workload:
    """
    What one batch makes attention and the MLPs keep.

    Attributes:
        tokens (`int`): Token slots that are computed.
        keys (`int`): Keys that attention keeps, which are more than tokens where prefixes are gathered again.
        mask_elements (`int`): Elements of the masks that a layer keeps.
        repeated_keys (`bool`): Whether keys are repeated for every query head.
        output_copies (`int`): How often the output of attention is kept.
        scored (`int`, *optional*): Rows of the last layer that its MLP computes; all by default.
    """

    tokens: int
    keys: int
    mask_elements: int = 0
    repeated_keys: bool = False
    output_copies: int = 1
    scored: int | None = None


def padded_workload(attention_mask: Tensor) -> Workload:
    """A padded batch under PyTorch's SDPA, which keeps a mask of every layer and repeats keys for the query heads."""
    rows, length = attention_mask.shape
    return Workload(rows * length, rows * length, rows * length**2, repeated_keys=True)


def plan_workload(plan: SharedPrefixPlan) -> Workload:
    """A packed row on a CPU: attention in blocks, whose outputs are kept beside the row they are put together to."""
    layout = plan.layout
    mask = SharedPrefixMask(layout, None, torch.device("cpu"))
    masks = 0
    # Keys of one atom are a view of the row, others are put together
    gathered = sum(segment.prefix + segment.length for segment in layout.segments if len(segment.atoms) > 1)
    views = any(len(segment.atoms) == 1 for segment in layout.segments)
    for segment in layout.segments:
        keys = segment.prefix + segment.length
        for start, end, _, last_key in mask.blocks(segment.length, keys):
            if end - start != last_key:
                masks += (end - start) * last_key
    tokens = layout.num_tokens
    return Workload(tokens, gathered + views * tokens, masks, output_copies=2, scored=len(plan.last_index))


def layer_bytes(config: PreTrainedConfig, precision: str, work: Workload, mlp_rows: int | None = None) -> int:
    """Bytes that one decoder layer keeps, with `mlp_rows` of its rows in the MLP."""
    p, heads, key_heads = PRECISIONS[precision], config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    query_width, key_width = heads * size, key_heads * size
    kept_keys = query_width if work.repeated_keys else key_width
    per_token = (2 * p.norm + p.linear_input) * config.hidden_size + 2 * 4
    per_token += p.element * (1 + work.output_copies) * query_width + 4 * heads
    if config.model_type == "qwen3":
        per_token += p.head_norm * (query_width + key_width) + 4 * (heads + key_heads)
    total = work.tokens * per_token + p.element * (2 * work.keys * kept_keys + work.mask_elements)
    return total + 4 * p.element * config.intermediate_size * (work.tokens if mlp_rows is None else mlp_rows)


def predicted_bytes(config: PreTrainedConfig, precision: str, work: Workload, checkpointing: bool = False) -> int:
    """Bytes that all layers, the last norm and the head keep. With `checkpointing`, of the forward pass alone."""
    p = PRECISIONS[precision]
    head = p.element * config.hidden_size * (work.tokens if work.scored is None else work.scored)
    last_norm = work.tokens * (p.norm * config.hidden_size + 4) + head
    if checkpointing:
        return config.num_hidden_layers * work.tokens * p.residual * config.hidden_size + last_norm
    last = layer_bytes(config, precision, work, work.scored)
    return (config.num_hidden_layers - 1) * layer_bytes(config, precision, work) + last + last_norm


def saved_bytes(
    model: nn.Module, inputs: dict[str, Any], context: Callable[[], AbstractContextManager] = nullcontext
) -> int:
    """Measure what a forward pass keeps: the storages of all tensors saved for backward, without those of weights."""
    weights = {weight.untyped_storage().data_ptr() for weight in model.parameters()}
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the output of an operation, kept by that operation, would never be freed

    with context(), torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = model(**inputs, use_cache=False).logits
    assert logits.requires_grad  # the graph, and what it keeps, lives until here
    return sum(storages.values())
