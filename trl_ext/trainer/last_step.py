"""Stock trainers that are resumed when there is nothing left to train."""

from transformers import Trainer


class EndsAtLastStep(Trainer):
    """
    Takes no step more when resumed from the checkpoint with which training ended.

    The stock trainer would go on with the epoch in which `max_steps` was reached.
    """

    _had_ended = False

    def _init_training_state(self, max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial):
        result = super()._init_training_state(max_steps, num_update_steps_per_epoch, num_train_epochs, resume, trial)
        saved = self.state.stateful_callbacks.get("TrainerControl", {}).get("args", {})
        reached = 0 < self.state.max_steps <= self.state.global_step
        self._had_ended = resume is not None and (reached or saved.get("should_training_stop", False))
        return result

    def get_batch_samples(self, epoch_iterator, num_batches, device):
        if self._had_ended:
            return [], None
        return super().get_batch_samples(epoch_iterator, num_batches, device)
