"""Reliability-aware preference learning (RAPL) on TRL's reward trainer."""

import logging

import numpy as np
from datasets import Dataset, IterableDataset

from ..data.preference import validate_preferences
from ..losses import BetaRAPLLoss, BradleyTerryLoss, EpsilonRAPLLoss, MarginRAPLLoss
from ..reliability import flip_mask, reliability_to_beta, reliability_to_margin, reliability_to_p
from .reliability_config import ReliabilityRewardConfig
from .reward_trainer import PairwiseRewardTrainer


logger = logging.getLogger(__name__)

_LOSSES = {"beta": BetaRAPLLoss, "p": EpsilonRAPLLoss, "margin": MarginRAPLLoss, "none": BradleyTerryLoss}
_CONVERSIONS = {"beta": reliability_to_beta, "p": reliability_to_p, "margin": reliability_to_margin}


class ReliabilityRewardTrainer(PairwiseRewardTrainer):
    """
    Train a reward model on pairs that are believed as far as their annotator is reliable.

    The `reliability` column (see `args.columns` to rename) is turned into the weight of one of the RAPL losses:
    [`~trl_ext.losses.BetaRAPLLoss`], [`~trl_ext.losses.EpsilonRAPLLoss`] or [`~trl_ext.losses.MarginRAPLLoss`].
    Evaluation sets without that column are evaluated with the Bradley–Terry loss.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models, equations 5 and 6.

    Args:
        args ([`ReliabilityRewardConfig`]):
            Configuration.
        *args, **kwargs:
            As in [`PairwiseRewardTrainer`], except `loss`, which follows from `rapl_method`.

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
        "url": "https://openreview.net/forum?id=pAPcLZK5xj",
    }

    def __init__(self, model, args: ReliabilityRewardConfig | None = None, **kwargs):
        if "loss" in kwargs:
            raise TypeError("`loss` follows from `args.rapl_method`; use PairwiseRewardTrainer for a loss of your own")
        if isinstance(kwargs.get("train_dataset"), IterableDataset):
            raise TypeError("reliability is validated and converted over the whole dataset: it cannot be streamed")
        method = ReliabilityRewardConfig.rapl_method if args is None else getattr(args, "rapl_method", "beta")
        super().__init__(model, args, loss=_LOSSES[method](), **kwargs)

    def _prepare_columns(self, dataset: Dataset, args: ReliabilityRewardConfig, dataset_name: str) -> Dataset:
        is_train = dataset_name == "train"
        constant = args.constant_reliability if is_train else None
        if constant is not None:
            dataset = _set_column(dataset, "reliability", np.full(len(dataset), float(constant)))
        if "reliability" not in dataset.column_names:
            if is_train and (args.rapl_method != "none" or args.min_reliability is not None):
                validate_preferences(dataset, name=dataset_name, numeric_columns={"reliability": (0.0, 1.0)})
            if not is_train:
                logger.info("%s has no 'reliability' column: evaluated with the Bradley–Terry loss", dataset_name)
            return dataset

        upper = 1.0 if args.reliability_kind == "probability" or args.rapl_method == "p" else np.inf
        lower = -np.inf if args.reliability_kind == "raw" and args.rapl_method == "margin" else 0.0
        dataset = validate_preferences(dataset, name=dataset_name, numeric_columns={"reliability": (lower, upper)})
        reliability = np.asarray(dataset["reliability"], dtype=np.float64)
        if is_train and args.min_reliability is not None:
            keep = reliability >= args.min_reliability
            logger.warning(
                "%s: dropped %d of %d pairs with reliability below %s",
                dataset_name,
                (~keep).sum(),
                len(keep),
                args.min_reliability,
            )
            if not keep.any():
                raise ValueError(
                    f"column 'reliability' of {dataset_name} has no value of at least min_reliability="
                    f"{args.min_reliability}; the largest is {reliability.max():.4g}"
                )
            dataset, reliability = dataset.select(np.flatnonzero(keep)), reliability[keep]
        if args.rapl_method == "none":
            return dataset
        if args.reliability_kind == "probability":
            if args.on_below_half == "flip":
                dataset = _swap(dataset, flip_mask(reliability), dataset_name)
            weights = _CONVERSIONS[args.rapl_method](reliability, on_below_half=args.on_below_half)
        else:
            weights = reliability
        logger.info(
            "%s: %s mean %.4g, min %.4g, max %.4g; %d of %d pairs carry no information",
            dataset_name, args.rapl_method, weights.mean(), weights.min(), weights.max(), (weights == 0).sum(), len(weights),
        )  # fmt: skip
        return _set_column(dataset, args.rapl_method, weights)

    def _column_ranges(self, dataset: Dataset) -> dict[str, tuple[float, float]]:
        ranges = super()._column_ranges(dataset)
        if "reliability" not in dataset.column_names:
            # an evaluation set: a training set without the column was refused before
            ranges = {column: limits for column, limits in ranges.items() if column in dataset.column_names}
        return ranges

    def pairwise_loss(self, rewards_chosen, rewards_rejected, columns):
        if self.model.training or set(self.loss.columns) <= columns.keys():
            return super().pairwise_loss(rewards_chosen, rewards_rejected, columns)
        return BradleyTerryLoss()(rewards_chosen, rewards_rejected)


def _set_column(dataset: Dataset, name: str, values: np.ndarray) -> Dataset:
    if name in dataset.column_names:
        dataset = dataset.remove_columns(name)
    return dataset.add_column(name, values)


def _swap(dataset: Dataset, flip: np.ndarray, dataset_name: str) -> Dataset:
    """Exchange chosen and rejected where `flip` is set; record it in the column `flipped`."""
    pairs = [("chosen", "rejected"), ("chosen_ids", "rejected_ids")]
    for first, second in pairs:
        if first in dataset.column_names:
            values = [
                (b, a) if swap else (a, b) for a, b, swap in zip(dataset[first], dataset[second], flip, strict=True)
            ]
            features = {name: dataset.features[name] for name in (first, second)}
            swapped = Dataset.from_dict(
                {first: [a for a, _ in values], second: [b for _, b in values]},
                features=type(dataset.features)(features),
            )
            dataset = dataset.remove_columns([first, second])
            dataset = dataset.add_column(first, swapped.data.column(first)).add_column(
                second, swapped.data.column(second)
            )
    logger.warning("%s: swapped chosen and rejected in %d of %d pairs", dataset_name, flip.sum(), len(flip))
    return _set_column(dataset, "flipped", flip)
