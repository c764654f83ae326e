"""Label smoothing: every label is right with the same probability."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class LabelSmoothingLoss(PairwiseLoss):
    r"""
    Bradley–Terry with smoothed labels:
    \( -(1-\varepsilon)\,\log\sigma(r_c - r_r) - \varepsilon\,\log\sigma(r_r - r_c) \), where every label is right with
    probability \( 1 - \varepsilon \).

    Choose it as the baseline that knows how many labels are wrong, but not which. Its minimum is at the reward difference
    \( \log\frac{1-\varepsilon}{\varepsilon} \), so that rewards stop growing there. Its mean over noisy labels is not the
    loss on clean ones: that is what [`BackwardCorrectedLoss`] has.

    Args:
        epsilon (`float`, *optional*, defaults to `0.1`):
            Probability in [0, 0.5) that a label is wrong.

    References:
        - A note on DPO with noisy preferences & relationship to IPO (conservative DPO, cDPO), 2023:
          https://ericmitchell.ai/cdpo.pdf

    Requirements:
        - no column

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | none |

    Relations:
        - [`BradleyTerryLoss`] is `epsilon = 0`.
        - [`SoftLabelLoss`] has its own \( 1 - \varepsilon \) for every pair.
        - [`BackwardCorrectedLoss`] subtracts the loss of the opposite label instead of adding it: unbiased, not smooth.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import LabelSmoothingLoss
        >>> LabelSmoothingLoss(epsilon=0.25)(torch.tensor([2.0]), torch.tensor([0.0]))
        tensor([0.6269])
        ```
    """

    def __init__(self, epsilon: float = 0.1):
        if not 0 <= epsilon < 0.5:
            raise ValueError(
                f"`epsilon` must be in [0, 0.5), got {epsilon}. From 0.5 on the labels say nothing or the opposite."
            )
        self.epsilon = float(epsilon)

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        return -((1 - self.epsilon) * F.logsigmoid(difference) + self.epsilon * F.logsigmoid(-difference))

    @property
    def citation(self) -> str:
        return """\
@misc{mitchell2023note,
    title = {A note on {DPO} with noisy preferences \\& relationship to {IPO}},
    author = {Mitchell, Eric},
    year = {2023},
    url = {https://ericmitchell.ai/cdpo.pdf}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"epsilon": self.epsilon}
