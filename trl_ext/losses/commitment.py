"""Commitment: the label of an annotator who may also be worse than chance, with a length bias of their own."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


ANNOTATOR_CITATION = """\
@misc{humanshelpllms2025,
    title = {How Humans Help {LLM}s: Assessing and Incentivizing Human Preference Annotators},
    author = {Liu, Shang and Wang, Hanzhao and Ma, Zhongyao and Li, Xiaocheng},
    year = {2025},
    eprint = {2502.06387},
    archivePrefix = {arXiv}
}"""


class CommitmentLoss(PairwiseLoss):
    r"""
    Likelihood of a label from an annotator of commitment \( \eta \in [-1, 1] \):
    \( -\log[\,q\,\sigma(x) + (1-q)\,\sigma(-x)\,] \) with \( q = (1+\eta)/2 \) and
    \( x = r_c - r_r + \text{offset} \).

    The annotator reports the preference of Bradley–Terry with probability q and its opposite with 1 − q. For
    \( \eta \ge 0 \) this is \( \eta\,\sigma(x) + (1-\eta)/2 \): honest with probability η, a coin flip otherwise. A
    negative η is an adversarial annotator, whose labels are evidence for the opposite order.

    References:
        - How Humans Help LLMs, section 3: the annotator model, here continued to negative commitment.
        - Reliability-Aware Preference Learning for LLM Reward Models, equation 6: the same for η in [0, 1].

    Requirements:
        - column `eta` in [-1, 1]; [`~trl_ext.AnnotatorAwareRewardTrainer`] estimates it along with the model
        - optional column `offset`: what the annotator adds to the reward difference, e.g. for a longer response

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `eta` (B,), `offset` (B,) optional |

    Relations:
        - [`ForwardCorrectedLoss`] takes soft labels, for `eta` ≥ 0.
        - [`EpsilonRAPLLoss`] is this loss for `p` = `eta` ≥ 0 and no offset.
        - [`BradleyTerryLoss`] is this loss for `eta` = 1; for `eta` = −1 it is Bradley–Terry with swapped responses.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import CommitmentLoss
        >>> CommitmentLoss()(torch.tensor([2.0]), torch.tensor([0.0]), eta=torch.tensor([0.5]))
        tensor([0.3705])
        ```
    """

    columns = {"eta": (-1.0, 1.0)}
    optional_columns = {"offset": (-torch.inf, torch.inf)}

    def forward(
        self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, eta: Tensor, offset: Tensor | None = None
    ) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        if offset is not None:
            difference = difference + offset
        # log-space keeps gradients finite at extreme differences; at eta = ±1 one term is -inf and weighs nothing
        log_as_felt = torch.log1p(eta) + F.logsigmoid(difference)
        log_opposite = torch.log1p(-eta) + F.logsigmoid(-difference)
        return -torch.logaddexp(log_as_felt, log_opposite) + torch.log(torch.full_like(eta, 2.0))

    @property
    def citation(self) -> str:
        return ANNOTATOR_CITATION
