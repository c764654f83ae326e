"""Training of the TRUE model's classifier by the stock trainer of transformers."""

import logging
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor
from transformers import DataCollatorWithPadding, EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import ModelOutput

from ...trainer.last_step import EndsAtLastStep
from .comparisons import Comparisons
from .value_head import ValueHeadScorer


logger = logging.getLogger(__name__)


def binary_cross_entropy(
    outputs: ModelOutput, labels: Tensor, num_items_in_batch: Tensor | int | None = None
) -> Tensor:
    """
    Binary cross-entropy of logits (B, 1) and labels (B,), for `compute_loss_func` of the trainer.

    Divided by the number of rows in the whole accumulation window, not in the batch: the trainer divides no more then,
    and the gradient does not depend on how rows are cut into batches.
    """
    logits = outputs.logits.float().squeeze(-1)
    if logits.shape != labels.shape:
        raise ValueError(f"logits and labels must both have shape (B,), got {logits.shape} and {labels.shape}")
    total = F.binary_cross_entropy_with_logits(logits, labels.float(), reduction="sum")
    return total / (len(labels) if num_items_in_batch is None else num_items_in_batch)


def value_head_trainer(
    scorer: ValueHeadScorer,
    train: Comparisons,
    args: TrainingArguments,
    *,
    selection: Comparisons | None = None,
    repeated_orders: bool = True,
    patience: int | None = None,
    peft_config=None,
    callbacks: Sequence[TrainerCallback] = (),
) -> Trainer:
    """See [`train_value_head`]; returns the trainer before training."""
    order = (lambda c: c.both_orders()) if repeated_orders else (lambda c: c.random_orders(args.seed))
    model = scorer.model
    if peft_config is not None:
        from peft import get_peft_model

        model = get_peft_model(model, peft_config)
    callbacks = list(callbacks)
    if patience is not None:
        if selection is None:
            raise ValueError("patience needs selection: comparisons on which the loss is watched")
        callbacks.append(EarlyStoppingCallback(patience))
    return EndsAtLastStep(
        model=model,
        args=args,
        train_dataset=_training_rows(scorer, order(train)),
        eval_dataset=None if selection is None else _training_rows(scorer, selection.both_orders()),
        data_collator=DataCollatorWithPadding(scorer.tokenizer),
        compute_loss_func=binary_cross_entropy,
        callbacks=callbacks,
    )


def train_value_head(
    scorer: ValueHeadScorer,
    train: Comparisons,
    args: TrainingArguments,
    *,
    resume_from_checkpoint: str | None = None,
    **options,
) -> Trainer:
    r"""
    Trains the classifier in place: minimises the binary cross-entropy of P(annotator correct).

    Args:
        scorer ([`ValueHeadScorer`]):
            Classifier from [`ValueHeadScorer.from_pretrained`].
        train ([`Comparisons`]):
            Comparisons with labels.
        args ([`~transformers.TrainingArguments`]):
            Any. With `load_best_model_at_end=True` and `selection`, the best epoch is kept.
        selection ([`Comparisons`], *optional*):
            Comparisons on which the loss is evaluated during training. Neither those on which the model is calibrated nor
            those on which it is reported.
        repeated_orders (`bool`, *optional*, defaults to `True`):
            Train on both orders of every pair; else on one, drawn at random: were it that of the data, a column of chosen
            responses would give the choice away.
        patience (`int`, *optional*):
            Stop after so many evaluations without a lower loss on `selection`.
        peft_config ([`~peft.PeftConfig`], *optional*):
            Adapter (with `task_type="SEQ_CLS"`, so that the head is trained too). It is merged at the end.
        callbacks (`list[TrainerCallback]`, *optional*):
            Further callbacks.
        resume_from_checkpoint (`str`, *optional*):
            Checkpoint of the same training to go on from, such as [`~trl_ext.trainer.find_checkpoint`] finds.

    Returns:
        [`~transformers.Trainer`]: after training, with its `state.log_history`.
    """
    trainer = value_head_trainer(scorer, train, args, **options)
    trainer.train(resume_from_checkpoint=resume_from_checkpoint)
    if options.get("peft_config") is not None:
        scorer.model = trainer.model.merge_and_unload()
    scorer.model.eval()
    return trainer


def _training_rows(scorer: ValueHeadScorer, comparisons: Comparisons) -> Dataset:
    encoded = scorer.encode(comparisons)
    # lists of ids of one length only would become a fixed-size column; types are the same for all data this way
    return Dataset.from_dict(
        {
            "input_ids": encoded.ids,
            "attention_mask": [[1] * len(ids) for ids in encoded.ids],
            "labels": comparisons.labels.astype("float32"),
        }
    ).with_format("torch", dtype=torch.float32, columns=["labels"], output_all_columns=True)
