"""Win-rate matching with its anchor: the objective of a batch of all processes, and of an evaluation set."""

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ..losses import BatchObjective, WinRateMatchingLoss, WithinSourceAnchorLoss
from .calibration_columns import CHOSEN_CODE, REJECTED_CODE, SCORES, TARGET, ModelPairs


class MatchingObjective:
    """
    Distance of win rates from their targets, plus a weight times the variance within each model of what changed.

    Args:
        matching ([`~trl_ext.losses.WinRateMatchingLoss`]): The distance.
        anchor_weight (`float`): Weight of the variance, in 1 / reward². With 0 no frozen rewards are needed.
        pairs ([`ModelPairs`]): The pairs of models of the training set.
        accelerator ([`~accelerate.Accelerator`]): Sums are over the rows of its processes.
    """

    def __init__(
        self, matching: WinRateMatchingLoss, anchor_weight: float, pairs: ModelPairs, accelerator: Accelerator
    ):
        device = accelerator.device
        self.matching, self.anchor_weight, self.accelerator = matching, anchor_weight, accelerator
        self.anchor = WithinSourceAnchorLoss() if anchor_weight > 0 else None
        self.targets = torch.tensor(pairs.targets, dtype=torch.float64, device=device)
        self._pair_table = torch.tensor(pairs.table, device=device)
        self._variances = None if pairs.variances is None else torch.tensor(pairs.variances, device=device)

    def of_batch(
        self,
        rewards_chosen: Tensor,
        rewards_rejected: Tensor,
        weight: Tensor,
        inputs: dict[str, Tensor],
        running: Tensor | None,
    ) -> tuple[Tensor, BatchObjective, BatchObjective | None]:
        """
        The objective of the batch of all processes. A collective.

        Args:
            rewards_chosen, rewards_rejected (`torch.Tensor` of shape `(B,)`): Rewards of this process.
            weight (`torch.Tensor` of shape `(B,)`): Weights; 0 for human and repeated pairs.
            inputs (`dict[str, torch.Tensor]`): Codes of the models, and frozen rewards.
            running (`torch.Tensor` of shape `(G,)`, *optional*): Running win rates.

        Returns:
            `tuple`: the number to differentiate, whose gradient is this process's part times the number of processes, as
            gradients are averaged over them; and both objectives.
        """
        chosen, rejected = inputs[CHOSEN_CODE].long(), inputs[REJECTED_CODE].long()
        processes = self.accelerator.num_processes
        sum_over_processes = self._sum_over_processes if processes > 1 else None
        matching = self.matching(
            torch.where(chosen < rejected, 1, -1) * (rewards_chosen - rewards_rejected),
            self._pair_table[chosen, rejected].clamp(min=0),  # human pairs are of no two models, and weigh nothing
            self.targets,
            weight=weight,
            target_variance=self._variances,
            running=running,
            sum_over_processes=sum_over_processes,
        )
        loss, anchor = matching.loss, None
        if self.anchor is not None:
            anchor = self.anchor(
                torch.cat([rewards_chosen, rewards_rejected]),
                torch.cat([inputs[name] for name in SCORES]),
                torch.cat([chosen, rejected]),
                len(self._pair_table),
                weight=weight.repeat(2),
                sum_over_processes=sum_over_processes,
            )
            loss = loss + self.anchor_weight * anchor.loss
        return loss.detach() + processes * (loss - loss.detach()), matching, anchor

    def of_set(self, rewards: np.ndarray, columns: dict[str, np.ndarray], num_models: int) -> float:
        """The objective of an evaluation set with rewards `(N, 2)`, as one batch."""
        rewards = torch.tensor(rewards)
        codes = torch.tensor(np.stack([columns[name] for name in (CHOSEN_CODE, REJECTED_CODE)])).long()
        weight = torch.tensor(columns["weight"]) if "weight" in columns else torch.ones(len(rewards))
        forward, target = codes[0] < codes[1], torch.tensor(columns[TARGET])
        target = torch.where(forward, target, 1 - target)
        pairs, groups = torch.stack([codes.amin(0), codes.amax(0)]).unique(dim=1, return_inverse=True)
        targets = torch.zeros(pairs.shape[1], dtype=target.dtype).index_put((groups,), target)
        differences = torch.where(forward, 1, -1) * (rewards[:, 0] - rewards[:, 1])
        value = self.matching(differences, groups, targets, weight=weight).value
        if self.anchor is not None and all(name in columns for name in SCORES):
            frozen = torch.cat([torch.tensor(columns[name]) for name in SCORES])
            anchor = self.anchor(rewards.T.reshape(-1), frozen, codes.reshape(-1), num_models, weight=weight.repeat(2))
            value = value + self.anchor_weight * anchor.value
        return float(value)

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        return self.accelerator.reduce(values, "sum")
