"""Forward correction: the likelihood of a noisy label, hard or soft, instead of that of a clean one."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss
from .commitment import ANNOTATOR_CITATION


_CITATION = """\
@inproceedings{patrini2017making,
    title = {Making Deep Neural Networks Robust to Label Noise: A Loss Correction Approach},
    author = {Patrini, Giorgio and Rozza, Alessandro and Menon, Aditya Krishna and Nock, Richard and Qu, Lizhen},
    booktitle = {Conference on Computer Vision and Pattern Recognition},
    year = {2017},
    url = {https://arxiv.org/abs/1609.03683}
}"""


class ForwardCorrectedLoss(PairwiseLoss):
    r"""
    Cross-entropy between a label and what an annotator of commitment η would report:
    \( -\ell\,\log q(d) - (1-\ell)\,\log q(-d) \) with \( q(d) = \eta\,\sigma(d) + (1-\eta)/2 \), \( d = r_c - r_r \),
    \( \ell = \) `label` and \( \eta = \) `eta`.

    The noise is added to the prediction, not taken out of the label: the minimum of the mean loss is where \( q(d) \) is
    the probability of the label, that is, where \( \sigma(d) \) is the *true* preference. Plain cross-entropy has its
    minimum at \( \sigma(d) = q \) instead, which is too close to one half. For `eta` < 1 and labels of 0 and 1 the loss
    is bounded by \( -\log((1-\eta)/2) \), so that a confident model stops being pulled by labels that contradict it.

    A soft label can mean two things, and only one of them needs this loss:

    - *the probability of what the annotator reports*, noise included: a share of votes of such annotators, or
      \( \eta p + (1-\eta)/2 \). It is right here. Such a label lies in \( [(1-\eta)/2, (1+\eta)/2] \) but for sampling;
      outside, the minimum is at an infinite difference, as with a label of 0 or 1.
    - *the true preference* p, from an oracle or already corrected: use [`SoftLabelLoss`]. Here, its noise would be taken
      out a second time and rewards would be too large.

    Value and gradient with respect to the rewards are finite and right for every `eta` and `label` in [0, 1], the ends
    included. The gradient with respect to `eta` itself is defined inside (0, 1) only.

    References:
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators,
          https://arxiv.org/abs/2502.06387: the annotator model.
        - Making Deep Neural Networks Robust to Label Noise: A Loss Correction Approach, 2017, theorem 2 (the forward
          procedure): https://arxiv.org/abs/1609.03683

    Requirements:
        - column `eta` in [0, 1]: the annotator's commitment. An annotator worse than chance has a negative one: that is
          what [`CommitmentLoss`] takes
        - optional column `label` in [0, 1]: the reported P(chosen is better); 1 when left out

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `eta` (B,), `label` (B,) optional |

    Relations:
        - [`EpsilonRAPLLoss`] is this loss with `p` = `eta` and `label` = 1.
        - [`SoftLabelLoss`] is `eta` = 1; [`BradleyTerryLoss`] is `eta` = 1 and `label` = 1.
        - [`BackwardCorrectedLoss`] corrects the loss instead of the prediction: unbiased for the clean loss, with more
          variance and no lower bound.
        - [`CommitmentLoss`] is this loss for hard labels, continued to `eta` in [-1, 0).

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import ForwardCorrectedLoss
        >>> d, eta = torch.tensor([2.0, 2.0]), torch.tensor([0.5, 0.5])
        >>> ForwardCorrectedLoss()(d, torch.zeros(2), eta=eta, label=torch.tensor([1.0, 0.0]))
        tensor([0.3705, 1.1725])
        ```
    """

    columns = {"eta": (0.0, 1.0)}
    optional_columns = {"label": (0.0, 1.0)}

    def forward(
        self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, eta: Tensor, label: Tensor | None = None
    ) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        log_truthful, log_guess = torch.log(eta), torch.log1p(-eta) - math.log(2)
        # log-space keeps gradients finite at extreme differences; at eta = 0 or 1 one term is -inf and weighs nothing
        loss = -torch.logaddexp(log_truthful + F.logsigmoid(difference), log_guess)
        if label is None:
            return loss
        return label * loss - (1 - label) * torch.logaddexp(log_truthful + F.logsigmoid(-difference), log_guess)

    @property
    def citation(self) -> str:
        return f"{_CITATION}\n\n{ANNOTATOR_CITATION}"
