"""Absolute judgements of responses, and the thresholds between their classes."""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...data.loading import set_column


logger = logging.getLogger(__name__)

ANCHOR_COLUMNS = ("anchor_chosen", "anchor_rejected")
ANCHOR_CLASSES = (0, 1, 2)
NO_ANCHOR = -1
# The leading underscore keeps it from being pushed: it is about the training
THRESHOLDS_FILE = "_anchor_thresholds.safetensors"
_START = (-1.0, 1.0)
_BETAS, _EPS = (0.9, 0.999), 1e-8


def prepare_anchors(dataset: Dataset, name: str, wanted: bool) -> Dataset:
    """
    Check the columns `anchor_chosen` and `anchor_rejected`: 0 (bad), 1 (fair), 2 (good), or missing. Missing ones become -1.

    Raises:
        ValueError: A value is none of these, or the training set has no anchor though some are `wanted`.
    """
    judged = {}
    for column in (column for column in ANCHOR_COLUMNS if column in dataset.column_names):
        classes = _classes(dataset, column, name)
        judged[column] = int((classes != NO_ANCHOR).sum())
        dataset = set_column(dataset, column, classes)
    total = sum(judged.values())
    if name == "train" and wanted and total == 0:
        raise ValueError(
            f"{name} dataset: reward_head='gaussian' needs absolute judgements of some responses, as the variance of rewards is "
            "not identified from pairs alone, but no row has a value in 'anchor_chosen' or 'anchor_rejected'. Add them (0 "
            "bad, 1 fair, 2 good; None where there is none), or set gaussian_anchor_coefficient=0 to do without."
        )
    if judged:
        counts = ", ".join(f"{count} of {len(dataset)} rows have {column!r}" for column, count in judged.items())
        logger.info("%s: %s", name, counts)
    return dataset


def _classes(dataset: Dataset, column: str, name: str) -> np.ndarray:
    values = dataset.with_format(None)[column]
    classes = np.full(len(dataset), NO_ANCHOR, dtype=np.int64)
    bad = []
    for row, value in enumerate(values):
        missing = value is None or (isinstance(value, float) and math.isnan(value)) or value == NO_ANCHOR
        if missing:
            continue
        if isinstance(value, bool) or value not in ANCHOR_CLASSES:
            bad.append(row)
        else:
            classes[row] = int(value)
    if bad:
        row = bad[0]
        who = f" (id {dataset[row]['id']!r})" if "id" in dataset.column_names else ""
        raise ValueError(
            f"{name} dataset: column {column!r} has {len(bad)} values that are none of 0, 1, 2 or missing; first: row "
            f"{row}{who}, value {values[row]!r}"
        )
    return classes


class AnchorThresholds:
    r"""
    Thresholds \( \tau_1 < \tau_2 \), learned by Adam beside the model, from the gradients of all processes.

    They are kept as their middle and the log of half their distance, so that their order can't be lost. They are no
    parameter of the model: whatever loads the model would not know it.

    Args:
        learning_rate (`float`): Step size, in units of reward; 0 keeps them at (-1, 1), or
            of a resumed training where the checkpoint has them.
    """

    def __init__(self, learning_rate: float):
        self.learning_rate = learning_rate
        self.parameter = nn.Parameter(torch.zeros(2, dtype=torch.float64), requires_grad=learning_rate > 0)
        self.reset()

    def reset(self) -> None:
        """Start anew at (-1, 1)."""
        low, high = _START
        with torch.no_grad():
            self.parameter.copy_(torch.tensor([(low + high) / 2, math.log((high - low) / 2)], dtype=torch.float64))
        self.parameter.grad = None
        self._moments = torch.zeros(2, 2, dtype=torch.float64)
        self._steps = 0

    def __call__(self, device: torch.device) -> Tensor:
        """The thresholds `(2,)`, float64, on a device."""
        middle, half = self.parameter[0], torch.exp(self.parameter[1])
        return torch.stack([middle - half, middle + half]).to(device)

    def values(self) -> list[float]:
        """The thresholds as numbers."""
        with torch.no_grad():
            return self(torch.device("cpu")).tolist()

    @torch.no_grad()
    def step(self, reduce: Callable[[Tensor], Tensor]) -> None:
        """Take one step along the mean gradient of the processes."""
        if self.learning_rate == 0:
            return
        gradient = torch.zeros_like(self.parameter) if self.parameter.grad is None else self.parameter.grad
        gradient = reduce(gradient.clone())
        self.parameter.grad = None
        self._steps += 1
        first, second = self._moments
        first.lerp_(gradient, 1 - _BETAS[0])
        second.lerp_(gradient**2, 1 - _BETAS[1])
        corrected = [m / (1 - beta**self._steps) for m, beta in zip(self._moments, _BETAS, strict=True)]
        self.parameter -= self.learning_rate * corrected[0] / (corrected[1].sqrt() + _EPS)

    def save(self, folder: Path) -> None:
        """Write a checkpoint's part."""
        values: dict[str, Any] = {
            "parameter": self.parameter.detach().clone(),
            "moments": self._moments.clone(),
            "steps": torch.tensor(self._steps),
        }
        save_file(values, folder / THRESHOLDS_FILE)

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint."""
        path = folder / THRESHOLDS_FILE
        if not path.is_file():
            raise ValueError(f"{path} is missing: the checkpoint is not of a training with reward_head='gaussian'")
        values = load_file(path)
        with torch.no_grad():
            self.parameter.copy_(values["parameter"])
        self.parameter.grad = None
        self._moments = values["moments"].clone()
        self._steps = int(values["steps"])
