"""Metrics of training steps, under the names TRL logs, with every pair weighing the same."""

from typing import Any

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
        self,
        rewards_chosen: Tensor,
        rewards_rejected: Tensor,
        num_tokens: Tensor,
        computed_tokens: int,
        is_repeated: Tensor | None = None,
    ) -> None:
        """
        Add a batch of B pairs.

        Args:
            rewards_chosen, rewards_rejected (`torch.Tensor` of shape `(B,)`): Rewards.
            num_tokens (`torch.Tensor` of shape `(2B,)`): Tokens of every sequence, all chosen ones first.
            computed_tokens (`int`): Token slots that were computed for them.
            is_repeated (`torch.Tensor` of shape `(B,)`, *optional*): Pairs not to count.
        """
        counts = torch.ones_like(rewards_chosen, dtype=torch.bool) if is_repeated is None else ~is_repeated
        difference = rewards_chosen - rewards_rejected
        rewards, both = torch.cat([rewards_chosen, rewards_rejected]), counts.repeat(2)
        local = torch.stack(
            [
                counts.sum().to(difference),
                (num_tokens.to(both.device) * both).sum().to(difference),
                torch.as_tensor(computed_tokens).to(difference),
                ((difference > 0) & counts).sum().to(difference),
                torch.where(counts, difference, 0).sum(),
                torch.where(both, rewards, 0).sum(),
                torch.where(both, rewards, torch.inf).min(),
                torch.where(both, rewards, -torch.inf).max(),
            ]
        )
        gathered = self.accelerator.gather(local.reshape(1, -1)).cpu().double()
        self.total_tokens += int(gathered[:, 1].sum().item()) // self.copies
        self.computed_tokens += int(gathered[:, 2].sum().item()) // self.copies
        self.steps.append(gathered)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: plain numbers."""
        return {
            "total_tokens": self.total_tokens,
            "computed_tokens": self.computed_tokens,
            "steps": [step.tolist() for step in self.steps],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.total_tokens, self.computed_tokens = state["total_tokens"], state["computed_tokens"]
        self.steps = [torch.tensor(step, dtype=torch.float64) for step in state["steps"]]

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
