"""Order of the training pairs, and the rows that several processes see twice."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers.trainer_pt_utils import LengthGroupedSampler


class EpochLengthGroupedSampler(LengthGroupedSampler):
    """
    [`~transformers.trainer_pt_utils.LengthGroupedSampler`] whose order follows from the seed and the epoch alone, and
    not from the epochs drawn before, so that a run that resumes in a later epoch finds its place.

    Args:
        batch_size (`int`): Pairs of an optimizer step, over all processes: the order is then that of one process.
        lengths (`Sequence[int]`): Length of every pair, in tokens.
        seed (`int`): Seed of the order.
    """

    def __init__(self, batch_size: int, lengths: Sequence[int], seed: int):
        super().__init__(batch_size, lengths=lengths, generator=torch.Generator())
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        self.generator.manual_seed(self.seed + self.epoch)
        yield from super().__iter__()
        self.epoch += 1


def repeated_rows(num_rows: int, total_batch_size: int, batch_size: int, process_index: int) -> Tensor | None:
    """
    Tell which rows of the last batch of an epoch repeat earlier ones, to make the batches of all processes even.

    accelerate fills the last round of batches in the order of the processes, and then starts over with the first rows.

    Args:
        num_rows (`int`): Rows of the dataset.
        total_batch_size (`int`): Rows of one batch of every process together.
        batch_size (`int`): Rows of this process's batch.
        process_index (`int`): Which process this is.

    Returns:
        `torch.Tensor` of shape `(batch_size,)`, *optional*: True for repeated rows; `None` if no process has any.

    Example:
        ```python
        >>> repeated_rows(13, total_batch_size=8, batch_size=4, process_index=1)
        tensor([False,  True,  True,  True])
        ```
    """
    remainder = num_rows % total_batch_size
    if remainder == 0:
        return None
    return torch.arange(batch_size) >= remainder - process_index * batch_size
