"""Hinge: a pair stops pulling once the rewards are a margin apart."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class HingeLoss(PairwiseLoss):
    r"""
    Hinge loss with soft labels:
    \( \ell\,\max(0, \tfrac{m}{2} - d) + (1-\ell)\,\max(0, \tfrac{m}{2} + d) \) with \( d = r_c - r_r \),
    \( \ell = \) `label` and \( m = \) `margin`.

    Choose it when only the order of the responses matters. A pair with a sure label has no gradient once the model
    separates it by half the margin, and a wrong label pulls with a slope of one at most. The rewards say nothing of
    probabilities: between the hinges the loss is linear with slope \( 1 - 2\ell \), so that its minimum is at
    \( d = \pm m/2 \), on the side of the more probable response, however sure the label is.

    Args:
        margin (`float`, *optional*, defaults to `1.0`):
            Width m > 0 of the gap between the hinges, in units of the reward: a sure label asks for a difference of m/2.

    References:
        - Large Margin Rank Boundaries for Ordinal Regression, 2000: the hinge loss on differences.
        - Reward Modeling with Ordinal Feedback: Wisdom of the Crowd, https://arxiv.org/abs/2411.12843: soft labels.

    Requirements:
        - optional column `label` in [0, 1]: P(chosen is better), 1 if left out

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `label` (B,) optional |

    Relations:
        - [`SoftLabelLoss`] has its minimum at the logit of the label and never stops pulling.
        - [`MarginRAPLLoss`] shifts the difference of Bradley–Terry by a margin of each pair; the margin here is one for all.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import HingeLoss
        >>> HingeLoss(margin=2.0)(torch.tensor([1.2]), torch.tensor([0.0]), label=torch.tensor([0.75]))
        tensor([0.5500])
        ```
    """

    optional_columns = {"label": (0.0, 1.0)}

    def __init__(self, margin: float = 1.0):
        if not 0 < margin < float("inf"):
            raise ValueError(
                f"`margin` must be positive and finite, got {margin}: without it equal rewards cost nothing"
            )
        self.margin = float(margin)

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, label: Tensor | None = None) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        loss = F.relu(self.margin / 2 - difference)
        return loss if label is None else label * loss + (1 - label) * F.relu(self.margin / 2 + difference)

    @property
    def citation(self) -> str:
        return """\
@incollection{herbrich2000large,
    title = {Large Margin Rank Boundaries for Ordinal Regression},
    author = {Herbrich, Ralf and Graepel, Thore and Obermayer, Klaus},
    booktitle = {Advances in Large Margin Classifiers},
    publisher = {MIT Press},
    pages = {115--132},
    year = {2000}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"margin": self.margin}
