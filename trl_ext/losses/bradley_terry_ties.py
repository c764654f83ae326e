"""Bradley–Terry with ties: annotators may say that neither response is better."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class BradleyTerryTiesLoss(PairwiseLoss):
    r"""
    Negative log-likelihood of a win, a loss or a tie. With \( d = r_c - r_r \) and \( c = \log\theta \),
    \( P(\text{win}) = \sigma(d - c) \), \( P(\text{loss}) = \sigma(-d - c) \) and
    \( P(\text{tie}) = (\theta^2-1)\,\sigma(d-c)\,\sigma(-d-c) \), which sum to one.

    Choose it when the annotators could answer "about equal". A tie pulls the rewards together, a win or a loss apart; to
    throw ties away, or to take them for wins of a coin flip, would bias the size of the differences.

    Labels are outcomes here, not probabilities: 0 (the rejected response won), ½ (tie) or 1 (the chosen response won). Any
    other value is an error, because a label of 0.7 doesn't say which share of the remaining 0.3 was a tie;
    [`SoftLabelLoss`] and [`OrdinalLoss`] take such labels.

    Args:
        theta (`float`, *optional*, defaults to `2.0`):
            How readily annotators call a tie, θ ≥ 1. Responses with equal rewards tie with probability
            \( (\theta-1)/(\theta+1) \): one third at 2. At 1 there are no ties, and ½ is refused as a label.

    References:
        - Ties in Paired-Comparison Experiments: A Generalization of the Bradley-Terry Model, 1967.
        - Reward Learning From Preference With Ties, https://arxiv.org/abs/2410.05328: the same for reward models.

    Requirements:
        - column `label` in {0, ½, 1}: loss, tie or win of the chosen response

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `label` (B,) |

    Relations:
        - [`BradleyTerryLoss`] is `theta = 1` and a label of one.
        - [`OrdinalLoss`] with three levels and the threshold \( \log\theta \) is this loss; it goes on to five levels.
        - [`SoftLabelLoss`] takes a tie for half a win and half a loss. It also pulls the rewards of a tie together, but has
          no opinion of how often ties occur.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import BradleyTerryTiesLoss
        >>> BradleyTerryTiesLoss(theta=2.0)(torch.zeros(3), torch.zeros(3), label=torch.tensor([0.0, 0.5, 1.0]))
        tensor([1.0986, 1.0986, 1.0986])
        ```
    """

    columns = {"label": (0.0, 1.0)}

    def __init__(self, theta: float = 2.0):
        if not 1 <= theta < math.inf:
            raise ValueError(f"`theta` must be in [1, inf), got {theta}: below 1 the probability of a tie is negative")
        self.theta = float(theta)
        self.levels = {"label": (0.0, 0.5, 1.0) if theta > 1 else (0.0, 1.0)}

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, label: Tensor) -> Tensor:
        difference, shift = rewards_chosen - rewards_rejected, math.log(self.theta)
        log_win, log_loss = F.logsigmoid(difference - shift), F.logsigmoid(-difference - shift)
        # log(theta^2 - 1) in two terms: the square overflows first. Without ties the constant is never used.
        log_odds = math.log(self.theta - 1) + math.log(self.theta + 1) if self.theta > 1 else 0.0
        log_tie = log_odds + (log_win + log_loss)  # in this order, rounding is the same for exchanged responses
        return -torch.where(label > 0.75, log_win, torch.where(label < 0.25, log_loss, log_tie))

    @property
    def citation(self) -> str:
        return """\
@article{rao1967ties,
    title = {Ties in Paired-Comparison Experiments: A Generalization of the {B}radley-{T}erry Model},
    author = {Rao, P. V. and Kupper, L. L.},
    journal = {Journal of the American Statistical Association},
    volume = {62},
    number = {317},
    pages = {194--204},
    year = {1967}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"theta": self.theta}
