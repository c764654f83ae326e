"""Bradley–Terry: the standard loss of reward models, with an optional margin."""

import math

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class BradleyTerryLoss(PairwiseLoss):
    r"""
    Negative log-likelihood of the label under Bradley–Terry: \( -\log\sigma(r_c - r_r) \), or
    \( -\log\sigma(r_c - r_r - m) \) with a margin \( m \).

    Choose it when every label is equally believable. A margin asks for a larger reward difference where the
    annotator saw a larger difference; the gradient of a mislabelled pair stays near one however sure the model is.

    References:
        - Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons, Bradley and Terry, 1952.
        - Llama 2: Open Foundation and Fine-Tuned Chat Models, section 3.2.2, for the margin:
          https://arxiv.org/abs/2307.09288

    Requirements:
        - none; column `margin` is optional, any finite value

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | optional `margin` (B,) |

    Relations:
        - [`ScaledBradleyTerryLoss`] multiplies the loss by the margin instead of shifting the difference.
        - [`BetaRAPLLoss`] with `beta = 1` and [`EpsilonRAPLLoss`] with `p = 1` are this loss.
        - [`MarginRAPLLoss`] is this loss with a required margin.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import BradleyTerryLoss
        >>> BradleyTerryLoss()(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 0.0]))
        tensor([0.1269, 0.6931])
        >>> BradleyTerryLoss()(torch.tensor([2.0]), torch.tensor([0.0]), margin=torch.tensor([1.0]))
        tensor([0.3133])
        ```
    """

    optional_columns = {"margin": (-math.inf, math.inf)}

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, margin: Tensor | None = None) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        if margin is not None:
            difference = difference - margin
        return -F.logsigmoid(difference)

    @property
    def citation(self) -> str:
        return """\
@article{bradley1952rank,
    title = {Rank Analysis of Incomplete Block Designs: {I}. The Method of Paired Comparisons},
    author = {Bradley, Ralph Allan and Terry, Milton E.},
    journal = {Biometrika},
    volume = {39},
    number = {3/4},
    pages = {324--345},
    year = {1952}
}"""
