"""Reliability-aware preference learning (RAPL) on TRL's reward trainer."""

import logging
from typing import Any

from datasets import Dataset, IterableDataset
from trl import RewardConfig

from ..losses import BradleyTerryLoss, LabelSmoothingLoss
from ..reliability import WeightStatistics
from .card_tables import reliability_rows
from .reliability_columns import FLIPPED, ReliabilityColumns, believed_order, reliability_loss
from .reliability_config import ReliabilityRewardConfig
from .reward_trainer import PairwiseRewardTrainer


logger = logging.getLogger(__name__)


class ReliabilityRewardTrainer(PairwiseRewardTrainer):
    """
    Train a reward model on pairs that are believed as far as their annotator is reliable.

    The `reliability` column (see `args.columns` to rename) is turned into the column of a loss that follows from
    `rapl_method`: [`~trl_ext.losses.BetaRAPLLoss`], [`~trl_ext.losses.EpsilonRAPLLoss`] or
    [`~trl_ext.losses.MarginRAPLLoss`] of RAPL, and the baselines [`~trl_ext.losses.SoftLabelLoss`],
    [`~trl_ext.losses.BackwardCorrectedLoss`] and [`~trl_ext.losses.BradleyTerryLoss`].
    Evaluation sets without that column are evaluated with the Bradley–Terry loss.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models, equations 5 and 6.

    Args:
        args ([`ReliabilityRewardConfig`]):
            Configuration.
        *args, **kwargs:
            As in [`PairwiseRewardTrainer`], except `loss`, which follows from `rapl_method`.

    Attributes:
        weight_statistics ([`~trl_ext.reliability.WeightStatistics`]):
            How much the training pairs count.

    Example:
        ```python
        >>> from trl_ext import ReliabilityRewardConfig, ReliabilityRewardTrainer

        >>> trainer = ReliabilityRewardTrainer(
        ...     model="Qwen/Qwen3-0.6B",
        ...     args=ReliabilityRewardConfig("my-reward-model", rapl_method="p"),
        ...     train_dataset=dataset,  # prompt, chosen, rejected, reliability
        ... )
        >>> trainer.train()
        ```
    """

    config_class = ReliabilityRewardConfig
    _name = "Reliability-aware reward"
    _paper = {
        "title": "Reliability-Aware Preference Learning for LLM Reward Models",
        "url": "https://openreview.net/forum?id=xRDYDI6Rc9",
    }

    def __init__(self, model, args: RewardConfig | None = None, **kwargs):
        if "loss" in kwargs:
            raise TypeError("`loss` follows from `args.rapl_method`; use PairwiseRewardTrainer for a loss of your own")
        if isinstance(kwargs.get("train_dataset"), IterableDataset):
            raise TypeError("reliability is validated and converted over the whole dataset: it cannot be streamed")
        settings = args if isinstance(args, ReliabilityRewardConfig) else ReliabilityRewardConfig
        self._reliability_columns = ReliabilityColumns()
        super().__init__(model, args, loss=reliability_loss(settings), **kwargs)
        self.weight_statistics: WeightStatistics = self._reliability_columns.statistics(self.train_dataset, self.args)
        if self.is_world_process_zero():
            logger.info("weights of the training pairs: %s", self.weight_statistics.to_dict())

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        flipped = (FLIPPED,) if self.args.on_below_half == "flip" else ()
        return (*super()._loss_columns, *flipped)

    def _prepare_columns(self, dataset: Dataset, args: ReliabilityRewardConfig, dataset_name: str) -> Dataset:
        return self._reliability_columns.prepare(dataset, args, dataset_name)

    def _column_ranges(self, dataset: Dataset) -> dict[str, tuple[float, float]]:
        ranges = super()._column_ranges(dataset)
        if "reliability" not in dataset.column_names:
            # an evaluation set: a training set without the column was refused before
            ranges = {column: limits for column, limits in ranges.items() if column in dataset.column_names}
        return ranges

    def pairwise_loss(self, rewards_chosen, rewards_rejected, columns):
        flipped = columns.get(FLIPPED)
        columns = {name: values for name, values in columns.items() if name != FLIPPED}
        rewards_chosen, rewards_rejected = believed_order(rewards_chosen, rewards_rejected, flipped)
        if self.model.training or set(self.loss.columns) <= columns.keys():
            return super().pairwise_loss(rewards_chosen, rewards_rejected, columns)
        return BradleyTerryLoss()(rewards_chosen, rewards_rejected)

    def card_paper(self) -> dict[str, str]:
        return super().card_paper() if self.args.rapl_method in ("beta", "p", "margin") else {}

    def card_citations(self) -> list[str]:
        smoothed = self.args.rapl_method == "smoothing"  # minimised as soft labels
        return [*super().card_citations(), *([LabelSmoothingLoss().citation] if smoothed else [])]

    def card_tables(self) -> dict[str, dict[str, Any]]:
        return super().card_tables() | {"Reliability of the labels": reliability_rows(self)}
