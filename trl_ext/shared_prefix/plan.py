"""Where every token of a batch is computed: each distinct prefix once, in one packed row."""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

import torch
from torch import Tensor


# Sharing fewer tokens than this costs more (a masked instead of a causal attention call) than it saves
MIN_SHARED_TOKENS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Segment:
    """
    The tokens of one sequence that no sequence before it has computed.

    Args:
        length (`int`):
            Number of rows whose queries belong to it; segments follow each other in the packed row.
        prefix (`int`):
            Number of tokens before them in the sequence, computed by earlier segments (or cached).
        atoms (`tuple[int, ...]`):
            Pieces of the row, as indices into `Layout.atoms`, that hold the keys of the sequence: `prefix + length`
            tokens in order of their positions.
    """

    length: int
    prefix: int
    atoms: tuple[int, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """
    Geometry of a packed row, as attention needs it. Plain integers: independent of any device.

    Args:
        atoms (`tuple[int, ...]`):
            Lengths of the pieces into which the keys are cut, such that every path is a sequence of whole pieces.
        segments (`tuple[Segment, ...]`):
            Runs of queries, in the order of the row.
        cached (`int`):
            Number of keys at the front that come from a cache and have no queries.
        sequence_lengths (`tuple[int, ...]`):
            Length of every sequence, in the order in which they were given.
    """

    atoms: tuple[int, ...]
    segments: tuple[Segment, ...]
    cached: int
    sequence_lengths: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens that are computed."""
        return sum(segment.length for segment in self.segments)


@dataclasses.dataclass(frozen=True, slots=True)
class SharedPrefixPlan:
    """
    Token sequences laid out in one packed row, with every distinct prefix once.

    Args:
        input_ids (`torch.Tensor` of shape `(1, T)`):
            Token ids of the row.
        position_ids (`torch.Tensor` of shape `(1, T)`):
            Position of every token in its own sequence.
        last_index (`torch.Tensor` of shape `(S,)`):
            Row index of the last token of every sequence, in the order in which they were given. Equal sequences have
            equal indices.
        layout ([`Layout`]):
            Which keys every query may see.
    """

    input_ids: Tensor
    position_ids: Tensor
    last_index: Tensor
    layout: Layout

    def model_inputs(self) -> dict[str, Tensor | Layout]:
        """Keyword arguments for a model prepared by [`enable_shared_prefix`]."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def to(self, device: torch.device | str) -> "SharedPrefixPlan":
        """The same plan with its tensors on `device`."""
        tensors = (getattr(self, name).to(device) for name in ("input_ids", "position_ids", "last_index"))
        return SharedPrefixPlan(*tensors, self.layout)


def common_prefix_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Number of tokens at the beginning that two sequences (of the same type, lists or tuples) have in common."""
    low, high = 0, min(len(first), len(second))
    if first[:high] == second[:high]:
        return high
    # Invariant: equal below `low`, different somewhere below `high`. Slices compare in C, a loop does not; doubling
    # steps keep short prefixes of long sequences cheap
    step = 16
    while low + step < high:
        if first[low : low + step] != second[low : low + step]:
            high = low + step
            break
        low += step
        step *= 2
    while high - low > 1:
        middle = (low + high) // 2
        if first[low:middle] == second[low:middle]:
            low = middle
        else:
            high = middle
    return low


def build_plan(
    sequences: Sequence[Sequence[int]],
    *,
    share: bool = True,
    min_shared_tokens: int = MIN_SHARED_TOKENS,
    cached_prefix: Sequence[int] = (),
) -> SharedPrefixPlan:
    r"""
    Lay out token sequences in one row, computing every common prefix once.

    Sequences are sorted; each adds the tokens by which it differs from the one before. That is a trie: prompts shared
    by K responses, openings shared by some of them, conversations that continue one another and equal sequences all
    count once, whatever group they came from.

    Args:
        sequences (`Sequence[Sequence[int]]`):
            S sequences of token ids, none empty.
        share (`bool`, *optional*, defaults to `True`):
            `False` lays the sequences side by side, in the order given: packing without sharing.
        min_shared_tokens (`int`, *optional*, defaults to `8`):
            Shorter common prefixes are computed again, unless the sequences are equal.
        cached_prefix (`Sequence[int]`, *optional*):
            Tokens with which every sequence begins and whose keys and values come from a cache. Each sequence must be
            longer.

    Returns:
        [`SharedPrefixPlan`]: Tensors on the CPU.

    Raises:
        `ValueError`: There is no sequence, one is empty, or one does not begin with `cached_prefix`.

    Example:
        ```python
        >>> from trl_ext.shared_prefix import build_plan

        >>> plan = build_plan([[5, 6, 7, 1], [5, 6, 7, 2, 3]], min_shared_tokens=1)
        >>> plan.input_ids, plan.position_ids, plan.last_index
        (tensor([[5, 6, 7, 1, 2, 3]]), tensor([[0, 1, 2, 3, 3, 4]]), tensor([3, 5]))
        ```
    """
    if not sequences:
        raise ValueError("no sequences to lay out")
    sequences = [list(sequence) for sequence in sequences]
    cached_prefix = list(cached_prefix)
    cached = len(cached_prefix)
    for index, sequence in enumerate(sequences):
        if not sequence:
            raise ValueError(f"sequence {index} is empty")
        if cached and (len(sequence) <= cached or sequence[:cached] != cached_prefix):
            raise ValueError(f"sequence {index} does not continue the {cached} tokens of `cached_prefix`")

    order = sorted(range(len(sequences)), key=sequences.__getitem__) if share else range(len(sequences))
    input_ids: list[int] = []
    position_ids: list[int] = []
    last_index = [0] * len(sequences)
    runs: list[tuple[int, int, tuple[tuple[int, int], ...]]] = []  # length, prefix, path of a segment
    # Pieces (start, length) of the keys, cached ones first, that hold the previous sequence
    path: list[tuple[int, int]] = [(0, cached)] if cached else []
    previous = cached_prefix
    for index in order:
        sequence = sequences[index]
        shared = common_prefix_length(previous, sequence) if share else cached
        if shared < min(max(min_shared_tokens, cached + 1), len(sequence)):  # an equal sequence is free at any length
            shared = cached
        path = _cut(path, shared)
        if len(sequence) > shared:
            runs_start = cached + len(input_ids)
            path.append((runs_start, len(sequence) - shared))
            runs.append((len(sequence) - shared, shared, tuple(path)))
            input_ids.extend(sequence[shared:])
            position_ids.extend(range(shared, len(sequence)))
        start, length = path[-1]
        last_index[index] = start + length - 1 - cached
        previous = sequence
    return SharedPrefixPlan(
        input_ids=torch.tensor([input_ids]),
        position_ids=torch.tensor([position_ids]),
        last_index=torch.tensor(last_index),
        layout=_layout(runs, cached, cached + len(input_ids), tuple(len(sequence) for sequence in sequences)),
    )


def _cut(path: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The pieces that hold the first `length` tokens of a path."""
    kept = []
    for start, piece in path:
        if length <= 0:
            break
        kept.append((start, min(piece, length)))
        length -= piece
    return kept


def _layout(
    runs: list[tuple[int, int, tuple[tuple[int, int], ...]]],
    cached: int,
    num_keys: int,
    sequence_lengths: tuple[int, ...],
) -> Layout:
    """Cut the keys wherever a piece of some path begins or ends, and write the paths in terms of these atoms."""
    cuts = {0, num_keys}
    for _, _, path in runs:
        for start, length in path:
            cuts.update((start, start + length))
    boundaries = sorted(cuts)
    segments = tuple(
        Segment(
            length=length,
            prefix=prefix,
            atoms=tuple(
                atom
                for start, piece in path
                for atom in range(bisect_left(boundaries, start), bisect_left(boundaries, start + piece))
            ),
        )
        for length, prefix, path in runs
    )
    atoms = tuple(end - start for start, end in zip(boundaries, boundaries[1:], strict=False))
    return Layout(atoms=atoms, segments=segments, cached=cached, sequence_lengths=sequence_lengths)


def unpack_sequences(input_ids: Tensor, layout: Layout, last_index: Tensor) -> list[list[int]]:
    """
    Read the sequences back from a packed row, in the order in which they were given to [`build_plan`].

    Raises:
        `ValueError`: The row continues a cached prefix, whose tokens it does not hold.
    """
    if layout.cached:
        raise ValueError("the row continues a cached prefix: its sequences are not in it")
    pieces = [piece.tolist() for piece in input_ids[0].cpu().split(list(layout.atoms))]
    ends = list(accumulate(segment.length for segment in layout.segments))
    sequences = []
    for last, length in zip(last_index.tolist(), layout.sequence_lengths, strict=True):
        segment = layout.segments[bisect_left(ends, last + 1)]
        tokens = [token for atom in segment.atoms for token in pieces[atom]]
        sequences.append(tokens[:length])
    return sequences


def pack_rows(sequences: Sequence[Sequence[int]], max_tokens: int) -> Iterator[list[int]]:
    """
    Divide sequences into rows of at most `max_tokens` computed tokens.

    The sequences are taken in sorted order, so that those with a common prefix come to lie in the same row or in
    neighbouring rows.

    Args:
        sequences (`Sequence[Sequence[int]]`):
            Token ids.
        max_tokens (`int`):
            Budget of a row after sharing. A single sequence that is longer gets a row of its own.

    Yields:
        `list[int]`: Indices of the sequences of a row.

    Example:
        ```python
        >>> from trl_ext.shared_prefix import pack_rows

        >>> list(pack_rows([[1] * 9 + [2], [1] * 9 + [3], [4] * 8], max_tokens=11))
        [[0, 1], [2]]
        ```
    """
    if max_tokens < 1:
        raise ValueError(f"`max_tokens` must be at least 1, got {max_tokens}")
    row: list[int] = []
    shared: list[int] = []  # what each sequence of the row shares with the one before it
    costs: list[int] = []
    used = 0
    previous: Sequence[int] = ()
    for index in sorted(range(len(sequences)), key=sequences.__getitem__):
        sequence = sequences[index]
        common = common_prefix_length(previous, sequence)
        common = common if common >= min(MIN_SHARED_TOKENS, len(sequence)) else 0
        row.append(index)
        shared.append(common)
        costs.append(len(sequence) - common)
        used += costs[-1]
        while len(row) > 1 and used > max_tokens:
            cut = _best_cut(shared, costs, max_tokens)
            yield row[:cut]
            row, shared, costs = row[cut:], shared[cut:], costs[cut:]
            costs[0] += shared[0]  # computed again
            shared[0] = 0
            used = sum(costs)
        previous = sequence
    if row:
        yield row


def _best_cut(shared: list[int], costs: list[int], max_tokens: int) -> int:
    """Where to end a row that has become too long: where least must be computed again, in its second half."""
    best, used = len(costs) - 1, sum(costs[:-1])
    for cut in range(len(costs) - 2, 0, -1):
        used -= costs[cut]
        if 2 * used < max_tokens:
            break
        if shared[cut] < shared[best]:
            best = cut
    return best
