"""Epsilon-RAPL: the annotator answers truthfully with probability p and guesses otherwise."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss
from .beta_rapl import RAPL_CITATION


class EpsilonRAPLLoss(PairwiseLoss):
    r"""
    Likelihood of a label from an annotator who follows Bradley–Terry with probability `p` and answers at random
    otherwise: \( -\log[\,p\,\sigma(r_c - r_r) + (1-p)/2\,] \).

    Choose it when some labels are guesses. The loss is bounded by \( -\log((1-p)/2) \) and its gradient vanishes for
    pairs the model finds very unlikely, so a confident model stops being pulled by labels that contradict it. `p = 1`
    is Bradley–Terry; `p = 0` ignores the pair.

    Value and gradient with respect to the rewards are finite and right for every `p` in [0, 1], the ends included.
    The gradient with respect to `p` itself is defined inside (0, 1) only.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models, equation 6:
          https://openreview.net/forum?id=xRDYDI6Rc9
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators,
          https://arxiv.org/abs/2502.06387: an annotator with commitment η labels with probability
          \( \eta\,\sigma(d) + (1-\eta)/2 \). This is the same likelihood with \( p = \eta \), so an estimated
          commitment can be passed as `p`.
        - Deep Reinforcement Learning from Human Preferences, section 2.2.3: a constant `p = 0.9`,
          https://arxiv.org/abs/1706.03741

    Requirements:
        - column `p` in [0, 1]: the annotator's commitment η, or P(correct) converted by
          [`~trl_ext.reliability.reliability_to_p`]

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `p` (B,) |

    Relations:
        - [`BradleyTerryLoss`] is `p = 1`.
        - [`ForwardCorrectedLoss`] is this likelihood for labels that may be soft, or the wrong way round.
        - [`BetaRAPLLoss`] scales the reward difference instead of mixing with chance; its loss is unbounded.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import EpsilonRAPLLoss
        >>> EpsilonRAPLLoss()(torch.tensor([2.0]), torch.tensor([0.0]), p=torch.tensor([0.5]))
        tensor([0.3705])
        ```
    """

    columns = {"p": (0.0, 1.0)}

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, p: Tensor) -> Tensor:
        log_truthful = torch.log(p) + F.logsigmoid(rewards_chosen - rewards_rejected)
        log_guess = torch.log1p(-p) - math.log(2)
        # log-space: p / (1 + exp(-d)) has NaN gradients below d = -88.7 in float32. At the ends one term is -inf, which
        # logaddexp gives weight zero.
        return -torch.logaddexp(log_truthful, log_guess)

    @property
    def citation(self) -> str:
        return RAPL_CITATION
