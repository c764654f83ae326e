"""Windows of groups made ready for the model, in the background where there are many."""

import dataclasses
import multiprocessing
import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from .batching import PackedBatch, PaddedBatch
from .encoding import Encoder
from .groups import Group, windows


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedWindow:
    """
    A window that is ready for the model.

    Args:
        groups (`int`): Number of groups that are to be scored.
        labels (`list[tuple]`): Prompt id, response id and source of every response; empty if it was scored before.
        slots (`np.ndarray`): Index of the sequence of every response; equal responses have one sequence.
        num_sequences (`int`): Number of distinct sequences.
        batches (`list`): Batches that hold each of them.
        sequence_tokens (`int`): Tokens of all responses with their prompts, as if nothing were shared.
        truncated (`int`): Responses whose prompt was truncated.
    """

    groups: int
    labels: list[tuple[Any, Any, Any]]
    slots: np.ndarray
    num_sequences: int
    batches: list[PackedBatch | PaddedBatch]
    sequence_tokens: int
    truncated: int


@dataclasses.dataclass(frozen=True)
class Preparation:
    """
    How groups become windows that are ready for the model.

    Args:
        encoder ([`Encoder`]):
            Makes token ids of them.
        make_batches (`Callable`):
            Makes batches of token ids.
        window_size (`int`):
            Responses of a window.
        skip (`int`, *optional*, defaults to `0`):
            Number of windows at the beginning that were scored before. They are encoded nevertheless if what was
            truncated in them has to be counted.
        process, num_processes (`int`, *optional*):
            This process and their number, among which windows are dealt.
    """

    encoder: Encoder
    make_batches: Callable[[list[list[int]]], Iterable[PackedBatch | PaddedBatch]]
    window_size: int
    skip: int = 0
    process: int = 0
    num_processes: int = 1

    def prepare(self, window: list[Group]) -> PreparedWindow:
        ids, truncated = self.encoder.encode(window)
        distinct: dict[tuple[int, ...], int] = {}
        slots = np.array([distinct.setdefault(tuple(sequence), len(distinct)) for sequence in ids], dtype=np.int64)
        return PreparedWindow(
            groups=len(window),
            labels=[label for group in window for label in group.labels()],
            slots=slots,
            num_sequences=len(distinct),
            batches=list(self.make_batches(list(map(list, distinct)))) if distinct else [],
            sequence_tokens=sum(map(len, ids)),
            truncated=truncated,
        )

    def prepare_written(self, window: list[Group]) -> PreparedWindow:
        """Count what is truncated in a window that was scored before."""
        return PreparedWindow(0, [], np.empty(0, np.int64), 0, [], 0, self.encoder.encode(window)[1])

    def windows(
        self, groups: Iterable[Group], worker: int = 0, num_workers: int = 1
    ) -> Iterator[PreparedWindow | Exception]:
        """The windows of one worker of this process. An error comes as the last item: raised, it would lose its type."""
        first = 0 if self.encoder.truncates else self.skip
        try:
            for index, window in enumerate(windows(groups, self.window_size)):
                turn, owner = divmod(index - first, self.num_processes)
                if index < first or owner != self.process or turn % num_workers != worker:
                    continue
                yield self.prepare_written(window) if index < self.skip else self.prepare(window)
        except Exception as error:
            yield error


class _Windows(IterableDataset):
    """The windows of a worker, serialised: as tensors, each would hold a file descriptor until it is read."""

    def __init__(self, preparation: Preparation, groups: Callable[[], Iterable[Group]]):
        self.preparation = preparation
        self.groups = groups

    def __iter__(self) -> Iterator[bytes]:
        worker = get_worker_info()
        for item in self.preparation.windows(self.groups(), worker.id, worker.num_workers):
            yield pickle.dumps(item)


def prepared_windows(
    preparation: Preparation, groups: Callable[[], Iterable[Group]], num_workers: int
) -> Iterator[PreparedWindow]:
    """Windows of this process in order, prepared by `num_workers` processes, or as they are asked for."""
    if num_workers == 0 or "fork" not in multiprocessing.get_all_start_methods():
        items = preparation.windows(groups())
    else:
        loader = DataLoader(
            _Windows(preparation, groups),
            batch_size=None,
            num_workers=num_workers,
            multiprocessing_context="fork",
            collate_fn=bytes,  # as they are
        )
        with _tokenizers_before_fork():
            items = map(pickle.loads, iter(loader))
    for item in items:
        if isinstance(item, Exception):
            raise item
        yield item


@contextmanager
def _tokenizers_before_fork() -> Iterator[None]:
    """Threads of tokenizers don't survive a fork; said beforehand, the library needs not warn of it."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
