"""A mean and a variance for each response."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from datasets import Dataset
from torch import Tensor, nn

from ...losses.gaussian_reward import log_odds, ordinal_anchor_loss, standardized_difference
from .anchors import ANCHOR_COLUMNS, AnchorThresholds, prepare_anchors
from .base import PairwiseLossFunction, RewardHead


logger = logging.getLogger(__name__)


class GaussianHead(RewardHead):
    r"""
    Two outputs for each response, the mean and the log of the variance of a Gaussian reward; see
    [`~trl_ext.losses.GaussianRewardLoss`].

    With \( z = (\mu_c-\mu_r)/\sqrt{s_c^2+s_r^2} \), the pairwise loss gets \( \log\Phi(z) - \log\Phi(-z) \), whose sigmoid is
    \( \Phi(z) \), as the reward difference. Every loss that knows a probability of preference therefore works, with that of
    Thurstone's model in place of Bradley and Terry's. To it is added `anchor_coefficient` times
    [`~trl_ext.losses.gaussian_reward.ordinal_anchor_loss`] of both responses, where they were judged.

    Args:
        anchor_coefficient (`float`): Weight of the absolute judgements.
        anchor_learning_rate (`float`): Step size of the thresholds.
        center_coefficient (`float`, *optional*): Weight of the squared sum of the means of a pair.
    """

    num_outputs = 2
    has_spread: ClassVar[bool] = True
    columns = ANCHOR_COLUMNS

    def __init__(self, anchor_coefficient: float, anchor_learning_rate: float, center_coefficient: float | None):
        self.anchor_coefficient = anchor_coefficient
        self.center_coefficient = center_coefficient
        self.thresholds = AnchorThresholds(anchor_learning_rate if anchor_coefficient > 0 else 0.0)
        if anchor_coefficient == 0:
            logger.warning(
                "reward_head='gaussian' without anchors: pairs alone do not identify the variance of rewards. Means may be "
                "compared, but take no variance for an uncertainty."
            )

    def prepare(self, dataset: Dataset, name: str) -> Dataset:
        return prepare_anchors(dataset, name, wanted=self.anchor_coefficient > 0)

    def losses(
        self,
        pairwise_loss: PairwiseLossFunction,
        chosen: Tensor,
        rejected: Tensor,
        columns: dict[str, Tensor],
        head_columns: dict[str, Tensor],
        training: bool,
    ) -> Tensor:
        half = self.log_odds(chosen, rejected) / 2
        losses = pairwise_loss(half, -half, columns)
        if self.center_coefficient is not None:  # the pairwise loss has added the square of half - half
            losses = losses + self.center_coefficient * (chosen[:, 0] + rejected[:, 0]) ** 2
        if self.anchor_coefficient == 0 or not training:
            return losses
        thresholds = self.thresholds(losses.device)
        for column, outputs in zip(ANCHOR_COLUMNS, (chosen, rejected), strict=True):
            if column in head_columns:
                anchor = ordinal_anchor_loss(*outputs.T, head_columns[column], thresholds)
                losses = losses + self.anchor_coefficient * anchor.to(losses.dtype)
        return losses

    def log_odds(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        return log_odds(standardized_difference(chosen[:, 0], rejected[:, 0], chosen[:, 1], rejected[:, 1]))

    def difference_sd(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        return torch.exp(torch.logaddexp(chosen[:, 1], rejected[:, 1]) / 2)

    def entry(self) -> dict[str, Any]:
        anchored = self.anchor_coefficient > 0
        return {
            "kind": "gaussian",
            "variance": "log_variance",
            "anchor_coefficient": self.anchor_coefficient,
            "anchor_thresholds": self.thresholds.values() if anchored else None,
        }

    def parameters(self) -> list[nn.Parameter]:
        return [self.thresholds.parameter] if self.thresholds.learning_rate > 0 else []

    def step(self, reduce: Callable[[Tensor], Tensor]) -> None:
        self.thresholds.step(reduce)

    def reset(self) -> None:
        self.thresholds.reset()

    def save(self, folder: Path) -> None:
        self.thresholds.save(folder)

    def load(self, folder: Path) -> None:
        self.thresholds.load(folder)
