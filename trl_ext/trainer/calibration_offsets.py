"""Offsets of source models that explain human labels beside the rewards, learned during training and then dropped."""

from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from scipy.optimize import minimize
from scipy.special import expit, log_expit
from torch import Tensor

from .latest_differences import LatestDifferences


OFFSETS_FILE = "_source_offsets.safetensors"


class SourceOffsetState(LatestDifferences):
    r"""
    Offsets b of M source models: the mode of their posterior under labels of probability
    \( \sigma(d_i + b_{c_i} - b_{r_i}) \), given the latest reward difference d of every pair seen so far, with a normal
    prior.

    The problem is convex and small. It is solved on the CPU in float64 from the same numbers on every process: there is no
    learning rate, the processes agree, and gradient accumulation has no part in it. The prior makes the offsets sum to
    zero, as only their differences show in labels.

    Args:
        chosen, rejected (`np.ndarray` of shape `(N,)`): Number of the source of each response, by `pair_index`.
        label (`np.ndarray` of shape `(N,)`): P(chosen is better).
        weight (`np.ndarray` of shape `(N,)`): Weights of the pairs.
        count (`int`): Number of sources M.
        prior_sd (`float`): Standard deviation of the prior, in units of reward.
        accelerator ([`~accelerate.Accelerator`]): Its processes' pairs are pooled.
    """

    def __init__(self, chosen, rejected, label, weight, count: int, prior_sd: float, accelerator: Accelerator):
        super().__init__(len(label), accelerator)
        self.chosen, self.rejected, self.label, self.weight = chosen, rejected, label, weight
        self.count, self.prior_sd = count, prior_sd
        self.reset()

    def reset(self) -> None:
        """Forget everything that training has shown."""
        self._set_latest(np.full(len(self.label), np.nan))
        self._set(np.zeros(self.count))

    def _set(self, offsets: np.ndarray) -> None:
        self.offsets = offsets.copy()
        self._offsets = torch.tensor(offsets, dtype=torch.float32, device=self.accelerator.device)

    def differences(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        """Offset of the source of chosen minus that of rejected `(B,)`, by their numbers."""
        return self._offsets[chosen.long()] - self._offsets[rejected.long()]

    def update(self) -> None:
        """Set the offsets to what labels and differences say. A collective."""
        self.collect()
        seen = np.isfinite(self.latest)
        if seen.any():
            columns = (self.latest, self.chosen, self.rejected, self.label, self.weight)
            self._set(fit_source_offsets(*(column[seen] for column in columns), self.count, self.prior_sd))

    def save(self, folder: Path) -> None:
        """Write a checkpoint's part, after `collect`."""
        values = {"offsets": torch.from_numpy(self.offsets), "latest": torch.from_numpy(self.latest)}
        save_file(values, folder / OFFSETS_FILE)

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint."""
        path = folder / OFFSETS_FILE
        if not path.is_file():
            raise ValueError(
                f"{path} is missing: the checkpoint was not written with calibration_method='source_offset'"
            )
        values = {name: value.numpy() for name, value in load_file(path).items()}
        if values["offsets"].shape != (self.count,) or values["latest"].shape != self.label.shape:
            raise ValueError(
                f"{path} is of {values['offsets'].size} models and {values['latest'].size} pairs, but the training set has "
                f"{self.count} and {len(self.label)}: resume with the data of the first run"
            )
        self._set_latest(values["latest"])
        self._set(values["offsets"])


def fit_source_offsets(
    differences: np.ndarray,
    chosen: np.ndarray,
    rejected: np.ndarray,
    label: np.ndarray,
    weight: np.ndarray,
    count: int,
    prior_sd: float,
) -> np.ndarray:
    r"""
    Offsets b that minimise
    \( \sum_i w_i\,\text{BCE}(d_i + b_{c_i} - b_{r_i}, \ell_i) + \sum_m b_m^2 / 2 s^2 \).

    Args:
        differences (`np.ndarray` of shape `(N,)`): Reward differences d.
        chosen, rejected (`np.ndarray` of shape `(N,)`): Sources of the responses, in [0, `count`).
        label (`np.ndarray` of shape `(N,)`): Labels in [0, 1].
        weight (`np.ndarray` of shape `(N,)`): Weights w.
        count (`int`): Number of sources M.
        prior_sd (`float`): Standard deviation s of the prior.

    Returns:
        `np.ndarray` of shape `(M,)`: Offsets in units of reward, which sum to zero.
    """
    scale = 1 / max(weight.sum(), np.finfo(float).tiny)  # tolerances are for a mean
    ridge = scale / prior_sd**2

    def objective(offsets: np.ndarray) -> tuple[float, np.ndarray]:
        logits = differences + offsets[chosen] - offsets[rejected]
        losses = -(label * log_expit(logits) + (1 - label) * log_expit(-logits))
        slopes = scale * weight * (expit(logits) - label)
        gradient = np.bincount(chosen, slopes, count) - np.bincount(rejected, slopes, count)
        value = scale * (weight * losses).sum() + ridge * (offsets**2).sum() / 2
        return float(value), gradient + ridge * offsets

    def hessian(offsets: np.ndarray) -> np.ndarray:
        share = expit(differences + offsets[chosen] - offsets[rejected])
        curvature = scale * weight * share * (1 - share)
        matrix = np.zeros((count, count))
        for first, second, sign in (
            (chosen, chosen, 1), (rejected, rejected, 1), (chosen, rejected, -1), (rejected, chosen, -1)
        ):  # fmt: skip
            np.add.at(matrix, (first, second), sign * curvature)
        return matrix + ridge * np.eye(count)

    options = {"gtol": 1e-10}
    found = minimize(objective, np.zeros(count), jac=True, hess=hessian, method="trust-exact", options=options)
    return found.x - found.x.mean()
