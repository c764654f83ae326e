"""A trainer that can be stopped at any step and resumed exactly."""

import json
import logging
import math
import shutil
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast_object_list
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from .checkpoints import (
    STAGING,
    TRAINER_STATE,
    checkpoint_problem,
    find_checkpoint,
    publish_checkpoint,
    remove_old_checkpoints,
    remove_unfinished,
)
from .stopping import StopRequest, TrainingInterrupted


logger = logging.getLogger(__name__)

EMA_FILE = "ema.safetensors"
PENDING_LOGS_FILE = "pending_logs.json"


class ResumableTrainer(Trainer):
    """
    Checkpoints, resuming and pre-emption of [`PairwiseRewardTrainer`].

    - A checkpoint is complete or absent, whenever the process is killed (see [`find_checkpoint`]).
    - A resumed run logs, evaluates and saves what the uninterrupted one would have: what had been collected since the
      last log is part of a checkpoint, and a checkpoint that falls together with the evaluation of an epoch is written
      after it.
    - SIGTERM saves a checkpoint after the current step and ends the process with status 143 (unless
      `save_strategy="no"`).
    """

    def __init__(self, *args, **kwargs):
        self._staging_dir: Path | None = None
        self._push_is_due = False
        self._stop_request = StopRequest()
        self._stop_gathered: Tensor | None = None  # of every process, when the current step began
        self._pending_logs: dict[str, Any] | None = None  # read from the checkpoint, until training begins
        self._epoch_samplers: list[Any] = []
        super().__init__(*args, **kwargs)
        # Last of all callbacks: it decides on what they have asked for
        self.add_callback(CheckpointFlow(self))

    def train(self, resume_from_checkpoint: str | bool | None = None, trial=None, ignore_keys_for_eval=None):
        """
        As in [`~transformers.Trainer`], but only complete checkpoints are resumed from.

        Args:
            resume_from_checkpoint (`str` or `bool`, *optional*):
                Path of a checkpoint, or `True` for the newest complete one in `args.output_dir`.
            trial, ignore_keys_for_eval:
                As in [`~transformers.Trainer.train`].

        Raises:
            ValueError: If the checkpoint is incomplete, or if there is none.
            TrainingInterrupted: After SIGTERM, when the checkpoint has been saved. A `SystemExit`.
        """
        if self.args.should_save:
            remove_unfinished(self.args.output_dir)
        checkpoint = self._choose_checkpoint(resume_from_checkpoint)
        self._stop_request.received, self._stop_gathered = False, None
        listens = self.args.save_strategy != SaveStrategy.NO
        with self._stop_request.listening() if listens else nullcontext():
            result = super().train(checkpoint, trial, ignore_keys_for_eval)
        if self._stop_is_agreed():
            step = self.state.global_step
            raise TrainingInterrupted(step, str(Path(self._get_output_dir(trial), f"checkpoint-{step}")))
        if self._stop_request.received:  # too late for any step: training is done
            signal.raise_signal(signal.SIGTERM)
        return result

    def _choose_checkpoint(self, resume_from_checkpoint: str | bool | None) -> str | None:
        checkpoint, problem = None, None
        if self.is_world_process_zero():
            if resume_from_checkpoint is True:
                checkpoint = find_checkpoint(self.args.output_dir)
                problem = None if checkpoint else f"there is no complete checkpoint in {self.args.output_dir}"
            elif resume_from_checkpoint:
                checkpoint = str(resume_from_checkpoint)
                problem = checkpoint_problem(checkpoint)
                problem = problem and f"checkpoint {checkpoint} can't be resumed from: {problem}"
        # What one process found: another may look while a folder is being removed
        checkpoint, problem = broadcast_object_list([checkpoint, problem])
        if problem is not None:
            raise ValueError(problem)
        return checkpoint

    # ---- Saving ----

    def _get_output_dir(self, trial) -> str:
        return super()._get_output_dir(trial) if self._staging_dir is None else str(self._staging_dir)

    def _save_checkpoint(self, model, trial):
        run_dir = Path(self._get_output_dir(trial))
        name = f"checkpoint-{self.state.global_step}"
        staged = run_dir / STAGING / name
        self._staging_dir, self._push_is_due = staged.parent, False
        try:
            super()._save_checkpoint(model, trial)
        finally:
            self._staging_dir = None
        pending = self._collect_pending_logs()
        best_is_staged = self.state.best_model_checkpoint == str(staged)
        if best_is_staged:  # on every process: each loads the best model in the end
            self.state.best_model_checkpoint = str(run_dir / name)
        if self.args.should_save:
            (staged / PENDING_LOGS_FILE).write_text(json.dumps(pending), encoding="utf-8")
            if best_is_staged:
                self.state.save_to_json(str(staged / TRAINER_STATE))
            self._save_more(staged)
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            publish_checkpoint(staged, run_dir / name)
            shutil.rmtree(staged.parent, ignore_errors=True)
            remove_old_checkpoints(run_dir, self.args.save_total_limit, self.state.best_model_checkpoint)
        self.accelerator.wait_for_everyone()
        if self._push_is_due:
            from ..hub.from_trainer import push_checkpoint  # the hub knows the trainer, not the other way round

            push_checkpoint(self, run_dir / name)

    def _save_more(self, staged: Path) -> None:
        """Write further files into a checkpoint. Called on the process that saves."""
        if self._ema is not None:
            averages = {name: value.contiguous() for name, value in self._ema.average.average.items()}
            save_file(averages, staged / EMA_FILE)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        self._push_is_due = True  # when it has its final place

    def _load_from_checkpoint(self, resume_from_checkpoint, model=None):
        super()._load_from_checkpoint(resume_from_checkpoint, model)
        if self._ema is not None:
            path = Path(resume_from_checkpoint, EMA_FILE)
            if not path.is_file():
                raise ValueError(f"{path} is missing: the checkpoint was written without `ema_decay`")
            self._ema.resumed = load_file(path, device=str(self.args.device))

    # ---- Logs ----

    def _collect_pending_logs(self) -> dict[str, Any]:
        """What has been summed up since the last log. A collective: every process takes part."""
        return {
            "loss": self.accelerator.gather(self._tr_loss.detach().reshape(1)).mean().item(),
            "last_logged_step": self._globalstep_last_logged,
            "metrics": self._pair_metrics.state(),
        }

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        if resume is not None:
            path = Path(resume, PENDING_LOGS_FILE)
            self._pending_logs = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
        return super()._init_training_state(max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial)

    def _restore_pending_logs(self) -> None:
        self._pair_metrics.pop()  # of an earlier training
        if self._pending_logs is None:
            return
        pending, self._pending_logs = self._pending_logs, None
        self._tr_loss += pending["loss"]
        self._globalstep_last_logged = pending["last_logged_step"]
        # transformers' `train_loss` is the mean over the steps of this call
        self._total_loss_scalar = -pending["loss"]
        self._pair_metrics.load_state(pending["metrics"])

    # ---- Steps ----

    def get_train_dataloader(self):
        dataloader = super().get_train_dataloader()
        self._epoch_samplers = list(_samplers_with_epochs(dataloader))
        return dataloader

    def _evaluate(self, trial, ignore_keys_for_eval, skip_scheduler=False):
        if skip_scheduler and self.state.global_step > 0:
            return {}  # `eval_on_start`, but this is not the start: the run is being resumed
        return super()._evaluate(trial, ignore_keys_for_eval, skip_scheduler)

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        if 0 < self.state.max_steps <= self.state.global_step:
            return [], None  # resumed from the last checkpoint of all: no step is left
        return super().get_batch_samples(epoch_iterator, num_batches, device)

    def _gather_total(self, total: Tensor) -> Tensor:
        """Sum numbers `(M,)` over all processes and learn, in the same collective, whether any was asked to stop."""
        stop = total.new_full((1,), float(self._stop_request.received))
        gathered = self.accelerator.gather(torch.cat([total, stop]).reshape(1, -1))
        self._stop_gathered = gathered[:, -1]
        return gathered[:, :-1].sum(0)

    def _stop_is_agreed(self) -> bool:
        return self._stop_gathered is not None and bool(self._stop_gathered.any())


def _samplers_with_epochs(dataloader) -> Iterator[Any]:
    """Everything below a dataloader that orders its rows by the number of the epoch."""
    level = getattr(dataloader, "batch_sampler", None)
    while level is not None:
        if hasattr(level, "set_epoch"):
            yield level
        level = getattr(level, "batch_sampler", None) or getattr(level, "sampler", None)


class CheckpointFlow(TrainerCallback):
    """
    Decide when a checkpoint is saved, and tell samplers the epoch.

    accelerate passes the epoch on through one or two levels of samplers, but skipping batches and sharding add more.
    """

    def __init__(self, trainer: ResumableTrainer):
        self.trainer = trainer
        self.save_when_epoch_ends = False
        self.trained = False
        self.interrupted = False

    def on_train_begin(self, args, state, control, **kwargs):
        self.save_when_epoch_ends = self.trained = self.interrupted = False
        self.trainer._restore_pending_logs()

    def on_epoch_begin(self, args, state, control, **kwargs):
        for sampler in self.trainer._epoch_samplers:
            sampler.set_epoch(math.floor(state.epoch or 0))

    def on_step_end(self, args, state, control, **kwargs):
        self.trained = True
        epoch_ends = float(state.epoch).is_integer() or state.global_step >= state.max_steps
        if self.trainer._stop_is_agreed():
            logger.warning("SIGTERM: training stops after step %d, with a checkpoint.", state.global_step)
            control.should_training_stop = control.should_save = True
            self.interrupted = not epoch_ends
            evaluates = control.should_evaluate or (epoch_ends and args.eval_strategy == IntervalStrategy.EPOCH)
            if evaluates:  # which may take longer than there is time: if so, only the evaluation is lost
                self.trainer._save_checkpoint(self.trainer.model, trial=None)
        if control.should_save and (epoch_ends or control.should_training_stop):
            # Evaluate first, if that is due: a run resumed from here would not
            control.should_save = False
            self.save_when_epoch_ends = True
        return control

    def on_epoch_end(self, args, state, control, **kwargs):
        if self.interrupted or not self.trained:
            control.should_log = control.should_evaluate = control.should_save = False
        if not self.trained:
            control.should_training_stop = True
        if self.save_when_epoch_ends:
            self.save_when_epoch_ends = False
            control.should_save = True
        return control
