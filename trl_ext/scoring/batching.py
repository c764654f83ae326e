"""Sequences cut into batches under a token budget: packed rows with shared prefixes, or padded ones."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..data.padding import distinct_pad_token
from ..shared_prefix import SharedPrefixPlan, build_plan, common_prefix_length, pack_rows


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Sequences = list[list[int]]


@dataclasses.dataclass(frozen=True, slots=True)
class PackedBatch:
    """
    A packed row.

    Args:
        indices (`list[int]`):
            Sequences whose rewards it gives, in the order of the plan; none if it fills a cache with a prefix.
        plan ([`~trl_ext.shared_prefix.SharedPrefixPlan`]):
            The row. If its layout has cached tokens, it continues the last prefix that filled a cache.
    """

    indices: list[int]
    plan: SharedPrefixPlan

    @property
    def num_tokens(self) -> int:
        return self.plan.layout.num_tokens


@dataclasses.dataclass(frozen=True, slots=True)
class PaddedBatch:
    """
    Sequences side by side, padded on the right.

    Args:
        indices (`list[int]`):
            Sequences whose rewards it gives.
        input_ids, attention_mask (`torch.Tensor` of shape `(S, T)`):
            Inputs of the model.
        pad_token_id (`int`):
            What pads: no sequence ends with it, so that a model which looks for the last token finds it.
    """

    indices: list[int]
    input_ids: Tensor
    attention_mask: Tensor
    pad_token_id: int

    @property
    def num_tokens(self) -> int:
        return self.input_ids.numel()


def batch_maker(
    shared_prefix: bool, max_tokens: int, tokenizer: "PreTrainedTokenizerBase", pad: bool = True
) -> Callable[[Sequences], Iterator[PackedBatch | PaddedBatch]]:
    """
    Function that cuts sequences into packed rows, or into padded batches if prefixes can't be shared, or into batches of
    equal lengths if padding is not exact either (`pad=False`).
    """
    if shared_prefix:
        return functools.partial(packed_batches, max_tokens=max_tokens)
    return functools.partial(
        padded_batches, max_tokens=max_tokens, pad_token_id=pad_token_id_of(tokenizer), equal_lengths=not pad
    )


def pad_token_id_of(tokenizer: "PreTrainedTokenizerBase") -> int:
    """What pads sequences of a tokenizer."""
    pad_token = distinct_pad_token(tokenizer)
    return 0 if pad_token is None else tokenizer.convert_tokens_to_ids(pad_token)


def packed_batches(sequences: Sequences, max_tokens: int) -> Iterator[PackedBatch]:
    """
    Cut distinct sequences into packed rows of at most `max_tokens` computed tokens.

    Sequences with a long common prefix that don't fit one row are computed with a cache: the prefix once, then rows of
    what follows it.
    """
    order = sorted(range(len(sequences)), key=sequences.__getitem__)
    ordered = [sequences[index] for index in order]
    start = 0
    for run_start, run_end, prefix_length in _long_prefixes(ordered, max_tokens):
        yield from _rows(ordered, order, start, run_start, max_tokens)
        prefix = ordered[run_start][:prefix_length]
        yield PackedBatch([], build_plan([prefix]))
        yield from _rows(ordered, order, run_start, run_end, max_tokens, prefix)
        start = run_end
    yield from _rows(ordered, order, start, len(ordered), max_tokens)


def _rows(
    ordered: Sequences, order: list[int], start: int, end: int, max_tokens: int, prefix: list[int] | None = None
) -> Iterator[PackedBatch]:
    prefix = prefix or []
    run = ordered[start:end]
    for row in pack_rows([sequence[len(prefix) :] for sequence in run] if prefix else run, max_tokens):
        yield PackedBatch(
            [order[start + index] for index in row], build_plan([run[index] for index in row], cached_prefix=prefix)
        )


def _long_prefixes(ordered: Sequences, max_tokens: int) -> Iterator[tuple[int, int, int]]:
    """
    Runs `(start, end, length of the common prefix)` of sorted sequences that a cache pays for: their prefix is at least
    a quarter of a row, and they fill more than one.
    """
    least = max(max_tokens // 4, 1)
    # The common prefix of neighbours; 0 where the run must end
    shared = [common_prefix_length(first, second) for first, second in zip(ordered, ordered[1:], strict=False)]
    start = 0
    for end in range(1, len(ordered) + 1):
        if end < len(ordered) and shared[end - 1] >= least:
            continue
        if end - start > 1:
            # A cached prefix must leave a token to compute: the shortest sequence may be the beginning of the others
            prefix_length = min(*shared[start : end - 1], len(ordered[start]) - 1, len(ordered[end - 1]) - 1)
            tokens = len(ordered[start]) + sum(len(ordered[i]) - shared[i - 1] for i in range(start + 1, end))
            if prefix_length >= least and tokens > max_tokens:
                yield start, end, prefix_length
        start = end


def padded_batches(
    sequences: Sequences, max_tokens: int, pad_token_id: int, equal_lengths: bool = False
) -> Iterator[PaddedBatch]:
    """
    Cut sequences, sorted by length, into padded batches of at most `max_tokens` tokens, padding included.

    Args:
        sequences (`list[list[int]]`):
            Token ids.
        max_tokens (`int`):
            Budget. A sequence that is longer gets a batch of its own.
        pad_token_id (`int`):
            What pads, unless a sequence of the batch ends with it.
        equal_lengths (`bool`, *optional*, defaults to `False`):
            Batch only sequences of equal length, so that nothing is padded.
    """
    batch: list[int] = []
    for index in sorted(range(len(sequences)), key=lambda index: len(sequences[index])):
        length = len(sequences[index])
        differs = equal_lengths and batch and len(sequences[batch[0]]) != length
        if batch and (differs or (len(batch) + 1) * length > max_tokens):
            yield _padded(sequences, batch, pad_token_id)
            batch = []
        batch.append(index)
    if batch:
        yield _padded(sequences, batch, pad_token_id)


def _padded(sequences: Sequences, indices: list[int], pad_token_id: int) -> PaddedBatch:
    rows = [sequences[index] for index in indices]
    last_tokens = {row[-1] for row in rows}
    if pad_token_id in last_tokens:
        pad_token_id = next(token for token in range(len(rows) + 1) if token not in last_tokens)
    width = len(rows[-1])  # sorted by length
    return PaddedBatch(
        indices,
        input_ids=torch.tensor([row + [pad_token_id] * (width - len(row)) for row in rows]),
        attention_mask=torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
        pad_token_id=pad_token_id,
    )
