"""Soft labels: every pair says how probable it is that its chosen response is the better one."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class SoftLabelLoss(PairwiseLoss):
    r"""
    Cross-entropy between a soft label and Bradley–Terry:
    \( -[\,\ell\,\log\sigma(r_c - r_r) + (1-\ell)\,\log\sigma(r_r - r_c)\,] \) with \( \ell = \) `label`.

    Choose it when the label is a probability: a share of votes, the win rate of an oracle, or P(correct). Its minimum is
    at the reward difference \( \operatorname{logit}(\ell) \), so that a pair with label one half pulls the two rewards
    *together*; it is not ignored. Rewards stay bounded wherever labels are inside (0, 1).

    Labels that were made with a temperature, \( \ell = \sigma(d / T) \) of some other model's reward difference, need the
    same temperature here: \( d / T \) takes the place of \( d \), and the minimum is at \( T \operatorname{logit}(\ell) \).

    Args:
        temperature (`float`, *optional*, defaults to `1.0`):
            T, in the unit of the rewards, above 0.

    References:
        - Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons, 1952: the likelihood of a share
          of preferences.
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators,
          https://arxiv.org/abs/2502.06387: reward models trained on oracle probabilities.

    Requirements:
        - column `label` in [0, 1]: P(chosen is better)

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `label` (B,) |

    Relations:
        - [`BradleyTerryLoss`] is `label = 1`.
        - [`LabelSmoothingLoss`] is the same label, \( 1 - \varepsilon \), for every pair.
        - [`EpsilonRAPLLoss`] models the annotator instead of smoothing the label: its minimum is at an infinite
          difference, and a pair with `p = 0` is ignored.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import SoftLabelLoss
        >>> SoftLabelLoss()(torch.tensor([2.0]), torch.tensor([0.0]), label=torch.tensor([0.75]))
        tensor([0.6269])
        ```
    """

    columns = {"label": (0.0, 1.0)}

    def __init__(self, temperature: float = 1.0):
        if not 0 < temperature < float("inf"):
            raise ValueError(f"`temperature` must be in (0, inf), got {temperature}")
        self.temperature = float(temperature)

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, label: Tensor) -> Tensor:
        difference = (rewards_chosen - rewards_rejected) / self.temperature
        return -(label * F.logsigmoid(difference) + (1 - label) * F.logsigmoid(-difference))

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

    def get_config_dict(self) -> dict[str, Any]:
        return {"temperature": self.temperature}
