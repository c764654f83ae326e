"""The training of `train_true_model.py`: its arguments, its checkpoints, and how it is resumed."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback, TrainingArguments
from trl import SFTConfig

from tasks.rapl.correctness_data import CorrectnessData
from tasks.resume import TrainingRun
from tasks.train_arguments import lora_config
from tasks.train_config import check_trainer_fields
from tasks.train_run import SacredCallback
from trl_ext.reliability.correctness import NextTokenScorer, ValueHeadScorer, train_next_token, train_value_head


# Keys on which the trained weights do not depend, beside those of every run
_AFTER_TRAINING = {"calibrator", "standardize", "resamples", "context_columns", "save_steps"}

_FIELDS = (
    *("learning_rate", "num_train_epochs", "per_device_train_batch_size", "per_device_eval_batch_size"),
    *("gradient_accumulation_steps", "lr_scheduler_type", "weight_decay", "seed"),
)


class SaveWithinEpochs(TrainerCallback):
    """
    Save a checkpoint every so many steps, beside those at the end of epochs.

    Those stay the trainer's: they are written after the evaluation, which a run resumed from an earlier moment would skip.
    """

    def __init__(self, steps: int):
        self.steps = steps

    def on_step_end(self, args, state, control, **kwargs):
        epoch_ends = float(state.epoch).is_integer() or state.global_step >= state.max_steps
        if state.global_step % self.steps == 0 and not epoch_ends:
            control.should_save = True


def open_training_run(config: dict[str, Any], output: Path, data_sha256: str) -> TrainingRun:
    """The state of the run in `output/checkpoints`, which refuses checkpoints of a run with other settings."""
    settings = {key: value for key, value in config.items() if key not in _AFTER_TRAINING}
    return TrainingRun(str(output / "checkpoints"), settings, data_sha256, processes=1)


def complete(training_run: TrainingRun) -> None:
    """Remove the checkpoints of a run whose model is saved, unless they are to be kept."""
    training_run.complete()
    if not training_run.keep_checkpoints:
        shutil.rmtree(training_run.folder)


def train(
    scorer: ValueHeadScorer | NextTokenScorer,
    config: dict[str, Any],
    path: str,
    data: CorrectnessData,
    training_run: TrainingRun,
    sacred_run,
) -> list[dict]:
    """Train the scorer in place, from the last checkpoint if there is one; return what the trainer has logged."""
    rows, selection = data.train, None
    if config["selection_share"]:
        rows, selection = rows.split_by_question(config["selection_share"], config["seed"])
    is_head = config["method"] == "value_head"
    cls = TrainingArguments if is_head else SFTConfig
    peft_config = lora_config(config, path)
    if peft_config is not None and not is_head:
        peft_config.task_type = "CAUSAL_LM"
    try:
        trainer = (train_value_head if is_head else train_next_token)(
            scorer,
            rows,
            training_arguments(config, cls, training_run.folder, selection is not None),
            selection=selection,
            repeated_orders=config["repeated_orders"],
            patience=config["patience"],
            peft_config=peft_config,
            callbacks=[SacredCallback(sacred_run), SaveWithinEpochs(config["save_steps"])],
            resume_from_checkpoint=training_run.checkpoint,
        )
    except KeyboardInterrupt:
        training_run.interrupted()
        raise
    return trainer.state.log_history


def training_arguments(config: dict[str, Any], cls, checkpoints: Path, selects: bool) -> TrainingArguments:
    """Build the training arguments from flat keys and the nested `trainer` dictionary."""
    values = {name: config[name] for name in _FIELDS}
    on_gpu = torch.accelerator.is_available()
    if config["bf16"] is None:
        values["bf16"] = on_gpu and torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    else:
        values["bf16"] = config["bf16"]
    values |= {"output_dir": str(checkpoints), "use_cpu": not on_gpu, "report_to": "none", "logging_steps": 10}
    values |= {"warmup_steps": config["lr_warmup_ratio"], "train_sampling_strategy": "group_by_length"}
    values |= {"save_strategy": "epoch", "save_total_limit": 1}
    # so that a resumed run is as patient as one that was not interrupted
    values["restore_callback_states_from_checkpoint"] = config["patience"] is not None
    if selects:  # the epoch with the lowest loss on the rows held out for it is kept
        values |= {"eval_strategy": "epoch", "load_best_model_at_end": True}
        values |= {"metric_for_best_model": "eval_loss", "greater_is_better": False}
    check_trainer_fields(config["trainer"], {field.name for field in dataclasses.fields(cls)})
    return cls(**(values | config["trainer"]))
