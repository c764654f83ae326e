"""What a trainer does for a reward head: totals of windows, what the head learns, checkpoints, saved models."""

from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.utils import is_peft_model
from torch import Tensor
from transformers import Trainer, TrainerCallback

from ...model_entries import REWARD_HEAD, name_outputs
from ...shared_prefix import core_model
from ..head_fingerprint import remove_stale_entries
from .base import RewardHead


# Among the columns that an evaluation records: standard deviation of the reward difference, and log-odds of the preference
DIFFERENCE_SD, LOG_ODDS = "difference_sd", "log_odds"


class RewardHeadTrainer(Trainer):
    """
    The part of [`PairwiseRewardTrainer`] that is about models with several outputs.

    Attributes:
        reward_head ([`RewardHead`]): What makes rewards of the outputs.
    """

    reward_head: RewardHead
    _log_odds: Tensor  # `(B,)`, of the latest batch
    _spread: Tensor | None = None  # standard deviations of the reward differences of the latest batch of an evaluation

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.reward_head.parameters():
            self.add_callback(_HeadUpdates(self.reward_head, self._mean_over_processes))

    def _mean_over_processes(self, value: Tensor) -> Tensor:
        on_device = value.to(self.accelerator.device, torch.float32)
        return self.accelerator.reduce(on_device, reduction="mean").to(value)

    def _note_outputs(self, chosen: Tensor, rejected: Tensor) -> None:
        chosen, rejected = chosen.detach(), rejected.detach()
        self._log_odds = self.reward_head.log_odds(chosen, rejected)
        if self.reward_head.has_spread and not self.model.training:
            self._spread = self.reward_head.difference_sd(chosen, rejected)

    def _gather_window(self, total: Tensor, sums: Tensor | None, device: torch.device) -> Tensor:
        """Total weight of an accumulation window over all processes; the head gets its own totals."""
        local = total.reshape(1) if sums is None else torch.cat([total.reshape(1), sums])
        gathered = self._gather_total(local.float().to(device))
        if sums is not None:
            self.reward_head.begin_window(gathered[0], gathered[1:])
        return gathered[0]

    # ---- Checkpoints, saved models ----

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        if resume is None:
            self.reward_head.reset()
        else:
            self.reward_head.load(Path(resume))
        return super()._init_training_state(max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial)

    def _save_more(self, staged: Path) -> None:
        super()._save_more(staged)
        self.reward_head.save(staged)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        entry = self.reward_head.entry()
        if entry is not None:
            name_outputs(core_model(self.model).config, entry)
        super()._save(output_dir, state_dict)
        if self.args.should_save and is_peft_model(self.accelerator.unwrap_model(self.model)):
            folder = Path(output_dir or self.args.output_dir)
            if entry is None:
                REWARD_HEAD.remove(folder)
            else:
                REWARD_HEAD.write(folder, entry)
            remove_stale_entries(folder)

    def _load_best_model(self) -> None:
        super()._load_best_model()
        self.reward_head.load(Path(self.state.best_model_checkpoint))


class _HeadUpdates(TrainerCallback):
    def __init__(self, head: RewardHead, reduce: Callable[[Tensor], Tensor]):
        self.head, self.reduce = head, reduce

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        self.head.step(self.reduce)
