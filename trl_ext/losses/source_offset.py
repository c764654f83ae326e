"""Source offset: which model wrote a response is part of the label's explanation, and not of its reward."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss
from .batch_objective import CHARM_CITATION


class SourceOffsetLoss(PairwiseLoss):
    r"""
    Cross-entropy between a label and Bradley–Terry with an offset per source of responses:
    \( -[\,\ell\,\log\sigma(x) + (1-\ell)\,\log\sigma(-x)\,] \) with \( x = r_c - r_r + b_c - b_r \), \( \ell = \)
    `label` and `offset` \( = b_c - b_r \).

    Choose it for human labels of responses whose sources are known, when annotators, or the prompts they saw, favour
    some sources whatever the response. The offsets b are learned along with the rewards and dropped afterwards: they
    take up what the source alone explains. Only their differences matter, and an offset and the mean reward of a source
    can only be told apart as far as rewards can't tell the source from the response.

    Gradients flow to `offset` where it requires them.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045: rewards with an
          offset per model. There the offsets are fitted to ratings and change the labels.
        - Rank Analysis of Incomplete Block Designs: I. The Method of Paired Comparisons, 1952.

    Requirements:
        - column `offset`, any finite value: offset of the chosen response's source minus that of the rejected one's
        - optional column `label` in [0, 1]: P(chosen is better), 1 if left out

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `offset` (B,), `label` (B,) optional |

    Relations:
        - [`SoftLabelLoss`] is `offset = 0`.
        - [`MarginRAPLLoss`] is `margin = -offset` for label 1.
        - [`CommitmentLoss`] has such an offset for annotators who err.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import SourceOffsetLoss
        >>> SourceOffsetLoss()(torch.tensor([2.0]), torch.tensor([0.0]), offset=torch.tensor([-1.0]))
        tensor([0.3133])
        ```
    """

    columns = {"offset": (-torch.inf, torch.inf)}
    optional_columns = {"label": (0.0, 1.0)}

    def forward(
        self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, offset: Tensor, label: Tensor | None = None
    ) -> Tensor:
        shifted = rewards_chosen - rewards_rejected + offset
        if label is None:
            return -F.logsigmoid(shifted)
        return -(label * F.logsigmoid(shifted) + (1 - label) * F.logsigmoid(-shifted))

    @property
    def citation(self) -> str:
        return CHARM_CITATION
