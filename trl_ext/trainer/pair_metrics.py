"""Metrics of training steps, under the names TRL logs, with every pair weighing the same."""

import torch
from accelerate import Accelerator
from torch import Tensor


class PairMetrics:
    """
    Collect metrics over the training steps between two logs.

    Args:
        accelerator ([`~accelerate.Accelerator`]):
            Its processes' pairs are pooled: one collective and one synchronisation per step.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        config = accelerator.parallelism_config
        # ranks of a tensor-parallel group see the same batch
        self.copies = 1 if config is None else config.tp_size
        self.total_tokens = 0
        self.computed_tokens = 0
        self.steps: list[Tensor] = []

    @torch.no_grad()
    def add(
        self, rewards_chosen: Tensor, rewards_rejected: Tensor, num_tokens: int | Tensor, computed_tokens: int
    ) -> None:
        """Add a batch: rewards `(B,)` each, tokens of its 2B sequences, and token slots that were computed for them."""
        difference = rewards_chosen - rewards_rejected
        rewards = torch.cat([rewards_chosen, rewards_rejected])
        local = torch.stack(
            [
                torch.ones_like(difference).sum(),
                torch.as_tensor(num_tokens).to(difference),
                torch.as_tensor(computed_tokens).to(difference),
                (difference > 0).sum().to(difference.dtype),
                difference.sum(),
                rewards.sum(),
                rewards.min(),
                rewards.max(),
            ]
        )
        gathered = self.accelerator.gather(local.reshape(1, -1)).cpu().double()
        self.total_tokens += int(gathered[:, 1].sum().item()) // self.copies
        self.computed_tokens += int(gathered[:, 2].sum().item()) // self.copies
        self.steps.append(gathered)

    def pop(self) -> dict[str, float]:
        """Return the metrics of the steps since the last call; empty if there were none."""
        if not self.steps:
            return {}
        table = torch.cat(self.steps)
        self.steps = []
        pairs, _, _, correct, margin, total = table[:, :6].sum(0).tolist()
        return {
            "num_tokens": self.total_tokens,
            "num_computed_tokens": self.computed_tokens,
            "accuracy": correct / pairs,
            "margin": margin / pairs,
            "min_reward": table[:, 6].min().item(),
            "mean_reward": total / (2 * pairs),
            "max_reward": table[:, 7].max().item(),
        }
