"""Scaled Bradley–Terry: the strength of the preference multiplies the loss."""

import math

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class ScaledBradleyTerryLoss(PairwiseLoss):
    r"""
    Bradley–Terry in which a pair counts as often as its preference is strong: \( -m\,\log\sigma(r_c - r_r) \).

    Choose it when annotators also said *how much* better the chosen response is (HelpSteer2-Preference: 1 slightly,
    2 better, 3 much better). The probability the model is asked for does not change, only the pair's share of the
    gradient; `m = 0` drops the pair.

    References:
        - HelpSteer2-Preference: Complementing Ratings with Preferences, the scaled Bradley–Terry loss:
          https://arxiv.org/abs/2410.01257

    Requirements:
        - column `margin` in [0, inf)

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `margin` (B,) |

    Relations:
        - [`BradleyTerryLoss`] with `margin` shifts the reward difference instead; its optimum has larger rewards.
        - The trainers' `weight` column multiplies the loss too, but is normalised by the total weight.
          This loss is not: doubling every margin doubles the gradient.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import ScaledBradleyTerryLoss
        >>> ScaledBradleyTerryLoss()(torch.tensor([2.0]), torch.tensor([0.0]), margin=torch.tensor([3.0]))
        tensor([0.3808])
        ```
    """

    columns = {"margin": (0.0, math.inf)}

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, margin: Tensor) -> Tensor:
        return -margin * F.logsigmoid(rewards_chosen - rewards_rejected)

    @property
    def citation(self) -> str:
        return """\
@misc{wang2024helpsteer2preference,
    title = {{HelpSteer2-Preference}: Complementing Ratings with Preferences},
    author = {Zhilin Wang and Alexander Bukharin and Olivier Delalleau and Daniel Egert and Gerald Shen and Jiaqi Zeng and Oleksii Kuchaiev and Yi Dong},
    year = {2024},
    eprint = {2410.01257},
    archivePrefix = {arXiv},
    url = {https://arxiv.org/abs/2410.01257}
}"""
