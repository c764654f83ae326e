"""A reward model from labels that are known to be noisy, on TRL's reward trainer."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset, IterableDataset
from torch import Tensor
from trl import RewardConfig

from ..data.loading import set_column
from ..data.preference import PREFERENCE_COLUMNS, validate_preferences
from ..evaluation.accuracy.oracle import ORACLE_PROBABILITY, oracle_scores
from ..losses import BradleyTerryLoss, SoftLabelLoss
from ..losses.base import LEVEL_TOLERANCE
from .annotator_eta import EtaSummary, describe_annotators, eta_of_pairs, read_annotator_eta, unknown_annotators
from .card_tables import noise_rows
from .noise_aware_config import NoiseAwareRewardConfig
from .reward_trainer import PairwiseRewardTrainer


logger = logging.getLogger(__name__)


class NoiseAwareRewardTrainer(PairwiseRewardTrainer):
    r"""
    Train a reward model on labels that are known to be noisy.

    Data have the columns of [`PairwiseRewardTrainer`], and

    - `label` (optional; hard, 0 or 1, or soft): P(chosen is better) as it was reported, 1 when there is no such column.
      Losses that know no labels get both orders of the responses, in proportion;
    - what `noise_method` needs to know of the noise: for `"forward"` and `"backward"` the commitment η of the annotator,
      with P(label = 1) = ηp + (1−η)/2 for a pair of true preference p. It is a column `eta`, or `args.eta` for all pairs,
      or `annotator_eta` with a column `annotator_id`; the arguments take precedence over the column;
    - `oracle_probability` (optional, in evaluation sets): the true preference p. Evaluation then reports
      `oracle_cross_entropy`, `oracle_entropy` (its floor), `oracle_excess` (the difference) and `oracle_accuracy` (the
      share of pairs ordered as the oracle orders them, without the `oracle_ties` at p = 1/2). It is never trained on.

    `accuracy`, `margin` and `log_loss` are about chosen, whatever the label; `label_accuracy` is the share of pairs ordered
    as the label says, without labels of 1/2. `args.columns` renames the columns. Evaluation sets without what the loss needs are evaluated with the Bradley–Terry
    loss (of `label`, where there is one); `args.eta` is for training pairs only.

    References:
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators: the annotator model.

    Args:
        args ([`NoiseAwareRewardConfig`]):
            Configuration.
        annotator_eta (`Mapping`, `str` or `Path`, *optional*):
            η in [0, 1] by annotator id, or a `.json` or `.csv` file of it (see [`read_annotator_eta`]), for every
            annotator of the training set.
        *args, **kwargs:
            As in [`PairwiseRewardTrainer`], except `loss`, which follows from `noise_method`.

    Attributes:
        eta_summary ([`EtaSummary`], *optional*):
            How far the training labels are believed; `None` where the loss does not ask.

    Raises:
        ValueError: If data or arguments are not usable; before the model is loaded.

    Example:
        ```python
        >>> from trl_ext import NoiseAwareRewardConfig, NoiseAwareRewardTrainer

        >>> trainer = NoiseAwareRewardTrainer(
        ...     model="Qwen/Qwen3-0.6B",
        ...     args=NoiseAwareRewardConfig("my-reward-model"),
        ...     annotator_eta={"anna": 0.9, "ben": 0.4},
        ...     train_dataset=dataset,  # prompt, chosen, rejected, annotator_id
        ... )
        >>> trainer.train()
        ```
    """

    config_class = NoiseAwareRewardConfig
    _name = "Noise-aware reward"
    _paper = {
        "title": "How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators",
        "url": "https://arxiv.org/abs/2502.06387",
    }
    _recorded_columns = ("label", ORACLE_PROBABILITY)

    def __init__(
        self,
        model,
        args: RewardConfig | None = None,
        annotator_eta: Mapping[str | int, float] | str | Path | None = None,
        **kwargs,
    ):
        if "loss" in kwargs:
            raise TypeError(
                "`loss` follows from `args.noise_method`; use PairwiseRewardTrainer for a loss of your own"
            )
        if isinstance(kwargs.get("train_dataset"), IterableDataset):
            raise TypeError("labels and their noise are validated over the whole dataset: it cannot be streamed")
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = self.config_class(f"{name.rstrip('/').split('/')[-1]}-Reward")
        args = self.config_class.from_reward_config(args)
        if annotator_eta is not None:
            if not args.uses_eta:
                raise ValueError(f"`annotator_eta` has no effect with noise_method={args.noise_method!r}")
            if args.eta is not None:
                raise ValueError(
                    "`eta` is one value for all pairs and `annotator_eta` one for each annotator: set one"
                )
        self._annotator_eta = None if annotator_eta is None else read_annotator_eta(annotator_eta)
        self.eta_summary: EtaSummary | None = None
        super().__init__(model, args, loss=args.noise_loss(), **kwargs)
        if self.eta_summary is not None and self.is_world_process_zero():
            logger.info("eta of the training pairs: %s", self.eta_summary.to_dict())

    # ---- Data ----

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*super()._loss_columns, "label", ORACLE_PROBABILITY]))

    @staticmethod
    def _rename_columns(dataset: Dataset, columns: Mapping[str, str], dataset_name: str) -> Dataset:
        if columns.get(ORACLE_PROBABILITY) not in dataset.column_names:  # nothing but evaluation needs it
            columns = {ours: theirs for ours, theirs in columns.items() if ours != ORACLE_PROBABILITY}
        return PairwiseRewardTrainer._rename_columns(dataset, columns, dataset_name)

    def _prepare_columns(self, dataset: Dataset, args: NoiseAwareRewardConfig, dataset_name: str) -> Dataset:
        is_train = dataset_name == "train"
        if args.uses_eta:
            dataset = self._add_eta(dataset, args, dataset_name)
        missing = [column for column in self.loss.columns if column not in dataset.column_names]
        if missing and is_train:
            ways = (
                "Add it, or set `eta` for all pairs, or pass `annotator_eta` with a column 'annotator_id'."
                if missing == ["eta"]
                else "Add it, or rename a column with `args.columns`."
            )
            raise ValueError(
                f"train dataset: noise_method={args.noise_method!r} needs the column {missing[0]!r}, but the columns are "
                f"{', '.join(map(repr, dataset.column_names))}. {ways}"
            )
        if missing:
            logger.info("%s has no column %r: evaluated with the Bradley–Terry loss", dataset_name, missing[0])
        elif "label" in self.loss.levels:
            _check_levels(dataset, self.loss.levels["label"], args.noise_method, dataset_name)
        return dataset

    def _add_eta(self, dataset: Dataset, args: NoiseAwareRewardConfig, name: str) -> Dataset:
        """Bring η into the column `eta`, where it is known, and take pairs without information out of the loss."""
        is_train, source, annotators = name == "train", "column", None
        if self._annotator_eta is not None:
            dataset, annotators = self._look_up_eta(dataset, name)
            source = "annotators"
        elif args.eta is not None and is_train:  # the noise of other labels may differ
            self._say_column_is_replaced(dataset, name, "eta")
            dataset = set_column(dataset, "eta", np.full(len(dataset), float(args.eta)))
            source = "constant"
        if "eta" not in dataset.column_names:
            return dataset
        ranges = {column: PREFERENCE_COLUMNS[column] for column in ("eta", "weight") if column in dataset.column_names}
        dataset = validate_preferences(dataset, name=name, numeric_columns=ranges)
        if is_train:
            self.eta_summary = EtaSummary.of(np.asarray(dataset["eta"], dtype=np.float64), source, annotators)
            if self.eta_summary.n_zero == len(dataset):
                raise ValueError("train dataset: eta is 0 for all pairs: there is nothing to learn from coin flips")
        return self._without_coin_flips(dataset, args, name) if args.noise_method == "backward" else dataset

    def _look_up_eta(self, dataset: Dataset, name: str) -> tuple[Dataset, int | None]:
        """η of every pair from `annotator_eta`, and the number of annotators."""
        self._say_column_is_replaced(dataset, name, "annotator_eta")
        if "eta" in dataset.column_names:
            dataset = dataset.remove_columns("eta")
        if name != "train":
            if "annotator_id" not in dataset.column_names:
                return dataset, None
            if unknown := unknown_annotators(dataset["annotator_id"], self._annotator_eta):
                logger.warning(
                    "%s has annotators whose eta is not known: %s. All its pairs are evaluated with the Bradley–Terry loss",
                    name, describe_annotators(unknown),
                )  # fmt: skip
                return dataset, None
        dataset = validate_preferences(dataset, name=name, required_columns=("annotator_id",))
        eta = eta_of_pairs(dataset["annotator_id"], self._annotator_eta, name)
        return set_column(dataset, "eta", eta), len(set(map(str, dataset["annotator_id"])))

    @staticmethod
    def _say_column_is_replaced(dataset: Dataset, name: str, argument: str) -> None:
        if "eta" in dataset.column_names:
            logger.info("%s: column 'eta' is not used, as `%s` is set", name, argument)

    @staticmethod
    def _without_coin_flips(dataset: Dataset, args: NoiseAwareRewardConfig, name: str) -> Dataset:
        """Give pairs weight 0 that the backward correction can't divide by; refuse those that it nearly can't."""
        eta = np.asarray(dataset["eta"], dtype=np.float64)
        small = (eta > 0) & (eta < args.min_eta)
        if name == "train" and small.any():
            row = int(np.flatnonzero(small)[0])
            who = f" (id {dataset[row]['id']!r})" if "id" in dataset.column_names else ""
            raise ValueError(
                f"train dataset: column 'eta' has {small.sum()} values in (0, min_eta={args.min_eta:g}); first: row "
                f"{row}{who}, value {eta[row]:g}. The backward correction would let such a pair pull 1/eta times as much "
                "as a clean one. Set these to 0, use noise_method='forward', or lower min_eta."
            )
        ignored = eta < args.min_eta
        if not ignored.any():
            return dataset
        logger.warning("%s: %d of %d pairs get weight 0, as their eta is near 0", name, ignored.sum(), len(ignored))
        weight = np.asarray(dataset["weight"]) if "weight" in dataset.column_names else 1.0
        dataset = set_column(dataset, "weight", np.where(ignored, 0.0, weight))
        return set_column(dataset, "eta", np.where(ignored, 1.0, eta))  # any eta will do, at weight 0

    def _column_ranges(self, dataset: Dataset) -> dict[str, tuple[float, float]]:
        # a training set without a column that the loss needs was refused before
        ranges = super()._column_ranges(dataset) | {
            "label": PREFERENCE_COLUMNS["label"],
            ORACLE_PROBABILITY: (0.0, 1.0),
        }
        return {column: limits for column, limits in ranges.items() if column in dataset.column_names}

    # ---- Loss, metrics ----

    def pairwise_loss(self, rewards_chosen: Tensor, rewards_rejected: Tensor, columns: dict[str, Tensor]) -> Tensor:
        columns = {name: values for name, values in columns.items() if name != ORACLE_PROBABILITY}
        label = columns.get("label")
        if not set(self.loss.columns) <= columns.keys():  # an evaluation set
            if label is None:
                return BradleyTerryLoss()(rewards_chosen, rewards_rejected)
            return SoftLabelLoss()(rewards_chosen, rewards_rejected, label=label)
        if label is None or "label" in {**self.loss.columns, **self.loss.optional_columns}:
            return super().pairwise_loss(rewards_chosen, rewards_rejected, columns)
        del columns["label"]
        if label.shape != rewards_chosen.shape:
            raise ValueError(f"label must have shape (B,) = {tuple(rewards_chosen.shape)}, got {tuple(label.shape)}")
        as_labelled = super().pairwise_loss(rewards_chosen, rewards_rejected, columns)
        reversed_ = super().pairwise_loss(rewards_rejected, rewards_chosen, columns)
        return label * as_labelled + (1 - label) * reversed_

    def card_paper(self) -> dict[str, str]:
        return super().card_paper() if self.args.noise_method == "forward" else {}

    def card_tables(self) -> dict[str, dict[str, Any]]:
        return super().card_tables() | {"Reliability of the labels": noise_rows(self)}

    def _column_metrics(self, rewards: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, float]:
        metrics: dict[str, float] = {}
        if "label" in columns:
            metrics["label_accuracy"] = oracle_scores(*rewards.T, columns["label"]).accuracy.value
        if ORACLE_PROBABILITY in columns:
            scores = oracle_scores(*rewards.T, columns[ORACLE_PROBABILITY])
            metrics |= {name: figure.value for name, figure in scores.figures().items()}
            metrics["oracle_ties"] = scores.oracle_ties
        return metrics


def _check_levels(dataset: Dataset, levels: tuple[float, ...], method: str, name: str) -> None:
    """Raise unless every label is one of the levels."""
    validate_preferences(dataset, name=name, numeric_columns={"label": PREFERENCE_COLUMNS["label"]})
    label = np.asarray(dataset["label"], dtype=np.float64)
    distance = np.abs(label[:, None] - np.array(levels)).min(axis=1)
    if (bad := np.flatnonzero(distance > LEVEL_TOLERANCE)).size:
        who = f" (id {dataset[int(bad[0])]['id']!r})" if "id" in dataset.column_names else ""
        raise ValueError(
            f"{name} dataset: column 'label' has {bad.size} values that noise_method={method!r} does not know; first: row "
            f"{bad[0]}{who}, value {label[bad[0]]:g}. Allowed: {', '.join(f'{level:g}' for level in levels)}. Labels that "
            "are probabilities are for noise_method='soft_label'."
        )
