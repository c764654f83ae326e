"""Focal loss: pairs that the model already gets right count less."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class FocalLoss(PairwiseLoss):
    r"""
    Bradley–Terry, weighted by how wrong the model is: \( -\ell\,(1-s)^\gamma \log s - (1-\ell)\,s^\gamma \log(1-s) \) with
    \( s = \sigma(r_c - r_r) \), \( \ell = \) `label` and \( \gamma = \) `gamma`.

    Choose it when most pairs are easy and their small losses drown the hard ones. **Not for noisy labels**: a wrong label
    is a hard pair, which keeps its full weight while the right ones lose theirs. Compare the noise-robust
    [`SymmetricLoss`].

    For soft labels it isn't a proper score: the minimum is at \( s = \ell \) for ℓ of 0, ½ and 1 only; in between the
    model is left less sure than the label (at s = 0.69 for a label of 0.9 and γ = 2).

    Args:
        gamma (`float`, *optional*, defaults to `2.0`):
            Exponent γ ≥ 0 of the weight; 0 is no weight.

    References:
        - Focal Loss for Dense Object Detection, 2017, equation 4: https://arxiv.org/abs/1708.02002

    Requirements:
        - optional column `label` in [0, 1]: P(chosen is better), 1 if left out

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `label` (B,) optional |

    Relations:
        - [`BradleyTerryLoss`] is `gamma = 0` and [`SoftLabelLoss`] is `gamma = 0` with labels.
        - [`EpsilonRAPLLoss`] does the opposite: pairs that contradict the model count less.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import FocalLoss
        >>> FocalLoss(gamma=1.0)(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]))
        tensor([0.0151, 1.8734])
        ```
    """

    optional_columns = {"label": (0.0, 1.0)}

    def __init__(self, gamma: float = 2.0):
        if not 0 <= gamma < float("inf"):
            raise ValueError(f"`gamma` must be in [0, inf), got {gamma}")
        self.gamma = float(gamma)

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, label: Tensor | None = None) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        log_right, log_wrong = F.logsigmoid(difference), F.logsigmoid(-difference)
        # exp(gamma log(1 - s)): a power of 1 - s has an infinite slope at s = 1 for gamma below 1
        loss = -torch.exp(self.gamma * log_wrong) * log_right
        return loss if label is None else label * loss - (1 - label) * torch.exp(self.gamma * log_right) * log_wrong

    @property
    def citation(self) -> str:
        return """\
@inproceedings{lin2017focal,
    title = {Focal Loss for Dense Object Detection},
    author = {Lin, Tsung-Yi and Goyal, Priya and Girshick, Ross and He, Kaiming and Doll{\\'a}r, Piotr},
    booktitle = {Proceedings of the {IEEE} International Conference on Computer Vision},
    pages = {2980--2988},
    year = {2017}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"gamma": self.gamma}
