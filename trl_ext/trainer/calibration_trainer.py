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
from ..data.loading import set_column
from ..losses import (
    BradleyTerryLoss,
    RewardScale,
    SoftLabelLoss,
    SourceOffsetLoss,
    WinRateMatchingLoss,
    WithinSourceAnchorLoss,
)
from .calibration_card import calibration_rows
from .calibration_columns import (
    CALIBRATION_COLUMNS,
    CHOSEN_CODE,
    HUMAN_DATASET,
    IS_HUMAN,
    LABEL_TEMPERATURE,
    REJECTED_CODE,
    SCORES,
    TARGET,
    CalibrationColumns,
    ModelPairs,
    with_human_pairs,
)
from .calibration_config import CalibrationRewardConfig
from .calibration_metrics import CalibrationLog, calibration_metrics
from .calibration_objective import MatchingObjective
from .calibration_offsets import SourceOffsetState
from .calibration_sampler import HUMAN, ModelPairSampler
from .calibration_scores import rows_to_compare, warn_of_other_scores
from .calibration_state import MatchingState
from .calibration_window import OriginWeights, pair_weights
from .packing import num_pairs
from .reward_trainer import IS_REPEATED, PairwiseRewardTrainer


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
    | `"soft"` | cross-entropy of \( \sigma(z/T) \) with `label` | `label`; `label_temperature` T of each, else 1 |
    | `"matching"` | [`~trl_ext.losses.WinRateMatchingLoss`] + λ [`~trl_ext.losses.WithinSourceAnchorLoss`] | `source_chosen`, `source_rejected`, `target_win_rate` or `ratings`; `score_chosen`, `score_rejected` |
    | `"source_offset"` | cross-entropy of \( \sigma(z + b_c - b_r) \) with `label` | `source_chosen`, `source_rejected`; `label`, else 1 |

    with \( z = r_c - r_r \). `target_win_rate` is the probability that the source of chosen beats that of rejected, and
    `score_*` are rewards of the model before training (computed where they are missing). `weight` weights pairs.

    The defaults of `"matching"` do not depend on the unit of the rewards. With v the variance of the reward differences
    before training, pooled within the pairs of models, \( T = \sqrt v / 4 \) and λ = `anchor_coefficient` / v: a model whose
    rewards are k times as large has the same objective, and a gradient with respect to its rewards that is divided by k.
    v is found once, and kept in checkpoints.

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
        temperature (`float`, *optional*):
            Reward difference that counts as one logit, with `"soft"` and `"matching"`. `None` where the labels have several,
            and before the rewards before training are known.
        anchor_weight (`float`, *optional*):
            Weight λ of the anchor, in 1 / reward², with `"matching"`.
        frozen_sd (`float`, *optional*):
            Standard deviation √v of the reward differences before training, with `"matching"`, where it is needed.

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
        self._given_scale: RewardScale | None = None
        self._compares_scores = False
        self._objective: MatchingObjective | None = None
        super().__init__(model, args, loss=_loss(args), **kwargs)
        self._log = CalibrationLog(self.accelerator)
        self._matching: MatchingState | None = None
        self._offsets: SourceOffsetState | None = None
        if args.calibration_method == "matching":
            self._set_up_matching()
        elif args.calibration_method == "source_offset":
            self._set_up_offsets()

    def _set_up_matching(self) -> None:
        self._computes_frozen = _needs_frozen(self.args) and SCORES[0] not in self.train_dataset.column_names
        if self._computes_frozen and (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            raise ValueError(
                f"the training set has no {SCORES[0]!r} and {SCORES[1]!r}, and under DeepSpeed and FSDP they can't be "
                "computed before training: score the responses with RewardScorer first, or set `temperature` and "
                "anchor_coefficient=0"
            )
        self._matching = MatchingState(len(self.model_pairs), self.accelerator.device)
        if not self._computes_frozen:
            self._set_scale(self._given_scale)
            self._compares_scores = self._given_scale is not None

    def _set_scale(self, scale: RewardScale | None) -> None:
        """Make the objective for rewards of this scale; `None` where it needs none."""
        args = self.args
        temperature = scale.temperature if args.temperature is None else args.temperature
        anchor_weight = scale.anchor_weight(args.anchor_coefficient) if args.anchor_coefficient > 0 else 0.0
        is_known = (temperature, anchor_weight) == (self.temperature, self.anchor_weight)
        self._matching.scale = scale
        self.loss = WinRateMatchingLoss(temperature, args.win_rate_divergence, momentum=args.win_rate_ema_decay)
        self._objective = MatchingObjective(self.loss, anchor_weight, self.model_pairs, self.accelerator)
        if scale is None or is_known:
            return
        logger.info(
            "Reward differences of two models have a standard deviation of %.4g before training: the temperature is %.4g, the "
            "weight of the anchor %.4g / reward².", scale.sd, temperature, anchor_weight,
        )  # fmt: skip
        if temperature > scale.sd:
            logger.warning(
                "temperature=%.4g is above the standard deviation %.4g of the reward differences: the soft win rate is not the "
                "share of pairs won. Leave `temperature` out to have a quarter of it.", temperature, scale.sd,
            )  # fmt: skip

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
    def temperature(self) -> float | None:
        """Reward difference that counts as one logit, of `"soft"` and `"matching"`, if there is one and it is known."""
        if self.args.calibration_method == "soft":
            low, high = self._columns.label_temperatures
            return low if low == high else None
        return self.args.temperature if self._objective is None else self.loss.temperature

    @property
    def anchor_weight(self) -> float | None:
        """Weight of the anchor of `"matching"` in 1 / reward², if it is known."""
        return None if self._objective is None else self._objective.anchor_weight

    @property
    def frozen_sd(self) -> float | None:
        """Standard deviation of the reward differences before training, of `"matching"`, if it is needed and known."""
        return None if self._matching is None or self._matching.scale is None else self._matching.scale.sd

    @property
    def source_offsets(self) -> dict[str, float]:
        """With `"source_offset"`: what labels say for each source model beyond the rewards, in units of reward; zero-sum."""
        if self._offsets is None:
            raise ValueError(f"calibration_method={self.args.calibration_method!r} has no source offsets")
        return dict(zip(self._offset_models, self._offsets.offsets.tolist(), strict=True))

    # ---- Data ----

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        return (
            "label",
            LABEL_TEMPERATURE,
            "weight",
            IS_HUMAN,
            CHOSEN_CODE,
            REJECTED_CODE,
            TARGET,
            *SCORES,
            PAIR_INDEX,
        )

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
            self.model_pairs.check_sizes(batch_size, args)
            if _needs_frozen(args) and SCORES[0] in prepared.column_names:
                self._given_scale = self.model_pairs.frozen_scale(prepared)
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
            # T of the label itself: its cross-entropy is least where z is the difference that it was made from
            temperature = columns.get(LABEL_TEMPERATURE, self.loss.temperature)
            losses = SoftLabelLoss()(rewards_chosen / temperature, rewards_rejected / temperature, label=label)
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
            weights = [pair_weights(batch, num_pairs(batch), batch.get(IS_REPEATED)) for batch in batch_samples]
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
        """The objective of the batch of all processes, for which gradients are averaged over them."""
        running = self._matching.running if self.args.win_rate_ema_decay > 0 else None
        loss, matching, anchor = self._objective.of_batch(*self._batch, inputs, running)
        if running is not None:
            self._matching.running = matching.running
        self._log.add_objective(matching, self._objective.targets, anchor)
        return loss

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
            known = self._objective is not None  # not in a prediction before training
            value = self._objective.of_set(rewards, columns, len(self._columns.models)) if known else np.nan
            metrics["loss"] = self.args.calibration_coefficient * value
        return metrics

    def evaluate(self, eval_dataset=None, ignore_keys=None, metric_key_prefix="eval") -> dict[str, float]:
        if self._matching is not None and self._objective is None:
            self._use_frozen_rewards()
        return super().evaluate(eval_dataset, ignore_keys, metric_key_prefix)

    # ---- Training, checkpoints ----

    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        if self._matching is not None and self._computes_frozen:
            checkpoint = self._choose_checkpoint(resume_from_checkpoint)
            if checkpoint is not None:
                self._matching.load(Path(checkpoint), len(self.train_dataset))
                resume_from_checkpoint = checkpoint
            self._use_frozen_rewards()
        if self._compares_scores:
            resume_from_checkpoint = self._choose_checkpoint(resume_from_checkpoint)
            if resume_from_checkpoint is None:
                self._compare_scores()
            self._compares_scores = False  # from now on it is another model
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)

    def _use_frozen_rewards(self) -> None:
        """Take the rewards before training from the state, or else from the model as it is now."""
        state = self._matching
        if state.frozen is None:
            state.frozen = self._score_before_training()
        for name, values in zip(SCORES, state.frozen.T, strict=True):
            self.train_dataset = set_column(self.train_dataset, name, values.astype(np.float64))
        self._set_scale(self.model_pairs.frozen_scale(self.train_dataset) if state.scale is None else state.scale)

    def _score_before_training(self) -> np.ndarray:
        logger.info("Scoring %d pairs before training, for temperature and anchor.", len(self.train_dataset))
        with torch.random.fork_rng(devices=[]):  # the run is that in which the scores were given
            return self.predict(self.train_dataset, metric_key_prefix="before").predictions

    def _compare_scores(self) -> None:
        """Warn if the training set's scores are not the rewards of the model as it is now."""
        if self.is_deepspeed_enabled or self.is_fsdp_enabled:
            logger.info("Whether the scores are rewards of this model is not checked under DeepSpeed and FSDP.")
            return
        rows = self.train_dataset.select(rows_to_compare(self.model_pairs.groups))
        self._prepared.append((rows, rows, False))
        try:
            with torch.random.fork_rng(devices=[]):
                rewards = self.predict(rows, metric_key_prefix="before").predictions
        finally:
            self._prepared.pop()
        scores = np.stack([np.asarray(rows[name], dtype=np.float64) for name in SCORES], axis=1)
        warn_of_other_scores(rewards, scores, self._given_scale.sd)

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        for state, arguments in ((self._matching, (len(self.train_dataset),)), (self._offsets, ())):
            if state is not None and resume is None:
                state.reset()
            elif state is not None:
                state.load(Path(resume), *arguments)
                if state is self._matching:
                    self._set_scale(state.scale)
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

    def card_paper(self) -> dict[str, str]:
        return super().card_paper() if self.args.calibration_method == "hard" else {}

    def card_losses(self) -> list[Any]:
        anchored = self.args.calibration_method == "matching" and self.args.anchor_coefficient > 0
        return [self.loss, *([WithinSourceAnchorLoss()] if anchored else [])]

    def card_tables(self) -> dict[str, dict[str, Any]]:
        return super().card_tables() | {"Calibration to win rates": calibration_rows(self)}


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
        return WinRateMatchingLoss()  # until the scale of the rewards is known
    if args.calibration_method == "soft":
        return SoftLabelLoss(args.temperature or 1.0)
    return SourceOffsetLoss() if args.calibration_method == "source_offset" else BradleyTerryLoss()


def _needs_frozen(args: CalibrationRewardConfig) -> bool:
    """Whether win-rate matching needs the rewards before training."""
    return args.temperature is None or args.anchor_coefficient > 0


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
