"""The latest reward difference of every training pair, over all processes."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor


class LatestDifferences:
    """
    What training has shown of every pair: its reward difference, chosen minus rejected, when it was last seen.

    Args:
        count (`int`): Number of training pairs N.
        accelerator ([`~accelerate.Accelerator`]): Its processes' pairs are pooled.

    Attributes:
        latest (`np.ndarray` of shape `(N,)`): Differences by the pairs' numbers; NaN for a pair not seen yet.
    """

    def __init__(self, count: int, accelerator: Accelerator):
        self.accelerator = accelerator
        self._set_latest(np.full(count, np.nan))

    def _set_latest(self, latest: np.ndarray) -> None:
        self.latest = latest.copy()
        self._pending: list[Tensor] = []

    def record(self, step: int, pairs: Tensor, differences: Tensor) -> None:
        """Note reward differences of pairs `(B,)` during optimizer step number `step`."""
        columns = [torch.full_like(pairs, step, dtype=torch.float64), pairs.double(), differences.detach().double()]
        self._pending.append(torch.stack(columns, dim=1))

    def collect(self) -> None:
        """Learn what all processes have noted. A collective: every process takes part."""
        device = self.accelerator.device
        noted = torch.cat([torch.empty(0, 3, dtype=torch.float64, device=device), *self._pending])
        self._pending = []
        if self.accelerator.num_processes > 1:
            noted = self.accelerator.gather(self.accelerator.pad_across_processes(noted, dim=0, pad_index=-1))
        table = noted.cpu().numpy()
        table = table[table[:, 1] >= 0]
        table = table[np.argsort(table[:, 0], kind="stable")]  # of a pair seen twice the later value counts
        self.latest[table[:, 1].astype(np.int64)] = table[:, 2]
