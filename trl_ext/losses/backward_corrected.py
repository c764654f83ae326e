"""Backward correction: the loss whose mean over noisy labels is the loss on clean ones."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from .base import PairwiseLoss


class BackwardCorrectedLoss(PairwiseLoss):
    r"""
    Unbiased estimate of the Bradley–Terry loss on clean labels from a label that is wrong with probability
    \( \varepsilon \): \( \frac{(1-\varepsilon)\,\ell(d) - \varepsilon\,\ell(-d)}{1-2\varepsilon} \) with
    \( \ell(d) = -\log\sigma(d) \), \( d = r_c - r_r \) and \( 1-2\varepsilon = \) `eta`.

    If a label is the true one with probability \( 1-\varepsilon = (1+\eta)/2 \) and its opposite otherwise, then the
    expectation of this loss is \( \ell \) of the true label, whatever the rewards.

    Choose it when `eta` is known well and there are many labels. What it pays for being unbiased:

    - *variance*: a pair pulls \( 1/\eta \) times as much as a clean one, so that the least reliable pairs pull most;
    - *no lower bound*: it equals \( \ell(d) - \frac{1-\eta}{2\eta}\,d \), which falls without end as the difference
      grows in the direction of the label. A model that can fit each pair on its own has no reason to stop; only in the
      mean over right and wrong labels of similar pairs is the loss bounded. Stop early, or regularise.

    Args:
        min_eta (`float`, *optional*, defaults to `0.01`):
            Smallest `eta` in (0, 1] that is accepted. A smaller one is an error, it is not clipped: a clipped `eta`
            would be neither unbiased nor what the data say.

    References:
        - Provably Robust DPO: Aligning Language Models with Noisy Feedback (rDPO), 2024:
          https://arxiv.org/abs/2403.00409
        - Learning with Noisy Labels, 2013, lemma 1: the same construction for any loss.

    Requirements:
        - column `eta` in [`min_eta`, 1]: \( 1-2\varepsilon = 2\,P(\text{correct}) - 1 \), e.g. from
          [`~trl_ext.reliability.reliability_to_p`], or the commitment of an annotator

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `eta` (B,) |

    Relations:
        - [`BradleyTerryLoss`] is `eta = 1`.
        - [`EpsilonRAPLLoss`] with `p = eta` has the same noise in the likelihood: bounded for `p < 1`, not unbiased.
        - [`LabelSmoothingLoss`] adds the loss of the opposite label instead of subtracting it.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import BackwardCorrectedLoss
        >>> BackwardCorrectedLoss()(torch.tensor([2.0]), torch.tensor([0.0]), eta=torch.tensor([0.5]))
        tensor([-0.8731])
        ```
    """

    columns = {"eta": (0.0, 1.0)}

    def __init__(self, min_eta: float = 0.01):
        if not 0 < min_eta <= 1:
            raise ValueError(f"`min_eta` must be in (0, 1], got {min_eta}: a label with eta=0 is a coin flip")
        self.min_eta = float(min_eta)
        self.columns = {"eta": (self.min_eta, 1.0)}

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, eta: Tensor) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        # l(-d) = l(d) + d. In this form nothing large is subtracted from something large.
        return -F.logsigmoid(difference) - (1 - eta) / (2 * eta) * difference

    @property
    def citation(self) -> str:
        return """\
@inproceedings{chowdhury2024provably,
    title = {Provably Robust {DPO}: Aligning Language Models with Noisy Feedback},
    author = {Chowdhury, Sayak Ray and Kini, Anush and Natarajan, Nagarajan},
    booktitle = {International Conference on Machine Learning},
    year = {2024},
    url = {https://arxiv.org/abs/2403.00409}
}

@inproceedings{natarajan2013learning,
    title = {Learning with Noisy Labels},
    author = {Natarajan, Nagarajan and Dhillon, Inderjit S. and Ravikumar, Pradeep and Tewari, Ambuj},
    booktitle = {Advances in Neural Information Processing Systems},
    year = {2013}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"min_eta": self.min_eta}
