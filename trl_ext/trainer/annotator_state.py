"""What is known of the annotators during training: the latest reward difference of every pair, and η from them."""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..reliability.commitment_likelihood import AnnotatorLikelihood
from .latest_differences import LatestDifferences


# The leading underscore keeps it from being pushed with a model: it is about people
ANNOTATORS_FILE = "_annotators.safetensors"


class AnnotatorState(LatestDifferences):
    r"""
    Expectation–maximisation beside the optimizer: η and the length bias are set to the mode of their posterior given the
    latest reward difference of every pair seen so far.

    The mode is found in closed loop on the CPU, in float64, from the same numbers on every process: there is no learning
    rate, and the processes agree to the bit.

    Args:
        codes (`np.ndarray` of shape `(N,)`): Number of the annotator of every training pair, by `pair_index`.
        count (`int`): Number of annotators A.
        lengths (`np.ndarray` of shape `(N,)`, *optional*): Standardised differences of length.
        eta (`np.ndarray` of shape `(A,)`): Commitment at the start.
        prior (`tuple[float, float]`): Beta prior on (1 + η)/2.
        length_bias_sd (`float`, *optional*): Prior standard deviation of the length bias.
        accelerator ([`~accelerate.Accelerator`]): Its processes' pairs are pooled.
    """

    def __init__(self, codes, count, lengths, eta, prior, length_bias_sd, accelerator: Accelerator):
        super().__init__(len(codes), accelerator)
        self.codes, self.count, self.lengths = codes, count, lengths
        self.prior, self.length_bias_sd = prior, length_bias_sd
        self.initial_eta = eta
        self.reset()

    def reset(self) -> None:
        """Forget everything that training has shown."""
        self._set_latest(np.full(len(self.codes), np.nan))
        self._set(self.initial_eta, np.zeros(self.count))

    def _set(self, eta: np.ndarray, bias: np.ndarray) -> None:
        self.eta, self.bias = eta.copy(), bias.copy()
        self._parameters = torch.tensor(np.stack([eta, bias]), dtype=torch.float32, device=self.accelerator.device)

    def of(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """η and length bias of annotators by their numbers, each `(B,)`."""
        eta, bias = self._parameters[:, codes.long()]
        return eta, bias

    def update(self) -> None:
        """Set η and the length biases to what the differences say. A collective."""
        self.collect()
        seen = np.flatnonzero(np.isfinite(self.latest))
        lengths = None if self.lengths is None else self.lengths[seen]
        likelihood = AnnotatorLikelihood(
            self.latest[seen], self.codes[seen], self.count, self.prior, lengths, self.length_bias_sd
        )
        fit = likelihood.fit(log_scale=0.0)
        self._set(fit.eta, fit.bias)

    def save(self, folder: Path) -> None:
        """Write a checkpoint's part, after `collect`."""
        values = {"eta": self.eta, "bias": self.bias, "latest": self.latest}
        save_file({name: torch.from_numpy(value.copy()) for name, value in values.items()}, folder / ANNOTATORS_FILE)

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint."""
        path = folder / ANNOTATORS_FILE
        if not path.is_file():
            raise ValueError(f"{path} is missing: the checkpoint was not written by AnnotatorAwareRewardTrainer")
        values = {name: value.numpy() for name, value in load_file(path).items()}
        if values["eta"].shape != (self.count,) or values["latest"].shape != self.codes.shape:
            raise ValueError(
                f"{path} is of {values['eta'].size} annotators and {values['latest'].size} pairs, but the training set "
                f"has {self.count} and {len(self.codes)}: resume with the data of the first run"
            )
        self._set_latest(values["latest"])
        self._set(values["eta"], values["bias"])
