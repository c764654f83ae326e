"""Symmetric cross-entropy: a bounded term that label noise cannot mislead, added to the usual one."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class SymmetricLoss(PairwiseLoss):
    r"""
    Cross-entropy plus reverse cross-entropy, in which label and prediction change places:
    \( \alpha\,[-\ell\log s - (1-\ell)\log(1-s)] + \beta\,[-s\log\ell - (1-s)\log(1-\ell)] \) with
    \( s = \sigma(r_c - r_r) \), \( \ell = \) `label` and every logarithm of a label floored at \( A < 0 \).

    Choose it when an unknown share of the labels is wrong. For a label of 0 or 1 the reverse term is \( -A \) times the
    probability that the model gives to the other response. It lies in \( [0, -A] \), so that a wrong label costs a confident
    model no more than that, and its slope \( A\,s(1-s) \) vanishes there. It is robust because it is *symmetric*: its
    values for the labels 1 and 0 sum to the constant \( -A \) whatever the rewards. If a label is wrong with
    probability \( \varepsilon < 1/2 \), its mean is \( (1-2\varepsilon) \) times the value on the right label plus a
    constant, and has the same minimum. Cross-entropy has no such constant, but learns faster; α and β say how much
    of each.

    The reverse term of a soft label is linear in s: its slope \( -s(1-s)\log\tfrac{\ell}{1-\ell} \) pulls towards the more
    probable response without end, not towards \( s = \ell \). Only the cross-entropy calibrates.

    Args:
        alpha (`float`, *optional*, defaults to `0.1`):
            Weight α ≥ 0 of the cross-entropy.
        beta (`float`, *optional*, defaults to `1.0`):
            Weight β ≥ 0 of the reverse cross-entropy; not both are 0.
        A (`float`, *optional*, defaults to `-4.0`):
            Floor of the logarithms of a label, negative: what stands for log 0. It also replaces the logarithm of a ℓ or
            1 − ℓ between 0 and \( e^A \), 0.018 at −4.

    References:
        - Symmetric Cross Entropy for Robust Learning with Noisy Labels, 2019: https://arxiv.org/abs/1908.06112
        - Robust Loss Functions under Label Noise for Deep Neural Networks, 2017, theorem 1: symmetric losses tolerate
          noise. https://arxiv.org/abs/1712.09482

    Requirements:
        - optional column `label` in [0, 1]: P(chosen is better), 1 if left out

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `label` (B,) optional |

    Relations:
        - [`SoftLabelLoss`] is `alpha = 1`, `beta = 0`, and [`BradleyTerryLoss`] that without labels.
        - [`EpsilonRAPLLoss`] and [`BackwardCorrectedLoss`] need to know how reliable each label is; this loss doesn't, and
          can't make use of it.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import SymmetricLoss
        >>> SymmetricLoss()(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]))
        tensor([0.4895, 3.7359])
        ```
    """

    optional_columns = {"label": (0.0, 1.0)}

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, A: float = -4.0):
        if not (0 <= alpha < math.inf and 0 <= beta < math.inf and alpha + beta > 0):
            raise ValueError(f"`alpha` and `beta` must be in [0, inf) and not both 0, got {alpha} and {beta}")
        if not -math.inf < A < 0:
            raise ValueError(f"`A` stands for log 0 and must be negative and finite, got {A}")
        self.alpha, self.beta, self.A = float(alpha), float(beta), float(A)

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, label: Tensor | None = None) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        if label is None:
            label = torch.ones_like(difference)
        cross_entropy = -(label * F.logsigmoid(difference) + (1 - label) * F.logsigmoid(-difference))
        log_label, log_other = label.log().clamp(min=self.A), (-label).log1p().clamp(min=self.A)
        reverse = -(torch.sigmoid(difference) * log_label + torch.sigmoid(-difference) * log_other)
        return self.alpha * cross_entropy + self.beta * reverse

    @property
    def citation(self) -> str:
        return """\
@inproceedings{wang2019symmetric,
    title = {Symmetric Cross Entropy for Robust Learning with Noisy Labels},
    author = {Wang, Yisen and Ma, Xingjun and Chen, Zaiyi and Luo, Yuan and Yi, Jinfeng and Bailey, James},
    booktitle = {Proceedings of the {IEEE/CVF} International Conference on Computer Vision},
    pages = {322--330},
    year = {2019}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"alpha": self.alpha, "beta": self.beta, "A": self.A}
