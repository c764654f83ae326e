"""Training batches by a budget of tokens instead of a number of pairs."""

from collections.abc import Iterator, Sequence

import torch
from transformers.trainer_pt_utils import BatchRebalanceSampler


class TokenBudgetBatchSampler(BatchRebalanceSampler):
    """
    Batches of pairs that together cost at most `max_tokens`, each pair once in an epoch.

    Pairs are drawn in random order and fill one batch after the other. Which pairs share a batch is drawn once, so that
    every epoch has the same number of batches; their order is drawn for each epoch. Every process gets the same number
    of batches: where that needs more of them, the fullest are cut in two; where all are single pairs, the cheapest are put
    together. No pair is repeated or left out.

    A subclass of transformers' sampler for its place in [`~transformers.Trainer`], which takes batches from it as they
    are and does not divide them among processes again.

    Args:
        costs (`Sequence[int]`):
            Tokens of every pair: those computed if rows are packed, those of the longer sequence if batches are padded.
        max_tokens (`int`):
            Budget of a batch. A pair that costs more is a batch of its own.
        padded (`bool`, *optional*, defaults to `False`):
            Whether a batch costs twice its number of pairs times the largest cost, instead of the sum.
        num_processes (`int`, *optional*, defaults to `1`), process_index (`int`, *optional*, defaults to `0`):
            Number of processes, and which this is.
        seed (`int`, *optional*, defaults to `42`):
            Seed of all draws.
    """

    # What accelerate reads of a batch sampler whose batches differ in size
    batch_size = None
    drop_last = False

    def __init__(
        self,
        costs: Sequence[int],
        max_tokens: int,
        *,
        padded: bool = False,
        num_processes: int = 1,
        process_index: int = 0,
        seed: int = 42,
    ):
        if len(costs) < num_processes:
            raise ValueError(f"{len(costs)} pairs can't be divided among {num_processes} processes")
        self.costs = costs
        self.max_tokens = max_tokens
        self.padded = padded
        self.num_processes = num_processes
        self.process_index = process_index
        self.seed = seed
        self.epoch = 0
        self.batches = self._fill()

    def _cost(self, batch: list[int]) -> int:
        costs = [self.costs[index] for index in batch]
        return 2 * len(costs) * max(costs) if self.padded else sum(costs)

    def _fill(self) -> list[list[int]]:
        generator = torch.Generator().manual_seed(self.seed)
        batches: list[list[int]] = []
        total = largest = 0
        for index in torch.randperm(len(self.costs), generator=generator).tolist():
            cost = self.costs[index]
            total, largest = total + cost, max(largest, cost)
            full = 2 * (len(batches[-1]) + 1) * largest if self.padded and batches else total
            if not batches or full > self.max_tokens:
                batches.append([])
                total = largest = cost
            batches[-1].append(index)
        return self._as_many_for_every_process(batches)

    def _as_many_for_every_process(self, batches: list[list[int]]) -> list[list[int]]:
        missing, surplus = -len(batches) % self.num_processes, len(batches) % self.num_processes
        if len(self.costs) - len(batches) >= missing:  # so often batches can be cut
            for _ in range(missing):
                fullest = max((batch for batch in batches if len(batch) > 1), key=self._cost)
                batches.remove(fullest)
                batches += [fullest[::2], fullest[1::2]]
        else:
            for _ in range(surplus):
                batches.sort(key=self._cost)
                batches[:2] = [batches[0] + batches[1]]
        return batches

    def __len__(self) -> int:
        return len(self.batches) // self.num_processes

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed + self.epoch)
        order = torch.randperm(len(self.batches), generator=generator).tolist()
        yield from (self.batches[index] for index in order[self.process_index :: self.num_processes])
