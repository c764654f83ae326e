"""What the pairs of an accumulation window weigh, by where they come from."""

from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor


class OriginWeights:
    """
    Weights of the pairs of one accumulation window over all processes, by origin and batch.

    Args:
        weights (`Sequence[Tensor]`): Weights `(B,)` of the pairs of every batch of this process, 0 for repeated ones.
        is_human (`Sequence[Tensor]`): Which of them have human labels `(B,)`, bool.
        accelerator ([`~accelerate.Accelerator`]): Sums over its processes. A collective.
    """

    def __init__(self, weights: Sequence[Tensor], is_human: Sequence[Tensor], accelerator: Accelerator):
        rows = [
            torch.stack([weight[~human].sum(dtype=torch.float64), weight[human].sum(dtype=torch.float64)])
            for weight, human in zip(weights, is_human, strict=True)
        ]
        sums = torch.stack(rows).float().to(accelerator.device)
        self.sums = accelerator.reduce(sums, "sum") if accelerator.num_processes > 1 else sums
        self.totals = self.sums.sum(0)
        self.position = 0

    def factors(self, is_human: Tensor, calibration: float, human: float, total: Tensor) -> Tensor:
        """
        Factors `(B,)` on the weights of pairs, after which the sum over the window divided by `total` is the weighted sum
        of both origins' means.
        """
        coefficients = torch.tensor([calibration, human], device=self.totals.device)
        factors = torch.where(self.totals > 0, coefficients * total / self.totals, 0.0)
        return factors[is_human.long()]

    def next_share(self) -> Tensor:
        """Share of the next batch in the window, by the weight of its calibration pairs."""
        share = torch.where(self.totals[0] > 0, self.sums[self.position, 0] / self.totals[0], 0.0)
        self.position += 1
        return share


def pair_weights(batch: dict[str, Any], count: int, is_repeated: Tensor | None) -> Tensor:
    """Weights `(B,)` of the pairs of a batch."""
    weight = batch["weight"] if "weight" in batch else torch.ones(count, device=batch["input_ids"].device)
    return weight if is_repeated is None else weight.masked_fill(is_repeated.to(weight.device), 0)
