"""What win-rate matching keeps between steps: running win rates, the rewards before training, and their scale."""

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..losses import RewardScale


# The leading underscore keeps it from being pushed with a model
STATE_FILE = "_calibration.safetensors"


class MatchingState:
    """
    State of win-rate matching, the same on every process and part of every checkpoint.

    Args:
        num_pairs (`int`): Number of pairs of models G.
        device (`torch.device`): Where the running win rates are.

    Attributes:
        running (`torch.Tensor` of shape `(G,)`): Running win rates of the first models, float64; NaN before the first.
        frozen (`np.ndarray` of shape `(N, 2)`, *optional*): Rewards of the training pairs before training, where the
            trainer has computed them.
        scale ([`~trl_ext.losses.RewardScale`], *optional*): That of the rewards before training, where it is needed.
    """

    def __init__(self, num_pairs: int, device: torch.device):
        self.num_pairs, self.device = num_pairs, device
        self.frozen: np.ndarray | None = None
        self.scale: RewardScale | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the running win rates. The rewards before training stay what they were."""
        self.running: Tensor = torch.full((self.num_pairs,), torch.nan, dtype=torch.float64, device=self.device)

    def save(self, folder: Path) -> None:
        """Write a checkpoint's part."""
        values = {"running": self.running.cpu()}
        if self.frozen is not None:
            values["frozen"] = torch.from_numpy(self.frozen)
        if self.scale is not None:
            values["variance"] = torch.tensor(self.scale.variance, dtype=torch.float64)
        save_file(values, folder / STATE_FILE)

    def load(self, folder: Path, num_rows: int) -> None:
        """Continue from a checkpoint of a run on `num_rows` rows."""
        path = folder / STATE_FILE
        if not path.is_file():
            raise ValueError(f"{path} is missing: the checkpoint was not written with calibration_method='matching'")
        values = load_file(path)
        rows = len(values["frozen"]) if "frozen" in values else num_rows
        if values["running"].shape != (self.num_pairs,) or rows != num_rows:
            raise ValueError(
                f"{path} is of {values['running'].numel()} pairs of models and {rows} rows, but the training set has "
                f"{self.num_pairs} and {num_rows}: resume with the data of the first run"
            )
        self.running = values["running"].to(self.device)
        self.frozen = values["frozen"].numpy() if "frozen" in values else None
        if "variance" in values:
            self.scale = RewardScale(values["variance"].item())
