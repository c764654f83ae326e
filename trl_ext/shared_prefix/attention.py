"""
Attention of a packed row with shared prefixes, through the interfaces that transformers provides for it.

Two functions are registered under one name: one makes the mask, one computes attention. The mask of a packed row is
no tensor but a [`SharedPrefixMask`]: which keys every run of queries sees, and the sliding window of the layer that
asked for it. Keys and values are re-assembled per branch from the row ("gathered"), which is exact and differentiable
by ordinary autograd. Without an active layout both functions do what transformers' `sdpa` does.
"""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, partial
from itertools import accumulate
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import is_flash_attn_2_available

from .last_layer import announce_scored_rows
from .plan import Layout


ATTENTION_NAME = "shared_prefix"

# Queries per call on the CPU: large enough for its kernels, small enough to skip most of what the mask hides
BLOCK_SIZE = 64

# Read in the mask function only, which runs once per forward and outside checkpointed layers: attention itself may run
# again in backward, long after the context is left.
_active_layout: ContextVar[tuple[Layout, bool] | None] = ContextVar("active_layout", default=None)
_observed_masks: ContextVar[list | None] = ContextVar("observed_masks", default=None)


@contextmanager
def active_layout(layout: Layout, announce_rows: bool = False) -> Iterator[None]:
    """
    Within this context, models whose attention is `shared_prefix` compute a packed row with this layout. With
    `announce_rows`, the last attention tells the MLP behind it which rows to compute.
    """
    token = _active_layout.set((layout, announce_rows))
    try:
        yield
    finally:
        _active_layout.reset(token)


@contextmanager
def observed_masks() -> Iterator[list[tuple[Callable, int | None]]]:
    """Collect the mask function and the window of every mask that a model asks for within this context."""
    observed: list[tuple[Callable, int | None]] = []
    token = _observed_masks.set(observed)
    try:
        yield observed
    finally:
        _observed_masks.reset(token)


class SharedPrefixMask:
    """
    What takes the place of a mask tensor: the layout of the row and the window of the layers that use it.

    Args:
        layout ([`Layout`]):
            Layout of the packed row.
        window (`int`, *optional*):
            Number of keys a query sees, itself included. By default there is no window.
        device (`torch.device`):
            Device of the masks.
        num_layers (`int`, *optional*):
            Number of layers of the model, the last of which needs one query per segment only.
        announce_rows (`bool`, *optional*, defaults to `False`):
            Whether the MLP behind the last attention waits to be told which rows to compute.
    """

    def __init__(
        self,
        layout: Layout,
        window: int | None,
        device: torch.device,
        num_layers: int | None = None,
        announce_rows: bool = False,
    ):
        self.layout = layout
        self.window = window
        self.device = device
        self.num_layers = num_layers
        self.announce_rows = announce_rows
        self._masks: dict[int, Tensor] = {}
        self._cumulative_lengths: dict[bool, tuple[Tensor, Tensor]] = {}
        self._segment_ends: Tensor | None = None

    def is_last_layer(self, module: nn.Module | None) -> bool:
        """Whether the attention of `module` is the last one: only the last query of a segment is read from it."""
        return self.num_layers is not None and getattr(module, "layer_idx", None) == self.num_layers - 1

    def segment_ends(self) -> Tensor:
        """Row index of the last query of every segment, which is the last token of a sequence."""
        if self._segment_ends is None:
            ends = accumulate(segment.length for segment in self.layout.segments)
            self._segment_ends = torch.tensor([end - 1 for end in ends], device=self.device)
        return self._segment_ends

    def block_mask(self, length: int, keys: int) -> Tensor | None:
        """
        Boolean mask `(length, keys)` of queries that are the last `length` of `keys` tokens; `None` where plain causal
        attention is right.
        """
        if length == keys and (self.window is None or length <= self.window):
            return None
        # Masks of as many queries differ by how far they reach back: one serves all, cut from the right
        if length not in self._masks:
            most_keys = max(segment.prefix + segment.length for segment in self.layout.segments)
            offset = torch.arange(most_keys - length, most_keys, device=self.device)[:, None] - torch.arange(
                most_keys, device=self.device
            )
            mask = offset >= 0
            self._masks[length] = mask if self.window is None else mask & (offset < self.window)
        return self._masks[length][:, -keys:]

    def blocks(self, length: int, keys: int) -> Iterator[tuple[int, int, int, int]]:
        """
        Cut queries, the last `length` of `keys` tokens, into blocks, and the keys to those that some query of a block
        sees: first and last query, first and last key. Kernels on the CPU compute what a mask hides.
        """
        size = BLOCK_SIZE if self.device.type == "cpu" else length
        for start in range(0, length, size):
            end = min(start + size, length)
            first_key = 0 if self.window is None else max(0, keys - length + start - self.window + 1)
            yield start, end, first_key, keys - length + end

    def cumulative_lengths(self, last_only: bool) -> tuple[Tensor, Tensor]:
        """
        Cumulative numbers of queries (one per segment if `last_only`) and of keys, from 0, as variable-length kernels
        take them.
        """
        if last_only not in self._cumulative_lengths:
            segments = self.layout.segments
            queries = accumulate((1 if last_only else segment.length for segment in segments), initial=0)
            keys = accumulate((segment.prefix + segment.length for segment in segments), initial=0)
            self._cumulative_lengths[last_only] = tuple(
                torch.tensor(list(lengths), dtype=torch.int32, device=self.device) for lengths in (queries, keys)
            )
        return self._cumulative_lengths[last_only]


@torch.compiler.disable
def shared_prefix_mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    mask_function: Callable | None = None,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    device: torch.device | str = "cpu",
    config: PreTrainedConfig | None = None,
    **kwargs: Any,
) -> Tensor | SharedPrefixMask | None:
    """Mask function registered with transformers. Arguments as in `transformers.masking_utils.sdpa_mask`."""
    observed = _observed_masks.get()
    if observed is not None:
        observed.append((mask_function, local_size))
    active = _active_layout.get()
    if active is not None:
        layout, announce_rows = active
        num_layers = getattr(config, "num_hidden_layers", None)
        return SharedPrefixMask(layout, local_size, torch.device(device), num_layers, announce_rows)
    announce_scored_rows(None)
    return sdpa_mask(
        batch_size=batch_size,
        q_length=q_length,
        kv_length=kv_length,
        q_offset=q_offset,
        kv_offset=kv_offset,
        mask_function=mask_function,
        attention_mask=attention_mask,
        local_size=local_size,
        device=device,
        config=config,
        **kwargs,
    )


@torch.compiler.disable
def shared_prefix_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | SharedPrefixMask | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """
    Attention function registered with transformers.

    Args:
        query (`torch.Tensor` of shape `(batch, heads, queries, dim)`):
            Queries.
        key, value (`torch.Tensor` of shape `(batch, key heads, keys, dim)`):
            Keys and values.
        attention_mask ([`SharedPrefixMask`] or `torch.Tensor`, *optional*):
            What [`shared_prefix_mask`] returned.
        dropout (`float`, *optional*, defaults to `0.0`):
            Must be 0 for a packed row: sequences that share a token would share its dropout.
        scaling (`float`, *optional*):
            Factor on the scores.
        softcap (`float`, *optional*):
            Bound of the scores (Gemma 2).
        s_aux (`torch.Tensor` of shape `(heads,)`, *optional*):
            Attention sinks (GPT-OSS).

    Returns:
        `tuple[torch.Tensor, None]`: Output `(batch, queries, heads, dim)`; no attention weights.
    """
    if isinstance(attention_mask, SharedPrefixMask):
        if dropout > 0:
            raise ValueError(
                "shared prefixes need attention dropout 0: sequences that share a token share its dropout"
            )
        if kwargs.get("position_bias") is not None:
            raise ValueError("shared prefixes don't support a position bias")
        last_only = attention_mask.is_last_layer(module)
        ends = attention_mask.segment_ends()
        rows = query.index_select(2, ends) if last_only else query
        output = _packed_attention(rows, key, value, attention_mask, last_only, scaling, softcap, s_aux)
        if last_only:
            if attention_mask.announce_rows:
                announce_scored_rows(ends)
            output = output.new_zeros((*query.shape[:3], output.shape[3])).index_copy(2, ends, output)
        return output.transpose(1, 2).contiguous(), None
    if softcap is None and s_aux is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    if dropout > 0:
        raise ValueError("attention dropout is not supported together with soft-capping or sinks")
    output = _explicit_attention(query, key, value, attention_mask, scaling, softcap, s_aux)
    return output.transpose(1, 2).contiguous(), None


def _packed_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: SharedPrefixMask,
    last_only: bool,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention of all queries, or, if `last_only`, of `query` that holds one per segment."""
    layout = mask.layout
    lengths = [1 if last_only else segment.length for segment in layout.segments]
    # split and cat, not slices: the gradient of a slice is a zero-filled tensor of the whole row
    queries = query.split(lengths, dim=2)
    key_atoms = key.split(list(layout.atoms), dim=2)
    value_atoms = value.split(list(layout.atoms), dim=2)
    keys = [_path(key_atoms, segment.atoms) for segment in layout.segments]
    values = [_path(value_atoms, segment.atoms) for segment in layout.segments]

    kernel = _variable_length_kernel(query, value, softcap, sinks)
    if kernel is not None:
        return _variable_length_attention(kernel, query, keys, values, mask, last_only, scaling)
    outputs = []
    for length, q, k, v in zip(lengths, queries, keys, values, strict=True):
        for start, end, first_key, last_key in mask.blocks(length, k.shape[2]):
            block = q[:, :, start:end], k[:, :, first_key:last_key], v[:, :, first_key:last_key]
            block_mask = mask.block_mask(end - start, last_key - first_key)
            if softcap is None and sinks is None:
                output = F.scaled_dot_product_attention(
                    *block,
                    attn_mask=block_mask,
                    is_causal=block_mask is None,
                    scale=scaling,
                    enable_gqa=q.shape[1] != k.shape[1],
                )
            else:
                output = _explicit_attention(*block, block_mask, scaling, softcap, sinks)
            outputs.append(output)
    return torch.cat(outputs, dim=2)


def _path(atoms: tuple[Tensor, ...], indices: tuple[int, ...]) -> Tensor:
    return atoms[indices[0]] if len(indices) == 1 else torch.cat([atoms[index] for index in indices], dim=2)


def _explicit_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    scaling: float | None,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention written out, for what SDPA does not know: bounded scores, and sinks that take a share of the weight."""
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    scores = (query @ key.transpose(2, 3)) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril(
            scores.shape[-1] - scores.shape[-2]
        )
    scores = scores.masked_fill(~mask, float("-inf")).float()
    if sinks is not None:
        column = sinks.float().reshape(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        scores = torch.cat([scores, column], dim=-1)
    # Rows of padding see no key at all; their output is never read, and must not be NaN
    weights = torch.softmax(scores, dim=-1).nan_to_num()
    if sinks is not None:
        weights = weights[..., :-1]
    return weights.to(value.dtype) @ value


# ---- Variable-length kernels (CUDA) ----


def _variable_length_kernel(
    query: Tensor, value: Tensor, softcap: float | None, sinks: Tensor | None
) -> Callable[..., Tensor] | None:
    """One kernel for all segments, if there is one for this device, precision and kind of attention."""
    if not query.is_cuda or query.dtype not in (torch.float16, torch.bfloat16) or sinks is not None:
        return None
    if query.shape[-1] != value.shape[-1] or query.shape[-1] > 256:
        return None
    if softcap is None and _torch_varlen_attn() is not None:
        return partial(_torch_varlen, _torch_varlen_attn())
    if is_flash_attn_2_available():
        from flash_attn import flash_attn_varlen_func

        return partial(_flash_varlen, flash_attn_varlen_func, softcap)
    return None


@cache
def _torch_varlen_attn() -> Callable[..., Tensor] | None:
    """PyTorch's own kernel, where it knows windows and grouped-query heads (from 2.12 on)."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return varlen_attn if {"window_size", "enable_gqa"} <= set(known) else None


def _torch_varlen(kernel, query, key, *geometry, window, scaling):
    grouped = query.shape[1] != key.shape[1]
    return kernel(query, key, *geometry, scale=scaling, window_size=window, enable_gqa=grouped)


def _flash_varlen(kernel, softcap, *arguments, window, scaling):
    softcap = 0.0 if softcap is None else softcap
    return kernel(*arguments, softmax_scale=scaling, causal=True, window_size=window, softcap=softcap)


def _variable_length_attention(
    kernel: Callable[..., Tensor],
    query: Tensor,
    keys: list[Tensor],
    values: list[Tensor],
    mask: SharedPrefixMask,
    last_only: bool,
    scaling: float | None,
) -> Tensor:
    """Attention of all segments in one call; causality is aligned to the last key of every segment."""
    segments = mask.layout.segments
    cumulative_queries, cumulative_keys = mask.cumulative_lengths(last_only)
    # Keys to the left that a query sees; 0 to the right is causal
    window = (-1 if mask.window is None else mask.window - 1, 0)
    output = kernel(
        query[0].transpose(0, 1),
        torch.cat(keys, dim=2)[0].transpose(0, 1),
        torch.cat(values, dim=2)[0].transpose(0, 1),
        cumulative_queries,
        cumulative_keys,
        1 if last_only else max(segment.length for segment in segments),
        max(segment.prefix + segment.length for segment in segments),
        window=window,
        scaling=scaling,
    )
    return output.transpose(0, 1)[None]


AttentionInterface.register(ATTENTION_NAME, shared_prefix_attention)
AttentionMaskInterface.register(ATTENTION_NAME, shared_prefix_mask)
