"""Exponential moving average of the trained weights, used for evaluation and kept at the end of training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import TrainerCallback


class ExponentialMovingAverage:
    r"""
    Average \( \bar w \leftarrow \lambda \bar w + (1 - \lambda) w \) of the trainable parameters of a model.

    Starts at the current weights, without bias correction. Frozen parameters are left alone.

    Args:
        model ([`~torch.nn.Module`]):
            Model whose trainable parameters are averaged.
        decay (`float`):
            The factor \( \lambda \), in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float):
        if not 0 <= decay < 1:
            raise ValueError(f"`ema_decay` must be in [0, 1), got {decay}")
        self.decay = decay
        self.parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the current weights."""
        torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), 1 - self.decay)

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Overwrite the weights of the model with the average."""
        for name, parameter in self.parameters.items():
            parameter.copy_(self.average[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the average into the model for the duration of the context."""
        backup = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.copy_to_model()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self.parameters.items():
                    parameter.copy_(backup[name])

    def load(self, average: dict[str, Tensor]) -> None:
        """Continue from a saved average."""
        if average.keys() != self.average.keys():
            odd = sorted(average.keys() ^ self.average.keys())
            raise ValueError(f"the saved average has other parameters than the model, for example {odd[0]!r}")
        for name, value in average.items():
            self.average[name].copy_(value)


class EMACallback(TrainerCallback):
    """Keep an [`ExponentialMovingAverage`] in step with the optimizer, and leave it in the model when training ends."""

    def __init__(self, decay: float):
        self.decay = decay
        self.average: ExponentialMovingAverage | None = None
        self.resumed: dict[str, Tensor] | None = None

    def on_train_begin(self, args, state, control, model=None, **kwargs):
        self.average = ExponentialMovingAverage(model, self.decay)
        if self.resumed is not None:
            self.average.load(self.resumed)
            self.resumed = None

    def on_step_end(self, args, state, control, **kwargs):
        self.average.update()

    def on_train_end(self, args, state, control, **kwargs):
        self.average.copy_to_model()
