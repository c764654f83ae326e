"""Beta-RAPL: a reliable annotator sees the reward difference sharply, an unreliable one blurred."""

import math

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


# No author field: the OpenReview entry names none
RAPL_CITATION = """\
@misc{rapl2024,
    title = {Reliability-Aware Preference Learning for {LLM} Reward Models},
    year = {2024},
    howpublished = {OpenReview},
    url = {https://openreview.net/forum?id=xRDYDI6Rc9}
}"""


class BetaRAPLLoss(PairwiseLoss):
    r"""
    Bradley–Terry for an annotator whose rationality is \( \beta \): \( -\log\sigma(\beta\,(r_c - r_r)) \).

    Choose it when unreliable annotators are unsure about *close* pairs but still right about clear ones. `beta = 0`
    ignores the pair. The gradient of a contradicted pair tends to `beta`, so a confidently wrong label keeps its pull.
    A factor common to all `beta` changes the scale of the rewards, not their order.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models, equation 5:
          https://openreview.net/forum?id=xRDYDI6Rc9

    Requirements:
        - column `beta` in [0, inf), e.g. P(correct) converted by [`~trl_ext.reliability.reliability_to_beta`]

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `beta` (B,) |

    Relations:
        - [`BradleyTerryLoss`] is `beta = 1`.
        - [`EpsilonRAPLLoss`] mixes with chance instead; its loss is bounded for `p < 1`.
        - [`ScaledBradleyTerryLoss`] multiplies the loss instead of the difference.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import BetaRAPLLoss
        >>> BetaRAPLLoss()(torch.tensor([2.0]), torch.tensor([0.0]), beta=torch.tensor([0.5]))
        tensor([0.3133])
        ```
    """

    columns = {"beta": (0.0, math.inf)}

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, beta: Tensor) -> Tensor:
        return -F.logsigmoid(beta * (rewards_chosen - rewards_rejected))

    @property
    def citation(self) -> str:
        return RAPL_CITATION
