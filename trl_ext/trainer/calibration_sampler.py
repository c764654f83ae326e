"""Order of training pairs in which every batch of all processes is of few pairs of models, and has its human share."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch.utils.data import Sampler


HUMAN = -1  # group of the pairs with human labels


class ModelPairSampler(Sampler[int]):
    """
    Compose batches of few groups, each row once in an epoch.

    A batch of all processes gets its share of rows with human labels, which differs between batches by one row at most,
    and the rest from `groups_per_batch` groups in equal parts. A group is drawn in proportion to its rows that are left;
    what is left of groups in the end fills the batches of several. The order follows from the seed and the epoch alone. It
    is a list of rows: a process takes its part of each `batch_size` of them, so that the number of processes does not
    change what a batch of all holds.

    Args:
        groups (`Sequence[int]`):
            Group of every row: the pair of models it compares, or `HUMAN`.
        batch_size (`int`):
            Rows of one batch of all processes.
        groups_per_batch (`int`):
            Groups of a batch, beside the rows with human labels.
        seed (`int`):
            Seed of the order.

    Example:
        ```python
        >>> from trl_ext.trainer.calibration_sampler import ModelPairSampler
        >>> order = list(ModelPairSampler([0, 0, 0, 1, 1, 1, -1, -1], batch_size=4, groups_per_batch=1, seed=0))
        >>> [sorted([0, 0, 0, 1, 1, 1, -1, -1][row] for row in order[start : start + 4]) for start in (0, 4)]
        [[-1, 1, 1, 1], [-1, 0, 0, 0]]

        ```
    """

    def __init__(self, groups: Sequence[int], batch_size: int, groups_per_batch: int, seed: int):
        self.groups = np.asarray(groups, dtype=np.int64)
        self.batch_size = batch_size
        self.groups_per_batch = groups_per_batch
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        human = generator.permutation(np.flatnonzero(self.groups == HUMAN))
        ends = np.append(np.arange(self.batch_size, len(self.groups), self.batch_size), len(self.groups))
        human_ends = np.round(len(human) * ends / len(self.groups)).astype(np.int64)
        sizes, human_sizes = np.diff(ends, prepend=0), np.diff(human_ends, prepend=0)
        rest = _Remaining(self.groups, generator)
        batches = []
        for size, human_end, human_size in zip(sizes, human_ends, human_sizes, strict=True):
            rows = [human[human_end - human_size : human_end], rest.take(size - human_size, self.groups_per_batch)]
            batches.append(generator.permutation(np.concatenate(rows)))
        # The batches of remnants, drawn last, may come at any time; the shorter one must stay at the end
        order = generator.permutation(len(batches) - 1)
        for batch in [*(batches[index] for index in order), batches[-1]]:
            yield from batch.tolist()
        self.epoch += 1


class _Remaining:
    """Rows of every group in random order, from which parts are taken."""

    def __init__(self, groups: np.ndarray, generator: np.random.Generator):
        self.generator = generator
        codes = np.unique(groups[groups != HUMAN])
        self.rows = [generator.permutation(np.flatnonzero(groups == code)) for code in codes]
        self.left = np.array([len(rows) for rows in self.rows], dtype=np.int64)

    def take(self, count: int, num_groups: int) -> np.ndarray:
        """Take `count` rows, in equal parts from as many groups if there are enough rows of each."""
        taken, used = [np.empty(0, dtype=np.int64)], np.zeros(len(self.rows), dtype=bool)
        parts = [len(part) for part in np.array_split(np.empty(count), num_groups)]
        while parts:
            need = parts.pop(0)
            if need == 0:
                continue
            enough = (self.left >= need) & ~used
            if enough.any():
                chances = np.where(enough, self.left, 0)
                group = int(self.generator.choice(len(chances), p=chances / chances.sum()))
            else:  # the largest remnant that the batch has nothing of yet, if there is one
                open_ = self.left * ~used if (self.left * ~used).any() else self.left
                group = int(np.argmax(open_))
            got = min(need, int(self.left[group]))
            start = len(self.rows[group]) - self.left[group]
            taken.append(self.rows[group][start : start + got])
            self.left[group] -= got
            used[group] = True
            if got < need:
                parts.append(need - got)
        return np.concatenate(taken)
