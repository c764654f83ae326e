"""A reward model calibrated with the ratings of the models it compares, on TRL's reward trainer."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from torch import Tensor
from torch.utils.data import Sampler
from transformers import TrainerCallback
from trl import RewardConfig

from ..arena import RatingTable
from ..losses import (
    BradleyTerryLoss,
    SoftLabelLoss,
    SourceOffsetLoss,
    WinRateMatchingLoss,
    WithinSourceAnchorLoss,
)
from .calibration_card import add_calibration_section
from .calibration_columns import (
    CALIBRATION_COLUMNS,
    CHOSEN_CODE,
    HUMAN_DATASET,
    IS_HUMAN,
    REJECTED_CODE,
    SCORES,
    TARGET,
    CalibrationColumns,
    ModelPairs,
    set_column,
    with_human_pairs,
)
from .calibration_config import CalibrationRewardConfig
from .calibration_metrics import CalibrationLog, calibration_metrics
from .calibration_offsets import SourceOffsetState
from .calibration_sampler import HUMAN, ModelPairSampler
from .calibration_state import MatchingState
from .calibration_window import OriginWeights, pair_weights
from .reward_trainer import IS_REPEATED, PairwiseRewardTrainer, _num_pairs


logger = logging.getLogger(__name__)

PAIR_INDEX = "pair_index"
_MOST_PAIRS = 2**24  # columns of a batch are float32, which holds integers exactly up to here


class CalibrationRewardTrainer(PairwiseRewardTrainer):
    r"""
    Train a reward model so that models whose responses it compares win as often as people say they do.

    Rows of the training set are those of [`~trl_ext.arena.calibrated_pairs`]: `prompt`, `chosen` and `rejected`, and what
    `args.calibration_method` needs:

    | method | loss | columns |
    |---|---|---|
    | `"hard"` | \( -\log\sigma(z) \) | none: chosen is the better one after the offset |
    | `"soft"` | cross-entropy of \( \sigma(z/T) \) with `label` | `label` |
    | `"matching"` | [`~trl_ext.losses.WinRateMatchingLoss`] + λ [`~trl_ext.losses.WithinSourceAnchorLoss`] | `source_chosen`, `source_rejected`, `target_win_rate` or `ratings`; `score_chosen`, `score_rejected` |
    | `"source_offset"` | cross-entropy of \( \sigma(z + b_c - b_r) \) with `label` | `source_chosen`, `source_rejected`; `label`, else 1 |

    with \( z = r_c - r_r \). `target_win_rate` is the probability that the source of chosen beats that of rejected, and
    `score_*` are rewards of the model before training (computed where they are missing). `weight` weights pairs.

    With `human_dataset` every batch of all processes has pairs of both kinds in proportion, and the loss is
    `calibration_coefficient` times that above plus `human_coefficient` times Bradley–Terry of the human pairs.

    Win rates are estimated over the batch of all processes, so that the gradient does not depend on their number; with
    gradient accumulation the batches of a window are averaged, each with its own estimate (see `win_rate_ema_decay` to
    use more than one batch).

    Evaluation sets with `source_chosen` and `source_rejected` also report win rates by pair of models, with targets
    `mean_abs_mismatch`, and with `score_*` how far the order within each model is kept. With `"matching"`, `loss` then is
    that of all pairs at once. Sets without these columns are evaluated with Bradley–Terry (of `label`, where there is one).

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045

    Args:
        args ([`CalibrationRewardConfig`]):
            Configuration.
        human_dataset ([`~datasets.Dataset`], *optional*):
            Pairs with human labels, to train on beside the others: `prompt`, `chosen`, `rejected`, optional `label`,
            `weight`. Not with `"source_offset"`, whose pairs all have human labels.
        ratings ([`~trl_ext.arena.RatingTable`] or `Mapping[str, float]`, *optional*):
            Ratings of the models in Elo points, from which `target_win_rate` is computed; a column of this name is then
            not used.
        **kwargs:
            As in [`PairwiseRewardTrainer`], except `loss`, which follows from `calibration_method`.

    Attributes:
        model_pairs ([`~trl_ext.trainer.calibration_columns.ModelPairs`], *optional*):
            The pairs of models of the training set and their targets, with `"matching"`.

    Raises:
        ValueError: If data or arguments are not usable; before the model is loaded.

    Example:
        ```python
        >>> from trl_ext import CalibrationRewardConfig, CalibrationRewardTrainer

        >>> trainer = CalibrationRewardTrainer(
        ...     model="my-reward-model",
        ...     args=CalibrationRewardConfig("calibrated", calibration_method="matching"),
        ...     train_dataset=pairs,  # prompt, chosen, rejected, source_chosen, source_rejected
        ...     ratings={"gemma-2-9b-it-SimPO": 1216, "gpt-4o-mini": 1273},
        ... )
        >>> trainer.train()
        ```
    """

    config_class = CalibrationRewardConfig
    _name = "Calibrated reward"
    _paper = {
        "title": "CHARM: Calibrating Reward Models With Chatbot Arena Scores",
        "url": "https://arxiv.org/abs/2504.10045",
    }
    _recorded_columns = (CHOSEN_CODE, REJECTED_CODE, TARGET, *SCORES, "weight")

    def __init__(
        self,
        model,
        args: RewardConfig | None = None,
        *,
        human_dataset: Dataset | None = None,
        ratings: RatingTable | Mapping[str, float] | None = None,
        **kwargs,
    ):
        if "loss" in kwargs:
            raise TypeError(
                "`loss` follows from `args.calibration_method`; use PairwiseRewardTrainer for a loss of your own"
            )
        for name, dataset in (("train_dataset", kwargs.get("train_dataset")), ("human_dataset", human_dataset)):
            if isinstance(dataset, IterableDataset):
                raise TypeError(f"`{name}` is looked at as a whole: it cannot be streamed")
        if args is None:
            name = model if isinstance(model, str) else model.config._name_or_path
            args = self.config_class(f"{name.rstrip('/').split('/')[-1]}-Reward")
        args = self.config_class.from_reward_config(args)
        if human_dataset is not None:
            if args.calibration_method == "source_offset":
                raise ValueError(
                    "`human_dataset` is for pairs that calibration_method='source_offset' has already: its labels are "
                    "human. Put all pairs into `train_dataset`."
                )
            args._check_batches("with `human_dataset` every batch has its share of both kinds of pairs")
        self._columns = CalibrationColumns(ratings)
        self._human_dataset = human_dataset
        self.num_human_pairs = 0
        self._finished: Dataset | None = None
        self._window: OriginWeights | None = None
        self.model_pairs: ModelPairs | None = None
        super().__init__(model, args, loss=_loss(args), **kwargs)
        self._log = CalibrationLog(self.accelerator)
        self._matching: MatchingState | None = None
        self._offsets: SourceOffsetState | None = None
        if args.calibration_method == "matching":
            self._set_up_matching()
        elif args.calibration_method == "source_offset":
            self._set_up_offsets()

    def _set_up_matching(self) -> None:
        device, pairs = self.accelerator.device, self.model_pairs
        self._anchor = WithinSourceAnchorLoss() if self.args.anchor_coefficient > 0 else None
        self._computes_frozen = self._anchor is not None and SCORES[0] not in self.train_dataset.column_names
        if self._computes_frozen and (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            raise ValueError(
                f"the training set has no {SCORES[0]!r} and {SCORES[1]!r}, and under DeepSpeed and FSDP they can't be "
                "computed before training: score the responses with RewardScorer first, or set anchor_coefficient=0"
            )
        self._matching = MatchingState(len(pairs), device)
        self._pair_table = torch.tensor(pairs.table, device=device)
        self._targets = torch.tensor(pairs.targets, dtype=torch.float64, device=device)
        self._variances = None if pairs.variances is None else torch.tensor(pairs.variances, device=device)

    def _set_up_offsets(self) -> None:
        data = self.train_dataset
        columns = [np.asarray(data[name]).astype(np.int64) for name in (CHOSEN_CODE, REJECTED_CODE)]
        for name in ("label", "weight"):
            has = name in data.column_names
            columns.append(np.asarray(data[name], dtype=np.float64) if has else np.ones(len(data)))
        self._offset_models = [
            self._columns.models[code] for code in range(1 + max(columns[0].max(), columns[1].max()))
        ]
        self._offsets = SourceOffsetState(
            *columns, len(self._offset_models), self.args.source_offset_prior_sd, self.accelerator
        )
        self.add_callback(_OffsetUpdates(self))

    @property
    def source_offsets(self) -> dict[str, float]:
        """With `"source_offset"`: what labels say for each source model beyond the rewards, in units of reward; zero-sum."""
        if self._offsets is None:
            raise ValueError(f"calibration_method={self.args.calibration_method!r} has no source offsets")
        return dict(zip(self._offset_models, self._offsets.offsets.tolist(), strict=True))

    # ---- Data ----

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        return ("label", "weight", IS_HUMAN, CHOSEN_CODE, REJECTED_CODE, TARGET, *SCORES, PAIR_INDEX)

    def _column_ranges(self, dataset: Dataset) -> dict[str, tuple[float, float]]:
        return {column: limits for column, limits in CALIBRATION_COLUMNS.items() if column in dataset.column_names}

    def _prepare_columns(self, dataset: Dataset, args: CalibrationRewardConfig, dataset_name: str) -> Dataset:
        return self._columns.prepare(dataset, args, dataset_name)

    def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
        prepared = super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        if dataset_name != "train" or prepared is self._finished:
            return prepared
        batch_size = args.train_batch_size * args.world_size
        if self._human_dataset is not None:
            human = super()._prepare_dataset(self._human_dataset, processing_class, args, HUMAN_DATASET)
            _check_shares(len(prepared), len(human), batch_size)
            self.num_human_pairs = len(human)
            prepared = with_human_pairs(prepared, human)
        if args.calibration_method == "source_offset":
            if len(prepared) > _MOST_PAIRS:
                raise ValueError(
                    f"the training set has {len(prepared)} pairs; at most {_MOST_PAIRS} can be told apart"
                )
            prepared = set_column(prepared, PAIR_INDEX, np.arange(len(prepared)))
        if args.calibration_method == "matching":
            self.model_pairs = ModelPairs(prepared, self._columns, args.use_rating_variance)
            share = self.model_pairs.sizes.sum() / len(prepared)
            self.model_pairs.check_sizes(batch_size * share / args.pairs_of_models_per_batch)
        self._finished = prepared
        self._prepared.append((prepared, prepared, True))  # what TRL's constructor passes in again
        return prepared

    def _get_train_sampler(self, train_dataset=None) -> Sampler | None:
        if self._human_dataset is None and self.model_pairs is None:
            return super()._get_train_sampler(train_dataset)
        if self.model_pairs is not None:
            groups, count = self.model_pairs.groups, self.args.pairs_of_models_per_batch
        else:
            groups, count = np.where(np.asarray(self.train_dataset[IS_HUMAN]) > 0, HUMAN, 0), 1
        shards = 1 if self.accelerator.split_batches else self.args.world_size
        return ModelPairSampler(groups, self._train_batch_size * shards, count, self._data_seed)

    # ---- Loss ----

    def pairwise_loss(self, rewards_chosen: Tensor, rewards_rejected: Tensor, columns: dict[str, Tensor]) -> Tensor:
        label, is_human = columns.get("label"), columns.get(IS_HUMAN)
        method, training = self.args.calibration_method, self.model.training
        as_labelled = (
            BradleyTerryLoss()(rewards_chosen, rewards_rejected)
            if label is None
            else SoftLabelLoss()(rewards_chosen, rewards_rejected, label=label)
        )
        losses = as_labelled
        if method == "hard" and training:
            losses = self.loss(rewards_chosen, rewards_rejected)
        elif method == "soft" and label is not None:
            losses = self.loss(rewards_chosen, rewards_rejected, label=label)
        elif method == "matching" and training:
            losses = torch.zeros_like(as_labelled)  # the objective is of the batch, in `compute_loss`
        elif method == "source_offset" and training:
            offset = self._offsets.differences(columns[CHOSEN_CODE], columns[REJECTED_CODE])
            losses = self.loss(rewards_chosen, rewards_rejected, offset=offset, label=label)
        if is_human is not None:
            losses = torch.where(is_human > 0, as_labelled, losses)
        if self.args.center_rewards_coefficient is not None:
            losses = losses + self.args.center_rewards_coefficient * (rewards_chosen + rewards_rejected) ** 2
        return losses

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor:
        total = super()._get_num_items_in_batch(batch_samples, device)
        if batch_samples:
            weights = [pair_weights(batch, _num_pairs(batch), batch.get(IS_REPEATED)) for batch in batch_samples]
            is_human = [_is_human(batch, weight) for batch, weight in zip(batch_samples, weights, strict=True)]
            self._window, self._window_total = OriginWeights(weights, is_human, self.accelerator), total
        return total

    def _pair_losses(self, model, inputs: dict[str, Any]):
        rewards_chosen, rewards_rejected, losses, weight, outputs = super()._pair_losses(model, inputs)
        if self.model.training and self._window is not None:
            is_human = _is_human(inputs, weight)
            self._note(inputs, rewards_chosen, rewards_rejected, losses, is_human)
            self._batch = rewards_chosen, rewards_rejected, weight.masked_fill(is_human, 0)
            weight = weight * self._window.factors(
                is_human, self.args.calibration_coefficient, self.args.human_coefficient, self._window_total
            )
        return rewards_chosen, rewards_rejected, losses, weight, outputs

    def _note(self, inputs: dict[str, Any], rewards_chosen, rewards_rejected, losses, is_human: Tensor) -> None:
        """Keep what is logged, and what offsets are learned from."""
        once = ~inputs[IS_REPEATED] if IS_REPEATED in inputs else torch.ones_like(is_human)
        differences = (rewards_chosen - rewards_rejected).detach()
        if (human := is_human & once).any():
            self._log.add_human(differences[human], losses.detach()[human])
        if self._offsets is not None:
            self._offsets.record(self.state.global_step, inputs[PAIR_INDEX][once], differences[once])

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        loss, outputs = super().compute_loss(model, inputs, True, num_items_in_batch)
        if self._matching is not None and self.model.training and num_items_in_batch is not None:
            loss = loss + self.args.calibration_coefficient * self._window.next_share() * self._batch_loss(inputs)
        return (loss, outputs) if return_outputs else loss

    def _batch_loss(self, inputs: dict[str, Any]) -> Tensor:
        """The objective of the batch of all processes. Each of them has its part of the gradient, times their number."""
        rewards_chosen, rewards_rejected, weight = self._batch
        chosen, rejected = inputs[CHOSEN_CODE].long(), inputs[REJECTED_CODE].long()
        processes = self.accelerator.num_processes
        sum_over_processes = self._sum_over_processes if processes > 1 else None
        matching = self.loss(
            torch.where(chosen < rejected, 1, -1) * (rewards_chosen - rewards_rejected),
            self._pair_table[chosen, rejected].clamp(min=0),  # human pairs are of no two models, and weigh nothing
            self._targets,
            weight=weight,
            target_variance=self._variances,
            running=self._matching.running if self.args.win_rate_ema_decay > 0 else None,
            sum_over_processes=sum_over_processes,
        )
        if matching.running is not None:
            self._matching.running = matching.running
        objective, anchor = matching.loss, None
        if self._anchor is not None:
            anchor = self._anchor(
                torch.cat([rewards_chosen, rewards_rejected]),
                torch.cat([inputs[name] for name in SCORES]),
                torch.cat([chosen, rejected]),
                len(self._pair_table),
                weight=weight.repeat(2),
                sum_over_processes=sum_over_processes,
            )
            objective = objective + self.args.anchor_coefficient * anchor.loss
        self._log.add_objective(matching, self._targets, anchor)
        return objective.detach() + processes * (objective - objective.detach())

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        return self.accelerator.reduce(values, "sum")

    # ---- Logs, evaluation ----

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            logs.update(self._log.pop())
            if self._offsets is not None:
                logs["max_source_offset"] = float(np.abs(self._offsets.offsets).max())
        super().log(logs, start_time)

    def _column_metrics(self, rewards: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, float]:
        if not np.isfinite(rewards).all():
            logger.warning("There are rewards that are not finite: no win rates of models are reported.")
            return {}
        metrics = calibration_metrics(rewards, columns, self._columns.models)
        if self.args.calibration_method == "matching" and TARGET in columns and CHOSEN_CODE in columns:
            metrics["loss"] = self._loss_of_all(rewards, columns)
        return metrics

    def _loss_of_all(self, rewards: np.ndarray, columns: dict[str, np.ndarray]) -> float:
        """The objective of an evaluation set, as one batch."""
        rewards = torch.tensor(rewards)
        codes = torch.tensor(np.stack([columns[name] for name in (CHOSEN_CODE, REJECTED_CODE)])).long()
        weight = torch.tensor(columns["weight"]) if "weight" in columns else torch.ones(len(rewards))
        forward = codes[0] < codes[1]
        target = torch.tensor(columns[TARGET])
        target = torch.where(forward, target, 1 - target)
        pairs, groups = torch.stack([codes.amin(0), codes.amax(0)]).unique(dim=1, return_inverse=True)
        num_groups = pairs.shape[1]
        targets = torch.zeros(num_groups, dtype=target.dtype).index_put((groups,), target)
        differences = torch.where(forward, 1, -1) * (rewards[:, 0] - rewards[:, 1])
        value = self.loss(differences, groups, targets, weight=weight).value
        if self._anchor is not None and all(name in columns for name in SCORES):
            frozen = torch.cat([torch.tensor(columns[name]) for name in SCORES])
            anchor = self._anchor(
                rewards.T.reshape(-1), frozen, codes.reshape(-1), len(self._columns.models), weight=weight.repeat(2)
            )
            value = value + self.args.anchor_coefficient * anchor.value
        return float(self.args.calibration_coefficient * value)

    # ---- Training, checkpoints ----

    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        if self._matching is not None and self._computes_frozen:
            checkpoint = self._choose_checkpoint(resume_from_checkpoint)
            if checkpoint is not None:
                self._matching.load(Path(checkpoint), len(self.train_dataset))
                resume_from_checkpoint = checkpoint
            if self._matching.frozen is None:
                self._matching.frozen = self._score_before_training()
            for name, values in zip(SCORES, self._matching.frozen.T, strict=True):
                self.train_dataset = set_column(self.train_dataset, name, values.astype(np.float64))
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)

    def _score_before_training(self) -> np.ndarray:
        logger.info("Scoring %d pairs before training, for the anchor.", len(self.train_dataset))
        with torch.random.fork_rng(devices=[]):  # the run is that in which the scores were given
            return self.predict(self.train_dataset, metric_key_prefix="before").predictions

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        for state, arguments in ((self._matching, (len(self.train_dataset),)), (self._offsets, ())):
            if state is not None and resume is None:
                state.reset()
            elif state is not None:
                state.load(Path(resume), *arguments)
        return super()._init_training_state(max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial)

    def _save_checkpoint(self, model, trial):
        if self._offsets is not None:
            self._offsets.collect()
        super()._save_checkpoint(model, trial)

    def _save_more(self, staged: Path) -> None:
        super()._save_more(staged)
        for state in (self._matching, self._offsets):
            if state is not None:
                state.save(staged)

    def _collect_pending_logs(self) -> dict[str, Any]:
        return super()._collect_pending_logs() | {"calibration": self._log.state()}

    def _restore_pending_logs(self) -> None:
        pending = self._pending_logs or {}
        self._log.reset()
        if "calibration" in pending:
            self._log.load_state(pending["calibration"])
        super()._restore_pending_logs()

    def create_model_card(self, model_name=None, dataset_name=None, tags=None) -> None:
        super().create_model_card(model_name, dataset_name, tags)
        if self.is_world_process_zero():
            add_calibration_section(self)


class _OffsetUpdates(TrainerCallback):
    """Update the offsets every few steps and when training ends."""

    def __init__(self, trainer: CalibrationRewardTrainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % args.source_offset_update_steps == 0:
            self.trainer._offsets.update()

    def on_train_end(self, args, state, control, **kwargs):
        self.trainer._offsets.update()


def _loss(args: CalibrationRewardConfig):
    if args.calibration_method == "matching":
        return WinRateMatchingLoss(args.temperature, args.win_rate_divergence, momentum=args.win_rate_ema_decay)
    if args.calibration_method == "soft":
        return SoftLabelLoss(args.temperature)
    return SourceOffsetLoss() if args.calibration_method == "source_offset" else BradleyTerryLoss()


def _is_human(inputs: dict[str, Any], like: Tensor) -> Tensor:
    return inputs[IS_HUMAN] > 0 if IS_HUMAN in inputs else torch.zeros_like(like, dtype=torch.bool)


def _check_shares(calibration: int, human: int, batch_size: int) -> None:
    """Raise if a batch of all processes has not at least one pair of both kinds."""
    for name, count in (("train_dataset", calibration), ("human_dataset", human)):
        share = batch_size * count / (calibration + human)
        if share < 1:
            raise ValueError(
                f"`{name}` has {count} of {calibration + human} pairs: a batch of {batch_size} has {share:.2g} of them, but "
                "every batch needs at least one of each kind. Use a larger batch, take fewer of the others, or repeat these."
            )
