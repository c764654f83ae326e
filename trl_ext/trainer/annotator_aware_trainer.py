"""A reward model and the commitment of its annotators, learned together."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, IterableDataset
from numpy.typing import ArrayLike
from torch import Tensor
from transformers import TrainerCallback

from ..data.loading import set_column
from ..data.preference import is_tokenized, validate_preferences
from ..losses import BradleyTerryLoss, CommitmentLoss
from ..reliability.commitment import CommitmentEstimate, annotator_codes, estimate_commitment
from .annotator_aware_config import AnnotatorAwareRewardConfig
from .annotator_state import AnnotatorState
from .card_tables import annotator_rows
from .reward_trainer import IS_REPEATED, PairwiseRewardTrainer


logger = logging.getLogger(__name__)

ANNOTATOR_CODE, PAIR_INDEX, LENGTH_DIFFERENCE = "annotator_code", "pair_index", "length_difference"
ANNOTATORS_TABLE = "annotators.csv"
_MOST_PAIRS = 2**24  # columns of a batch are float32, which holds integers exactly up to here


class AnnotatorAwareRewardTrainer(PairwiseRewardTrainer):
    r"""
    Train a reward model and, from the same labels, learn how far to believe each annotator.

    The likelihood of a label is \( q_a\,\sigma(x) + (1-q_a)\,\sigma(-x) \) with \( q_a = (1+\eta_a)/2 \) and
    \( x = r_c - r_r \) (of Gaussian rewards \( \log\Phi(z) - \log\Phi(-z) \)), plus \( b_a \ell \) for a length bias ([`~trl_ext.losses.CommitmentLoss`]). The model follows its
    gradient. Every `eta_update_steps` steps η is set to the mode of its posterior, given the latest reward difference of
    every pair seen so far. It is kept in checkpoints, never in the saved model.

    η of the run is for training: from differences that its own labels have shaped, it is too high, the more so the more
    flexible the model and the more epochs. To report on annotators, pass held-out differences to
    [`~AnnotatorAwareRewardTrainer.annotator_report`], which [`cross_fit_differences`] computes.

    Evaluation sets with a column `annotator_id` are evaluated with the likelihood above (annotators who have no training
    pair count with `eta_init`), others with Bradley–Terry. A `weight` weights the model's loss, not the estimate of η.

    References:
        - How Humans Help LLMs, section 3: the annotator model.
        - Raykar et al., Learning From Crowds, JMLR 2010: classifier and annotators by expectation–maximisation.

    Args:
        args ([`AnnotatorAwareRewardConfig`]):
            Configuration.
        commitment (`Mapping`, *optional*):
            η by annotator id, to start from instead of `eta_init`, for every annotator of the training set. With
            `eta_update_steps=0` these values are kept: the second stage after cross-fitting.
        *args, **kwargs:
            As in [`PairwiseRewardTrainer`], except `loss`. The training set has a column `annotator_id` (str or int).

    Example:
        ```python
        >>> from trl_ext import AnnotatorAwareRewardConfig, AnnotatorAwareRewardTrainer

        >>> trainer = AnnotatorAwareRewardTrainer(
        ...     model="Qwen/Qwen3-0.6B",
        ...     args=AnnotatorAwareRewardConfig("my-reward-model"),
        ...     train_dataset=dataset,  # prompt, chosen, rejected, annotator_id
        ... )
        >>> trainer.train()
        >>> trainer.save_model()  # the model, and annotators.csv beside it
        ```
    """

    config_class = AnnotatorAwareRewardConfig
    _name = "Annotator-aware reward"
    _paper = {
        "title": "How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators",
        "url": "https://arxiv.org/abs/2502.06387",
    }

    def __init__(
        self,
        model,
        args: AnnotatorAwareRewardConfig | None = None,
        commitment: Mapping[str | int, float] | None = None,
        **kwargs,
    ):
        if "loss" in kwargs:
            raise TypeError("the loss is CommitmentLoss; use PairwiseRewardTrainer for a loss of your own")
        if isinstance(kwargs.get("train_dataset"), IterableDataset):
            raise TypeError("the pairs of every annotator are looked at together: they cannot be streamed")
        self.annotator_ids: list[str | int] = []
        self._train_lengths: np.ndarray | None = None
        self._length_sd = 1.0
        super().__init__(model, args, loss=CommitmentLoss(), **kwargs)
        if commitment is None:
            eta = np.full(len(self.annotator_ids), self.args.eta_init)
        else:
            eta = _given_commitment(commitment, self.annotator_ids)
        self.annotators = AnnotatorState(
            self._train_codes,
            len(self.annotator_ids),
            self._train_lengths,
            eta,
            self.args.eta_prior,
            self.args.length_bias_sd,
            self.accelerator,
        )
        self.add_callback(_CommitmentUpdates(self))

    # ---- Data ----

    @property
    def length_sd(self) -> float:
        """Standard deviation of the log ratios of lengths over the training set: the unit of length differences."""
        return self._length_sd

    @property
    def _loss_columns(self) -> tuple[str, ...]:
        return (ANNOTATOR_CODE, PAIR_INDEX, LENGTH_DIFFERENCE, "weight")

    def _column_ranges(self, dataset: Dataset) -> dict[str, tuple[float, float]]:
        ranges = super()._column_ranges(dataset)
        return {column: limits for column, limits in ranges.items() if column == "weight"}

    def _prepare_columns(self, dataset: Dataset, args: AnnotatorAwareRewardConfig, dataset_name: str) -> Dataset:
        is_train = dataset_name == "train"
        if not is_train and "annotator_id" not in dataset.column_names:
            logger.info("%s has no 'annotator_id' column: evaluated with the Bradley–Terry loss", dataset_name)
            return dataset
        validate_preferences(dataset, name=dataset_name, required_columns=("annotator_id",))
        codes, ids = annotator_codes(dataset["annotator_id"])
        if is_train:
            if len(dataset) > _MOST_PAIRS:
                raise ValueError(f"the training set has {len(dataset)} pairs; at most {_MOST_PAIRS} can be told apart")
            self._train_codes, self.annotator_ids = codes, ids
            dataset = set_column(dataset, PAIR_INDEX, np.arange(len(dataset)))
        else:
            known = {annotator: code for code, annotator in enumerate(self.annotator_ids)}
            codes = np.array([known.get(annotator, -1) for annotator in ids])[codes]
            if (codes < 0).any():
                logger.warning(
                    "%s: %d of %d pairs are of annotators without training pairs, who count with eta=%s",
                    dataset_name, (codes < 0).sum(), len(codes), args.eta_init,
                )  # fmt: skip
        dataset = set_column(dataset, ANNOTATOR_CODE, codes)
        if args.length_bias_sd is None:
            return dataset
        lengths = _log_length_ratios(dataset)
        if is_train:
            self._length_sd = float(lengths.std())
            if self._length_sd == 0:
                raise ValueError(
                    "`length_bias_sd` is set, but chosen and rejected differ in length equally in every pair"
                )
            self._train_lengths = lengths / self._length_sd
        return set_column(dataset, LENGTH_DIFFERENCE, lengths / self._length_sd)

    # ---- Loss ----

    def pairwise_loss(self, rewards_chosen: Tensor, rewards_rejected: Tensor, columns: dict[str, Tensor]) -> Tensor:
        if ANNOTATOR_CODE not in columns:  # an evaluation set: the training set has it
            return BradleyTerryLoss()(rewards_chosen, rewards_rejected)
        codes = columns[ANNOTATOR_CODE]
        eta, bias = self.annotators.of(codes.clamp(min=0))
        unknown = codes < 0
        likelihood_columns = {"eta": torch.where(unknown, self.args.eta_init, eta)}
        if LENGTH_DIFFERENCE in columns:
            likelihood_columns["offset"] = torch.where(unknown, 0.0, bias) * columns[LENGTH_DIFFERENCE]
        return super().pairwise_loss(rewards_chosen, rewards_rejected, likelihood_columns)

    def _pair_losses(self, model, inputs: dict[str, Any]):
        found = super()._pair_losses(model, inputs)
        if self.model.training and self.args.eta_update_steps:
            pairs, differences = inputs[PAIR_INDEX], self._log_odds
            if IS_REPEATED in inputs:
                pairs, differences = pairs[~inputs[IS_REPEATED]], differences[~inputs[IS_REPEATED]]
            self.annotators.record(self.state.global_step, pairs, differences)
        return found

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            eta = self.annotators.eta
            logs.update(eta_mean=float(eta.mean()), eta_min=float(eta.min()), eta_max=float(eta.max()))
        super().log(logs, start_time)

    # ---- Checkpoints ----

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        if resume is None:
            self.annotators.reset()
        else:
            self.annotators.load(Path(resume))
        return super()._init_training_state(max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial)

    def _save_checkpoint(self, model, trial):
        self.annotators.collect()
        super()._save_checkpoint(model, trial)

    def _save_more(self, staged: Path) -> None:
        super()._save_more(staged)
        self.annotators.save(staged)

    # ---- Results ----

    def annotator_report(
        self,
        differences: ArrayLike | None = None,
        annotators: ArrayLike | None = None,
        *,
        length_differences: ArrayLike | None = None,
        level: float = 0.95,
        alpha: float = 0.05,
    ) -> CommitmentEstimate:
        """
        Commitment of every annotator, with intervals and tests.

        Args:
            differences (`array_like` of shape `(N,)`, *optional*):
                Held-out reward differences, chosen minus rejected, e.g. of [`cross_fit_differences`]. If not given, the
                differences of this training are used: η then is too high and its intervals too narrow, which `method`
                says.
            annotators (`array_like` of shape `(N,)`, *optional*):
                Who labelled each pair. Needed with `differences`.
            length_differences (`array_like` of shape `(N,)`, *optional*):
                Log ratio of the lengths of both responses over its standard deviation, the column `length_difference` of
                [`cross_fit_differences`]. Needed with `differences` if `length_bias_sd` is set, else η would absorb the
                length bias.
            level (`float`, *optional*, defaults to `0.95`):
                Confidence level of the intervals.
            alpha (`float`, *optional*, defaults to `0.05`):
                Family-wise level of the tests.

        Returns:
            [`~trl_ext.reliability.CommitmentEstimate`]: its `table` has a row per annotator.

        Raises:
            `ValueError`: Only some of the columns that belong together, or no differences before training.
        """
        if (differences is None) != (annotators is None):
            raise ValueError("`differences` and `annotators` belong together: give both or neither")
        if differences is None and length_differences is not None:
            raise ValueError("`length_differences` without `differences`: give both or neither")
        settings = {"prior": self.args.eta_prior, "level": level, "alpha": alpha}
        if differences is not None:
            length_bias_sd = self.args.length_bias_sd
            if (length_differences is None) != (length_bias_sd is None):
                raise ValueError(
                    f"`length_bias_sd` is {length_bias_sd}, but `length_differences` were "
                    f"{'not ' if length_differences is None else ''}given: with a length bias pass the column "
                    "`length_difference` of `cross_fit_differences`, or η absorbs the bias; without, leave it out"
                )
            return estimate_commitment(
                differences,
                annotators,
                length_differences=length_differences,
                length_bias_sd=length_bias_sd,
                **settings,
            )
        seen = np.flatnonzero(np.isfinite(self.annotators.latest))
        if len(seen) == 0:
            raise ValueError("there are no reward differences yet: train first, or pass `differences`")
        lengths = {}
        if self._train_lengths is not None:
            lengths = {"length_differences": self._train_lengths[seen], "length_bias_sd": self.args.length_bias_sd}
        ids = [self.annotator_ids[code] for code in self.annotators.codes[seen]]
        found = estimate_commitment(self.annotators.latest[seen], ids, **settings, **lengths)
        method = f"in-sample differences, which bias eta upwards and narrow its intervals; {found.method}"
        return CommitmentEstimate(**(vars(found) | {"method": method}))

    def card_tables(self) -> dict[str, dict[str, Any]]:
        return super().card_tables() | {"Reliability of the labels": annotator_rows(self)}

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in [`~transformers.Trainer`]; after training `annotators.csv` is written beside the model (never pushed)."""
        super().save_model(output_dir, _internal_call)
        is_trained = np.isfinite(self.annotators.latest).any()
        if self.args.should_save and is_trained and not _internal_call:
            path = Path(output_dir or self.args.output_dir, ANNOTATORS_TABLE)
            temporary = path.with_name(f".{path.name}.tmp")
            report = self.annotator_report()
            report.table.assign(method=report.method).to_csv(temporary, index=False)
            os.replace(temporary, path)


class _CommitmentUpdates(TrainerCallback):
    """Update η every few steps and when training ends."""

    def __init__(self, trainer: AnnotatorAwareRewardTrainer):
        self.trainer = trainer

    def on_step_end(self, args, state, control, **kwargs):
        if args.eta_update_steps and state.global_step % args.eta_update_steps == 0:
            self.trainer.annotators.update()

    def on_train_end(self, args, state, control, **kwargs):
        if args.eta_update_steps:
            self.trainer.annotators.update()


def _given_commitment(commitment: Mapping[str | int, float], ids: list[str | int]) -> np.ndarray:
    missing = [annotator for annotator in ids if annotator not in commitment]
    if missing:
        raise ValueError(f"`commitment` lacks {len(missing)} of {len(ids)} annotators; first: {missing[0]!r}")
    eta = np.array([commitment[annotator] for annotator in ids], dtype=np.float64)
    bad = np.flatnonzero(~((eta >= -1) & (eta <= 1)))
    if bad.size:
        raise ValueError(
            f"`commitment` has {bad.size} values outside [-1, 1]; first: annotator {ids[bad[0]]!r}, value {eta[bad[0]]}"
        )
    return eta


def _log_length_ratios(dataset: Dataset) -> np.ndarray:
    """Log of the length of chosen over that of rejected, in tokens if there are any yet, else in characters."""
    suffix = "_ids" if is_tokenized(dataset) else ""
    chosen, rejected = (
        np.array([_length(value) for value in dataset[f"{name}{suffix}"]]) for name in ("chosen", "rejected")
    )
    return np.log(chosen) - np.log(rejected)


def _length(value: str | list) -> int:
    if value and isinstance(value, list) and isinstance(value[0], dict):
        return sum(len(str(message["content"])) for message in value)
    return len(value)
