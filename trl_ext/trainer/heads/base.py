"""One reward per response, and what heads with several outputs do instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset
from torch import Tensor, nn


# Loss of every pair from rewards of chosen and rejected responses, each `(B,)`, and the columns of the loss
PairwiseLossFunction = Callable[[Tensor, Tensor, dict[str, Tensor]], Tensor]


class RewardHead:
    """
    How a trainer makes rewards, losses and uncertainties of the outputs `(S, K)` of its model. This one has K = 1.

    Attributes:
        num_outputs (`int`): Outputs K of the model for each response.
        columns (`tuple[str, ...]`): Columns of a batch that the head reads beside those of the loss.
        has_spread (`bool`): Whether there is a standard deviation of reward differences.
    """

    num_outputs: int = 1
    columns: tuple[str, ...] = ()
    has_spread: ClassVar[bool] = False

    def prepare(self, dataset: Dataset, name: str) -> Dataset:
        """Add the columns of the head to the dataset `name`, before texts become tokens."""
        return dataset

    def rewards(self, outputs: Tensor) -> Tensor:
        """The reward `(S,)` that outputs `(S, K)` make."""
        return outputs[:, 0]

    def losses(
        self,
        pairwise_loss: PairwiseLossFunction,
        chosen: Tensor,
        rejected: Tensor,
        columns: dict[str, Tensor],
        head_columns: dict[str, Tensor],
        training: bool,
    ) -> Tensor:
        """
        Loss of every pair `(B,)`.

        Args:
            pairwise_loss (`Callable`):
                The trainer's, on rewards `(B,)`.
            chosen, rejected (`torch.Tensor` of shape `(B, K)`):
                Outputs.
            columns, head_columns (`dict[str, torch.Tensor]`):
                Columns of the loss, and those of the head that the batch has.
            training (`bool`):
                Whether this is a training step: what is for training pairs only is left out otherwise.
        """
        return pairwise_loss(chosen[:, 0], rejected[:, 0], columns)

    def window_sums(self, batch: dict[str, Any], weight: Tensor) -> Tensor | None:
        """Sums `(M,)` over a batch with weights `(B,)` that the head needs of a whole accumulation window."""
        return None

    def begin_window(self, total: Tensor, sums: Tensor) -> None:
        """Take the total weight of an accumulation window of all processes, and the totals `(M,)` of `window_sums`."""

    def log_odds(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        """
        Log-odds `(B,)` of the preference, from outputs `(B, K)`: what the pairwise loss gets as reward difference, of an
        ensemble the mean over heads.
        """
        return self.rewards(chosen) - self.rewards(rejected)

    def difference_sd(self, chosen: Tensor, rejected: Tensor) -> Tensor:
        """Standard deviation `(B,)` of the reward difference, from outputs `(B, K)`."""
        raise NotImplementedError(f"{type(self).__name__} has no spread")

    def entry(self) -> dict[str, Any] | None:
        """What the model's configuration says of its outputs; `None` for one reward."""
        return None

    def parameters(self) -> list[nn.Parameter]:
        """What the head learns outside the model."""
        return []

    def step(self, reduce: Callable[[Tensor], Tensor]) -> None:
        """Update what the head learns, with `reduce` the mean of a tensor over the processes. A collective."""

    def reset(self) -> None:
        """Forget what was learned: a training begins."""

    def save(self, folder: Path) -> None:
        """Write what a checkpoint keeps."""

    def load(self, folder: Path) -> None:
        """Continue from a checkpoint."""
