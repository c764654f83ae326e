"""Fine-tuning of the language model that is asked whether the annotator was correct, by TRL's trainer."""

from collections.abc import Sequence

from datasets import Dataset
from transformers import EarlyStoppingCallback, TrainerCallback
from trl import SFTConfig, SFTTrainer

from ...trainer.last_step import EndsAtLastStep
from .comparisons import Comparisons
from .next_token import NextTokenScorer


class _NextTokenTrainer(EndsAtLastStep, SFTTrainer):
    """TRL's trainer, which takes no step beyond the last one when resumed."""


def train_next_token(
    scorer: NextTokenScorer,
    train: Comparisons,
    args: SFTConfig,
    *,
    selection: Comparisons | None = None,
    repeated_orders: bool = True,
    patience: int | None = None,
    peft_config=None,
    callbacks: Sequence[TrainerCallback] = (),
    resume_from_checkpoint: str | None = None,
) -> SFTTrainer:
    """
    Trains the language model in place, with the loss on the label and the end-of-sequence token after it only.

    Args:
        scorer ([`NextTokenScorer`]):
            Model and question.
        train ([`Comparisons`]):
            Comparisons with labels.
        args ([`~trl.SFTConfig`]):
            Any; `max_length` and `completion_only_loss` are set here.
        selection ([`Comparisons`], *optional*):
            Comparisons on which the loss is evaluated during training.
        repeated_orders (`bool`, *optional*, defaults to `True`):
            Train on both orders of every pair; else on one, drawn at random.
        patience (`int`, *optional*):
            Stop after so many evaluations without a lower loss on `selection`.
        peft_config ([`~peft.PeftConfig`], *optional*):
            Adapter. It is merged at the end.
        callbacks (`list[TrainerCallback]`, *optional*):
            Further callbacks.
        resume_from_checkpoint (`str`, *optional*):
            Checkpoint of the same training to go on from, such as [`~trl_ext.trainer.find_checkpoint`] finds.

    Returns:
        [`~trl.SFTTrainer`]: after training, with its `state.log_history`.
    """
    callbacks = list(callbacks)
    if patience is not None:
        callbacks.append(EarlyStoppingCallback(patience))
    # the questions are shortened already; room for the end-of-sequence token
    args.max_length, args.completion_only_loss = scorer.max_length + 1, True
    trainer = _NextTokenTrainer(
        model=scorer.model,
        args=args,
        train_dataset=_rows(scorer, train.both_orders() if repeated_orders else train.random_orders(args.seed)),
        eval_dataset=None if selection is None else _rows(scorer, selection.both_orders()),
        processing_class=scorer.tokenizer,
        peft_config=peft_config,
        callbacks=callbacks,
    )
    trainer.train(resume_from_checkpoint=resume_from_checkpoint)
    if peft_config is not None:
        scorer.model = trainer.model.merge_and_unload()
    scorer.model.eval()
    return trainer


def _rows(scorer: NextTokenScorer, comparisons: Comparisons) -> Dataset:
    """Token ids with a mask of the label: exactly the tokens that are scored later."""
    eos = [] if scorer.tokenizer.eos_token_id is None else [scorer.tokenizer.eos_token_id]
    rows = {"input_ids": [], "completion_mask": []}
    for question, label in zip(scorer.encode(comparisons).ids, comparisons.labels, strict=True):
        completion = scorer.labels[int(label)] + eos
        rows["input_ids"].append(question + completion)
        rows["completion_mask"].append([0] * len(question) + [1] * len(completion))
    return Dataset.from_dict(rows)
