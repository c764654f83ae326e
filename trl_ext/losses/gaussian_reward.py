"""Gaussian rewards: a mean and a variance for each response, compared as in Thurstone's model."""

import math

import torch
from torch import Tensor

from .base import PairwiseLoss
from .normal_cdf import log_normal_cdf


class GaussianRewardLoss(PairwiseLoss):
    r"""
    Likelihood of a preference between two responses whose quality is uncertain: with rewards
    \( \mathcal{N}(\mu_c, s_c^2) \) and \( \mathcal{N}(\mu_r, s_r^2) \), the loss is
    \( -\log \Phi\big((\mu_c - \mu_r) / \sqrt{s_c^2 + s_r^2}\big) \).

    Choose it when a response should come with its own uncertainty from one head. **Pairs alone do not identify the
    variance**: the likelihood depends on \( z = (\mu_c - \mu_r)/\sqrt{s_c^2 + s_r^2} \) only, so that

    - all \( \mu \) and \( s \) may be multiplied by one number, and all \( \mu \) moved by another, at no cost;
    - even relative variances are a matter of how the network generalises: any variances at all fit, if each difference of
      means is stretched by its own \( \sqrt{s_c^2 + s_r^2} \), as far as the means of several pairs let it.

    Add absolute judgements: with \( \tau_1 < \tau_2 \), a response is judged bad, fair or good with probabilities
    \( \Phi((\tau_1-\mu)/s) \), \( \Phi((\tau_2-\mu)/s) - \Phi((\tau_1-\mu)/s) \) and \( 1-\Phi((\tau_2-\mu)/s) \)
    ([`ordinal_anchor_loss`]). An uncertain response is judged bad or good more often than a certain one of the same
    mean, which no scaling of means can imitate: \( s/(\tau_2-\tau_1) \) is then identified. With thresholds that are
    learned, location and scale remain a convention, which no comparison depends on.

    References:
        - A Law of Comparative Judgment (Thurstone), 1927, case III.
        - Variance-aware Reward Modeling with Anchor Guidance, https://arxiv.org/abs/2605.11865: Gaussian rewards with anchors.

    Requirements:
        - columns `log_variance_chosen` and `log_variance_rejected`: log of the variances, from the model

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | means (B,) | means (B,) | `log_variance_chosen` (B,), `log_variance_rejected` (B,) |

    Relations:
        - With variances fixed at ½·1.7² it is close to [`BradleyTerryLoss`], whose logistic noise it replaces.
        - `reward_head="gaussian"` of the trainers puts \( \log\Phi(z) - \log\Phi(-z) \) in the place of the reward difference of
          any pairwise loss; with [`BradleyTerryLoss`] that is this loss.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import GaussianRewardLoss
        >>> log_variance = torch.full((1,), 0.5).log()
        >>> loss = GaussianRewardLoss()
        >>> loss(torch.ones(1), torch.zeros(1), log_variance_chosen=log_variance, log_variance_rejected=log_variance)
        tensor([0.1728])
        ```
    """

    columns = {
        "log_variance_chosen": (-math.inf, math.inf),
        "log_variance_rejected": (-math.inf, math.inf),
    }

    def forward(
        self,
        rewards_chosen: Tensor,
        rewards_rejected: Tensor,
        *,
        log_variance_chosen: Tensor,
        log_variance_rejected: Tensor,
    ) -> Tensor:
        z = standardized_difference(rewards_chosen, rewards_rejected, log_variance_chosen, log_variance_rejected)
        return -log_normal_cdf(z)

    @property
    def citation(self) -> str:
        return """\
@article{thurstone1927law,
    title = {A Law of Comparative Judgment},
    author = {Thurstone, Louis Leon},
    journal = {Psychological Review},
    volume = {34},
    number = {4},
    pages = {273--286},
    year = {1927}
}
@misc{fang2026variance,
    title = {Variance-aware Reward Modeling with Anchor Guidance},
    author = {Fang, Shuxing and Han, Ruijian and Zhang, Liangyu and Zhou, Fan},
    year = {2026},
    eprint = {2605.11865},
    archivePrefix = {arXiv}
}"""


def standardized_difference(
    mean_chosen: Tensor, mean_rejected: Tensor, log_variance_chosen: Tensor, log_variance_rejected: Tensor
) -> Tensor:
    """Difference of two Gaussian rewards in its standard deviations, `(B,)`."""
    log_variance = torch.logaddexp(log_variance_chosen, log_variance_rejected)
    return (mean_chosen - mean_rejected) * torch.exp(-log_variance / 2)


def log_odds(z: Tensor) -> Tensor:
    r"""\( \log\Phi(z) - \log\Phi(-z) \): the number whose sigmoid is the probability \( \Phi(z) \) of a preference."""
    return log_normal_cdf(z) - log_normal_cdf(-z)


def ordinal_anchor_loss(mean: Tensor, log_variance: Tensor, classes: Tensor, thresholds: Tensor) -> Tensor:
    r"""
    Negative log-likelihood of absolute judgements of responses with Gaussian rewards, in three ordered classes.

    Args:
        mean, log_variance (`torch.Tensor` of shape `(B,)`):
            Mean and log of the variance of the reward of each response.
        classes (`torch.Tensor` of shape `(B,)`):
            0 (bad), 1 (fair) or 2 (good); below 0 where a response was not judged, which costs nothing.
        thresholds (`torch.Tensor` of shape `(2,)`):
            \( \tau_1 < \tau_2 \), in units of reward.

    Returns:
        `torch.Tensor` of shape `(B,)`, in the precision of the means, float32 at least; computed in float64.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses.gaussian_reward import ordinal_anchor_loss
        >>> ordinal_anchor_loss(torch.zeros(3), torch.zeros(3), torch.tensor([0, 1, -1]), torch.tensor([-1.0, 1.0]))
        tensor([1.8410, 0.3817, 0.0000])
        ```
    """
    dtype = torch.promote_types(mean.dtype, torch.float32)
    scale = torch.exp(-log_variance.double() / 2)
    low, high = ((threshold - mean.double()) * scale for threshold in thresholds.double())
    bad, good = log_normal_cdf(low), log_normal_cdf(-high)
    # Between the thresholds, in the lower tail: Phi(b) - Phi(a) = Phi(-a) - Phi(-b)
    swap = low + high > 0
    a, b = torch.where(swap, -high, low), torch.where(swap, -low, high)
    narrow = b - a < 1e-6  # the difference of two equal numbers: its width times the density there
    upper = log_normal_cdf(b)
    gap = torch.where(narrow, -1.0, log_normal_cdf(a) - upper)
    middle = (a + b) / 2
    density = -(middle**2) / 2 - math.log(2 * math.pi) / 2
    width = torch.log(thresholds[1].double() - thresholds[0].double()) - log_variance.double() / 2
    fair = torch.where(narrow, density + width, upper + torch.log(-torch.expm1(gap)))
    found = torch.where(classes >= 1.5, good, torch.where(classes >= 0.5, fair, bad))
    return -torch.where(classes < 0, 0.0, found).to(dtype)


def preference_probability(difference: Tensor, variance: Tensor) -> Tensor:
    r"""
    Probability \( \mathbb{E}\,\sigma(z) \) of a preference, for a reward difference
    \( z \sim \mathcal{N}(d, v) \), in the probit approximation \( \sigma(d / \sqrt{1 + \pi v / 8}) \), which is within 0.02.

    Uncertainty draws the probability towards one half and never beyond it.

    References:
        - The Evidence Framework Applied to Classification Networks (MacKay), 1992, equation 10.
        - Probabilistic Uncertain Reward Model, https://arxiv.org/abs/2503.22480.

    Args:
        difference, variance (`torch.Tensor` of equal shape):
            Mean and variance of the reward difference.

    Returns:
        `torch.Tensor`: of the same shape.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses.gaussian_reward import preference_probability
        >>> preference_probability(torch.tensor([2.0, 2.0]), torch.tensor([0.0, 4.0]))
        tensor([0.8808, 0.7718])
        ```
    """
    return torch.sigmoid(difference / torch.sqrt(1 + math.pi * variance / 8))
