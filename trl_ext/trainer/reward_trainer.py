"""TRL's reward trainer with a pairwise loss of your choice, exact reductions and exact evaluation."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import datasets
import numpy as np
import torch
from accelerate.utils import is_peft_model
from datasets import Dataset, IterableDataset
from torch import Tensor, nn
from torch.utils.data import Sampler, SequentialSampler
from transformers import PreTrainedTokenizerBase
from transformers.trainer_utils import EvalLoopOutput, PredictionOutput
from trl import RewardConfig, RewardTrainer

from ..data.loading import rename_columns
from ..data.preference import PREFERENCE_COLUMNS, validate_preferences
from ..data.tokenization import LengthReport, tokenize_preferences
from ..evaluation.accuracy.pairwise import pairwise_metrics
from ..losses import BradleyTerryLoss, GaussianRewardLoss, PairwiseLoss
from ..shared_prefix import SharedPrefixReport
from .collator import PreferenceColumnsCollator, SharedPrefixCollator
from .ema import EMACallback
from .heads import make_reward_head
from .heads.learning import DIFFERENCE_SD, LOG_ODDS, RewardHeadTrainer
from .heads.metrics import spread_metrics
from .heads.model import describe_outputs, model_with_outputs, one_output
from .lr_schedules import get_lr_schedule
from .model_card import write_model_card
from .packing import Packing, as_pairs, longer_lengths, num_pairs, num_tokens, packed_lengths
from .pair_metrics import PairMetrics
from .probability_metrics import flat_metrics, probability_figures, write_probability_log
from .resuming import ResumableTrainer
from .reward_config import PairwiseRewardConfig
from .reward_head import (
    disable_functional_dropout,
    is_fresh_head,
    keep_output_dtype_under_fsdp,
    run_head_in_float32,
    save_head_with_adapter,
    scale_reward_head,
)
from .samplers import EpochLengthGroupedSampler, repeated_rows
from .saved_paths import PortablePathsTrainer
from .token_batches import TokenBudgetBatchSampler
from .tokenizer import clones_chat_template, load_tokenizer, set_up_tokenizer


logger = logging.getLogger(__name__)

IS_REPEATED = "is_repeated"  # marks the rows of a batch that another batch of the epoch holds already


class PairwiseRewardTrainer(RewardHeadTrainer, PortablePathsTrainer, ResumableTrainer, RewardTrainer):
    """
    [`~trl.RewardTrainer`] with a choice of pairwise loss and with per-pair columns that reach it.

    Takes the same arguments and, by default, follows the same trajectory. What differs:

    - the loss is any [`~trl_ext.losses.PairwiseLoss`]; the columns it needs are validated before the model is loaded,
      and carried through the collator;
    - a `weight` column weights pairs, and the reduction is the weighted mean over the whole accumulation window, so
      that gradient accumulation, batch size and the number of processes do not change the result;
    - a batch is one packed row without padding, in which a prompt is computed once for both responses (see
      `shared_prefix` in [`PairwiseRewardConfig`]; `trainer.shared_prefix_report` says whether the model allows it);
    - rewards and loss are float32 even under bfloat16;
    - evaluation uses every pair exactly once: `predictions` has shape `(N, 2)` (chosen, rejected), in dataset order; it
      says whether σ(reward difference), of Gaussian rewards Φ(z), is a probability to believe: `eval_ece`, `eval_brier`,
      `eval_log_loss` with intervals, and those of training with the last reliability diagram in
      `calibration/training.json`;
    - the reward is read at the last token even when the tokenizer pads with its end-of-sequence token;
    - a LoRA adapter always includes the reward head;
    - the model may have several outputs: an ensemble of heads, or Gaussian rewards (see `reward_head` in
      [`PairwiseRewardConfig`]); rewards are then their combination, and evaluation reports how uncertain they are;
    - it can be killed at any moment and resumed exactly, and SIGTERM saves a checkpoint (see [`ResumableTrainer`]);
    - pairs over `max_length` are counted, and can be truncated instead of dropped.

    Args:
        model (`str` or [`~transformers.PreTrainedModel`] or [`~peft.PeftModel`]):
            As in [`~trl.RewardTrainer`].
        args ([`PairwiseRewardConfig`] or [`~trl.RewardConfig`], *optional*):
            Configuration.
        loss ([`~trl_ext.losses.PairwiseLoss`], *optional*):
            Loss per pair. Defaults to [`~trl_ext.losses.BradleyTerryLoss`].
        data_collator, train_dataset, eval_dataset, processing_class, compute_metrics, callbacks, optimizers, optimizer_cls_and_kwargs, preprocess_logits_for_metrics, quantization_config, peft_config:
            As in [`~trl.RewardTrainer`].

    Example:
        ```python
        >>> from datasets import load_dataset
        >>> from trl_ext import PairwiseRewardTrainer

        >>> trainer = PairwiseRewardTrainer(
        ...     model="Qwen/Qwen3-0.6B",
        ...     train_dataset=load_dataset("trl-lib/ultrafeedback_binarized", split="train"),
        ... )
        >>> trainer.train()
        ```
    """

    # compute_loss divides by the total weight of the accumulation window: nothing is left to divide
    loss_is_scaled_for_ga = True
    config_class: type[PairwiseRewardConfig] = PairwiseRewardConfig
    _tag_names = ["trl", "reward-trainer", "trl-ext"]
    _recorded_columns: tuple[str, ...] = ()  # of `_loss_columns`: those that evaluation keeps, for `_column_metrics`

    def __init__(
        self,
        model,
        args: RewardConfig | None = None,
        data_collator=None,
        train_dataset: Dataset | IterableDataset | None = None,
        eval_dataset: Dataset | IterableDataset | Mapping[str, Dataset | IterableDataset] | None = None,
        processing_class: PreTrainedTokenizerBase | None = None,
        compute_metrics: Callable | None = None,
        callbacks: list | None = None,
        optimizers=(None, None),
        optimizer_cls_and_kwargs=None,
        preprocess_logits_for_metrics: Callable | None = None,
        quantization_config=None,
        peft_config=None,
        loss: PairwiseLoss | None = None,
    ):
        if train_dataset is None:
            raise ValueError("`train_dataset` is required")
        name = model if isinstance(model, str) else model.config._name_or_path
        if args is None:
            args = self.config_class(f"{name.rstrip('/').split('/')[-1]}-Reward")
        args = self.config_class.from_reward_config(args)
        if args.max_tokens_per_batch is not None and isinstance(train_dataset, IterableDataset):
            raise ValueError("`max_tokens_per_batch` needs a training set with a length, not a stream")
        self.loss = BradleyTerryLoss() if loss is None else loss
        self.reward_head = make_reward_head(args)
        if self.reward_head.num_outputs > 1 and isinstance(train_dataset, IterableDataset):
            raise ValueError(f"reward_head={args.reward_head!r} needs a training set with a length, not a stream")
        self.length_reports: dict[str, LengthReport] = {}
        self.is_conversational: bool | None = None  # the layout of the training pairs
        self.training_began: str | None = None  # evidence that is older is of another model
        self._prepared: list[tuple[Dataset, Dataset, bool]] = []  # as given, as prepared, whether for training
        self._pair_records: list[Tensor] = []
        self._recorded: list[str] = []
        self._evaluated_before_training = False

        if processing_class is None:
            processing_class = load_tokenizer(name, args)
        added_pad_token = set_up_tokenizer(processing_class, args)
        if added_pad_token and (peft_config is not None or isinstance(model, nn.Module) and is_peft_model(model)):
            raise ValueError(
                "the tokenizer has no token that could pad without being mistaken for the end of a sequence. Add one "
                "(`tokenizer.add_special_tokens({'pad_token': '<|pad|>'})`), resize the embeddings of the base model, "
                "and save both before training an adapter on it."
            )
        # Prepared here, not in TRL's constructor: bad data is reported before a model is loaded. With a template that is
        # cloned from another tokenizer that must wait, as cloning changes tokenizer and model together.
        if not clones_chat_template(args):
            train_dataset = self._prepare_dataset(train_dataset, processing_class, args, "train")
            if isinstance(eval_dataset, Mapping):
                eval_dataset = {
                    key: self._prepare_dataset(dataset, processing_class, args, key)
                    for key, dataset in eval_dataset.items()
                }
            elif eval_dataset is not None:
                eval_dataset = self._prepare_dataset(eval_dataset, processing_class, args, "eval")

        model, quantization_config = model_with_outputs(model, args, self.reward_head, quantization_config)
        with one_output(model, self.reward_head):
            super().__init__(
                model=model,
                args=args,
                data_collator=data_collator,
                train_dataset=train_dataset,
                eval_dataset=eval_dataset,
                processing_class=processing_class,
                compute_metrics=compute_metrics,
                callbacks=callbacks,
                optimizers=optimizers,
                optimizer_cls_and_kwargs=optimizer_cls_and_kwargs,
                preprocess_logits_for_metrics=preprocess_logits_for_metrics,
                quantization_config=quantization_config,
                peft_config=None if peft_config is None else save_head_with_adapter(peft_config),
            )
        describe_outputs(self.model, self.reward_head)

        if added_pad_token:
            self.model.resize_token_embeddings(len(self.processing_class))
        if self.args.disable_dropout:
            disable_functional_dropout(self.model)
        if self.args.weight_scale != 1:
            if is_fresh_head(self.model):
                scale_reward_head(self.model, self.args.weight_scale, self.reward_head.num_outputs)
            else:
                logger.warning(
                    "weight_scale=%s is ignored: the reward head is already trained", self.args.weight_scale
                )
        run_head_in_float32(self.model, self.reward_head.num_outputs)
        keep_output_dtype_under_fsdp(self.accelerator)
        self._set_up_batches(data_collator)
        # The text-classification pipeline then returns the reward itself instead of its sigmoid
        self.model.config.problem_type = "regression"
        self._pair_metrics = PairMetrics(self.accelerator)
        self._ema = None
        if self.args.ema_decay > 0:
            if self.is_deepspeed_enabled or self.is_fsdp_enabled:
                raise ValueError("`ema_decay` needs whole parameters on every process: use DDP, or set ema_decay=0")
            self._ema = EMACallback(self.args.ema_decay)
            self.add_callback(self._ema)

    # ---- Batches ----

    def _set_up_batches(self, data_collator) -> None:
        self._padding_collator = PreferenceColumnsCollator(
            pad_token_id=self.processing_class.pad_token_id,
            pad_to_multiple_of=self.args.pad_to_multiple_of,
            columns=self._batch_columns,
        )
        self._packing: Packing | None = None
        self._group_by_length = self.args.train_sampling_strategy == "group_by_length"
        if data_collator is not None:
            return
        self.data_collator = self._padding_collator
        if not self.args.shared_prefix:
            return
        self._packing = Packing(self.model, self.args, self.accelerator)
        if self.shared_prefix_report.enabled:
            self.data_collator = SharedPrefixCollator(columns=self._batch_columns)
        elif self.args.train_sampling_strategy == "random" and self.args.max_tokens_per_batch is None:
            self._group_by_length = True  # not in `args`, which may serve another trainer

    @property
    def shared_prefix_report(self) -> SharedPrefixReport:
        """Whether batches are packed rows with shared prefixes, and why not if they are padded."""
        if self._packing is not None:
            return self._packing.report
        reason = "shared_prefix=False" if not self.args.shared_prefix else "a `data_collator` was given"
        return SharedPrefixReport(False, reason)

    def _ready_inputs(self, model: nn.Module, inputs: dict[str, Any]) -> dict[str, Any]:
        """The batch as the model can take it: padded after all, if its packed rows turn out to be inexact."""
        if self._packing is not None and self._packing.pending:
            self._packing.check(model)
        if "layout" not in inputs or self.shared_prefix_report.enabled:
            return inputs
        self.data_collator = self._padding_collator  # for the dataloaders to come
        return self._prepare_inputs(self._padding_collator(as_pairs(inputs)))

    # ---- Data ----

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        return (*self.loss.columns, *self.loss.optional_columns, "weight")

    @property
    def _batch_columns(self) -> tuple[str, ...]:
        return (*self._loss_columns, *self.reward_head.columns)

    def _column_ranges(self, dataset: Dataset) -> dict[str, tuple[float, float]]:
        """Numeric columns to validate in `dataset`: those the loss needs, and those it can use and that are there."""
        ranges = dict(self.loss.columns)
        for column, limits in {**self.loss.optional_columns, "weight": PREFERENCE_COLUMNS["weight"]}.items():
            if column in dataset.column_names:
                ranges[column] = limits
        return ranges

    def _prepare_columns(self, dataset: Dataset, args: PairwiseRewardConfig, dataset_name: str) -> Dataset:
        """Hook for subclasses: derive the columns of the loss from other columns. Called before validation."""
        return dataset

    def _prepare_dataset(self, dataset, processing_class, args, dataset_name):
        if isinstance(dataset, IterableDataset):
            return super()._prepare_dataset(dataset, processing_class, args, dataset_name)
        if not isinstance(dataset, Dataset):
            raise TypeError(
                f"`{dataset_name}` must be a `Dataset` or `IterableDataset`, got `{type(dataset).__name__}`"
            )
        for_training = dataset_name == "train"
        for given, prepared, was_for_training in self._prepared:
            if dataset is prepared or (dataset is given and for_training == was_for_training):
                return prepared
        given = dataset
        with args.main_process_first(local=False, desc="preparing the data"):
            dataset = self._rename_columns(dataset, args.columns or {}, dataset_name)
            dataset = self._prepare_columns(dataset, args, dataset_name)
            dataset = self.reward_head.prepare(dataset, dataset_name)
            if for_training and len(dataset) and "chosen" in dataset.column_names:
                self.is_conversational = isinstance(dataset[0]["chosen"], list)
            dataset = validate_preferences(dataset, name=dataset_name, numeric_columns=self._column_ranges(dataset))
            dataset, report = tokenize_preferences(
                dataset,
                processing_class,
                max_length=args.max_length,
                max_length_policy=args.max_length_policy,
                num_proc=args.dataset_num_proc,
                name=dataset_name,
            )
        self.length_reports[dataset_name] = report
        self._prepared.append((given, dataset, for_training))
        return dataset

    @staticmethod
    def _rename_columns(dataset: Dataset, columns: Mapping[str, str], dataset_name: str) -> Dataset:
        if dataset_name != "train":  # an evaluation set may lack columns that only training needs
            columns = {ours: theirs for ours, theirs in columns.items() if theirs in dataset.column_names}
        return rename_columns(dataset, columns, name=dataset_name)

    def _set_signature_columns_if_needed(self):
        if self._signature_columns is None:
            self._signature_columns = ["chosen_ids", "rejected_ids", *self._batch_columns]

    def _get_train_sampler(self, train_dataset=None) -> Sampler | None:
        train_dataset = self.train_dataset if train_dataset is None else train_dataset
        if self.args.max_tokens_per_batch is not None:
            return self._token_budget_sampler(train_dataset)
        if not isinstance(train_dataset, datasets.Dataset):
            return super()._get_train_sampler(train_dataset)
        if self._group_by_length:
            return EpochLengthGroupedSampler(
                self.args.train_batch_size * self.args.gradient_accumulation_steps * self.args.world_size,
                longer_lengths(train_dataset),
                self._data_seed,
            )
        if self.args.train_sampling_strategy == "batch_rebalance":
            lengths = {self.args.length_column_name: longer_lengths(train_dataset)}
            return super()._get_train_sampler(Dataset.from_dict({"index": range(len(train_dataset)), **lengths}))
        return super()._get_train_sampler(train_dataset)

    @property
    def _data_seed(self) -> int:
        return self.args.seed if self.args.data_seed is None else self.args.data_seed

    def _token_budget_sampler(self, train_dataset: Dataset) -> Sampler:
        padded = not self.shared_prefix_report.enabled
        return TokenBudgetBatchSampler(
            longer_lengths(train_dataset) if padded else packed_lengths(train_dataset),
            self.args.max_tokens_per_batch,
            padded=padded,
            num_processes=self.args.world_size,
            process_index=self.args.process_index,
            seed=self._data_seed,
        )

    def _get_eval_sampler(self, eval_dataset) -> Sampler | None:
        # In dataset order, also under group_by_length: predictions are matched to rows by position
        return SequentialSampler(eval_dataset) if self.args.world_size <= 1 else None

    # ---- Loss ----

    def compute_rewards(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, Tensor, Any]:
        """
        Run the model on the sequences of a batch, all chosen ones before all rejected ones.

        Args:
            model ([`~torch.nn.Module`]):
                The model, possibly wrapped.
            inputs (`dict[str, Any]`):
                Inputs of the model: padded rows, or a packed row.

        Returns:
            `tuple`: rewards of the chosen responses `(B,)`, of the rejected ones `(B,)`, both at least float32, and
            the output of the model.
        """
        chosen, rejected, outputs = self.compute_outputs(model, inputs)
        return self.reward_head.rewards(chosen), self.reward_head.rewards(rejected), outputs

    def compute_outputs(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, Tensor, Any]:
        """
        The same, with every output of the reward head: `(B, K)` in place of `(B,)`. With several outputs, this is the method
        to override.
        """
        outputs = model(**self._ready_inputs(model, inputs), use_cache=False)
        logits = outputs.logits.to(torch.promote_types(outputs.logits.dtype, torch.float32))
        return *logits.chunk(2), outputs

    def pairwise_loss(self, rewards_chosen: Tensor, rewards_rejected: Tensor, columns: dict[str, Tensor]) -> Tensor:
        """Return the loss of every pair `(B,)`, with the centering penalty if `center_rewards_coefficient` is set."""
        loss = self.loss(rewards_chosen, rewards_rejected, **columns)
        if self.args.center_rewards_coefficient is not None:
            loss = loss + self.args.center_rewards_coefficient * (rewards_chosen + rewards_rejected) ** 2
        return loss

    def _pair_losses(self, model: nn.Module, inputs: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor, Any]:
        """Rewards, losses and weights of the pairs of a batch, each `(B,)`, and the output of the model."""
        # bfloat16 autocast would end here anyway; a loss must not depend on it
        columns = {name: inputs[name] for name in self._loss_columns if name in inputs}
        weight = columns.pop("weight", None)
        head_columns = {name: inputs[name] for name in self.reward_head.columns if name in inputs}
        model_inputs = {k: v for k, v in inputs.items() if k not in self._batch_columns and k != IS_REPEATED}
        if self.reward_head.num_outputs == 1:  # through the method that a subclass may override
            rewards_chosen, rewards_rejected, outputs = self.compute_rewards(model, model_inputs)
            chosen, rejected = rewards_chosen.unsqueeze(-1), rewards_rejected.unsqueeze(-1)
        else:
            chosen, rejected, outputs = self.compute_outputs(model, model_inputs)
            rewards_chosen, rewards_rejected = self.reward_head.rewards(chosen), self.reward_head.rewards(rejected)
        losses = self.reward_head.losses(
            self.pairwise_loss, chosen, rejected, columns, head_columns, self.model.training
        )
        self._note_outputs(chosen, rejected)
        if losses.shape != rewards_chosen.shape:
            raise ValueError(f"{type(self.loss).__name__} returned shape {tuple(losses.shape)}, expected (B,)")
        weight = torch.ones_like(losses) if weight is None else weight.to(losses.dtype)
        if IS_REPEATED in inputs:
            weight = weight.masked_fill(inputs[IS_REPEATED], 0)
        return rewards_chosen, rewards_rejected, losses, weight, outputs

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> Tensor:
        # Total weight of the accumulation window, over all processes. transformers asks for it once per window.
        self._mark_repeated_rows(batch_samples)
        total, sums = torch.zeros((), dtype=torch.float64), None
        for batch in batch_samples:
            weight = batch.get("weight")
            weight = torch.ones(num_pairs(batch)) if weight is None else weight.cpu()
            if IS_REPEATED in batch:
                weight = weight.masked_fill(batch[IS_REPEATED].cpu(), 0)
            total += weight.sum(dtype=torch.float64)
            of_head = self.reward_head.window_sums(batch, weight)
            sums = of_head if sums is None else sums + of_head
        return self._gather_window(total, sums, device)

    def _mark_repeated_rows(self, batch_samples: list[dict[str, Any]]) -> None:
        """The last batches of an epoch repeat rows, so that every process has as many: those weigh nothing."""
        state = self.accelerator.gradient_state
        if not batch_samples or not state.end_of_dataloader or self.accelerator.num_processes == 1:
            return
        by_rows = isinstance(self.train_dataset, Dataset) and self.args.max_tokens_per_batch is None
        if not by_rows or self.args.train_sampling_strategy == "batch_rebalance" or self.args.dataloader_drop_last:
            return
        batch = batch_samples[-1]
        shards = 1 if self.accelerator.split_batches else self.accelerator.num_processes
        repeated = repeated_rows(
            len(self.train_dataset),
            self._train_batch_size * shards,
            num_pairs(batch),
            self.accelerator.process_index,
        )
        if repeated is not None:
            batch[IS_REPEATED] = repeated.to(batch["input_ids"].device)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        rewards_chosen, rewards_rejected, losses, weight, outputs = self._pair_losses(model, inputs)
        if num_items_in_batch is not None and self.model.training:
            # Gradients are averaged over processes, so that each contributes its sum times their number
            total, scale = num_items_in_batch, self.accelerator.num_processes
        else:
            total, scale = weight.sum(), 1
        # A window in which every weight is zero has loss 0, not 0/0
        loss = (weight * losses).sum() * scale / torch.clamp(total, min=torch.finfo(losses.dtype).tiny)
        if self.model.training:
            self._pair_metrics.add(
                rewards_chosen, rewards_rejected, *num_tokens(inputs), is_repeated=inputs.get(IS_REPEATED)
            )
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # not with an evaluation, nor with the summary at the end
            logs.update(self._pair_metrics.pop())
        super().log(logs, start_time)

    # ---- Evaluation ----

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            rewards_chosen, rewards_rejected, losses, weight, _ = self._pair_losses(model, inputs)
        self._recorded = [name for name in self._recorded_columns if name in inputs]
        recorded = [inputs[name].to(losses.dtype) for name in self._recorded]
        if self._spread is not None:
            self._recorded += [DIFFERENCE_SD, LOG_ODDS]
            recorded += [self._spread.to(losses.dtype), self._log_odds.to(losses.dtype)]
        record = torch.stack([rewards_chosen, rewards_rejected, losses, weight, *recorded], dim=1).detach()
        self._pair_records.append(self.accelerator.gather_for_metrics(record).cpu())
        loss = (weight * losses).sum() / torch.clamp(weight.sum(), min=torch.finfo(losses.dtype).tiny)
        if prediction_loss_only:
            return loss, None, None
        return loss, record[:, :2].contiguous(), torch.ones_like(rewards_chosen)

    def evaluation_loop(
        self, dataloader, description, prediction_loss_only=None, ignore_keys=None, metric_key_prefix="eval"
    ) -> EvalLoopOutput:
        self._pair_records = []
        self._evaluated_before_training |= not self.is_in_train and self.state.global_step == 0
        averaged = self._ema.average.applied() if self._ema is not None and self.is_in_train else nullcontext()
        with averaged:
            output = super().evaluation_loop(
                dataloader, description, prediction_loss_only, ignore_keys, metric_key_prefix
            )
        records = torch.cat(self._pair_records).double().numpy()
        self._pair_records = []
        rewards, losses, weight = records[:, :2], records[:, 2], records[:, 3]
        columns = dict(zip(self._recorded, records[:, 4:].T, strict=True))
        log_odds = columns.get(LOG_ODDS, rewards[:, 0] - rewards[:, 1])
        probabilities = probability_figures(log_odds, columns.get("label"))
        metrics = {
            "loss": float(np.average(losses, weights=weight)) if weight.any() else 0.0,
            "min_reward": float(rewards.min()),
            "mean_reward": float(rewards.mean()),
            "max_reward": float(rewards.max()),
            **pairwise_metrics(rewards),
            **flat_metrics(probabilities),
            **self._column_metrics(rewards, columns),
            **(spread_metrics(rewards, columns[DIFFERENCE_SD]) if DIFFERENCE_SD in columns else {}),
        }
        output.metrics.update({f"{metric_key_prefix}_{key}": value for key, value in metrics.items()})
        if self.is_in_train and probabilities and self.is_world_process_zero():
            write_probability_log(
                self.args.output_dir,
                probabilities,
                log_odds,
                columns.get("label"),
                step=self.state.global_step,
                prefix=metric_key_prefix,
                log_history=self.state.log_history,
            )
        return output

    def _column_metrics(self, rewards: np.ndarray, columns: dict[str, np.ndarray]) -> dict[str, float]:
        """
        Hook for subclasses: metrics of the rewards `(N, 2)` of an evaluation set and of those of `_recorded_columns` that
        it has, each `(N,)`, in dataset order.
        """
        return {}

    def predict(self, test_dataset, ignore_keys=None, metric_key_prefix="test") -> PredictionOutput:
        """As in [`~transformers.Trainer`], also on a raw dataset. `predictions` are rewards `(N, 2)` in dataset order."""
        test_dataset = self._prepare_dataset(test_dataset, self.processing_class, self.args, "test")
        return super().predict(test_dataset, ignore_keys, metric_key_prefix)

    def predict_pairs(self, dataset: Dataset) -> Dataset:
        """
        Score every pair of a dataset.

        Args:
            dataset ([`~datasets.Dataset`]):
                Preference data, raw or tokenised.

        Returns:
            [`~datasets.Dataset`]: The rows that were scored, with every column that is not token ids (`id` among them),
            plus `reward_chosen` and `reward_rejected`.
        """
        dataset = self._prepare_dataset(dataset, self.processing_class, self.args, "test")
        rewards = self.predict(dataset).predictions
        table = dataset.remove_columns(["chosen_ids", "rejected_ids"])
        return table.add_column("reward_chosen", rewards[:, 0]).add_column("reward_rejected", rewards[:, 1])

    # ---- Optimisation, checkpoints ----

    def train(self, resume_from_checkpoint=None, trial=None, ignore_keys_for_eval=None):
        if self._evaluated_before_training and (self.is_deepspeed_enabled or self.is_fsdp_enabled):
            raise RuntimeError(
                "this trainer has evaluated, which has prepared its model for inference only: under DeepSpeed and FSDP it "
                "can't be trained afterwards. Train first, or evaluate with a trainer of its own."
            )
        # An evaluation before training leaves the model marked as prepared but without DistributedDataParallel around
        # it: accelerate would not wrap it again, and the processes would train apart, without any message.
        if self.accelerator.distributed_type.startswith("MULTI_") and self.model_wrapped is self.model:
            self.accelerator.unwrap_model(self.model, keep_fp32_wrapper=False)
            self.model._is_accelerate_prepared = False
        self.training_began = datetime.now(UTC).isoformat()
        return super().train(resume_from_checkpoint, trial, ignore_keys_for_eval)

    def create_scheduler(self, num_training_steps: int, optimizer=None):
        if self.lr_scheduler is None and self.args.lr_schedule is not None:
            self.lr_scheduler = get_lr_schedule(
                self.args.lr_schedule,
                self.optimizer if optimizer is None else optimizer,
                self.args.get_warmup_steps(num_training_steps),
                num_training_steps,
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def create_model_card(self, model_name=None, dataset_name=None, tags=None) -> None:
        if self.is_world_process_zero():
            write_model_card(self, model_name=model_name, dataset_name=dataset_name, tags=tags)

    def card_losses(self) -> list[Any]:
        """What was minimised, for the model card: objects with `citation` and `get_config_dict()`."""
        if self.args.reward_head == "gaussian" and type(self.loss) is BradleyTerryLoss:
            return [GaussianRewardLoss()]  # what Bradley-Terry's loss is of Gaussian rewards
        return [self.loss]

    def card_citations(self) -> list[str]:
        """BibTeX for the model card, beside that of the losses."""
        return [GaussianRewardLoss().citation] if self.args.reward_head == "gaussian" else []

    def card_paper(self) -> dict[str, str]:
        """Title and address of the paper whose method this is, for the model card; empty if it is no paper's."""
        return dict(self._paper)

    def card_tables(self) -> dict[str, dict[str, Any]]:
        """What else the model card says: titles of sections, each with rows of names and values."""
        return {}

    # ---- Hub ----

    def push_to_hub(
        self, commit_message="End of training", blocking=True, token=None, revision=None, private=None, **kwargs
    ):
        """As in [`~transformers.Trainer`], through [`~trl_ext.hub.push_reward_model`]: one commit, no pickles, compared."""
        from ..hub.from_trainer import push_trainer  # the hub knows the trainer, not the other way round

        return push_trainer(self, commit_message, blocking, token, revision, private, **kwargs)
