"""Win-rate matching: how often one source beats another by the rewards, moved to how often it should."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .batch_objective import (
    CHARM_CITATION,
    BatchObjective,
    GroupSums,
    SumOverProcesses,
    as_rows,
    check_codes,
    check_values,
    check_weights,
    with_gradient_of,
)


DIVERGENCES = ("squared", "kl")
# Sampling variance of a win rate over 625 prompts: ratings known better than this don't weigh more
VARIANCE_FLOOR = 4e-4
# A sum over processes of exp(x / s) is a float64 above 0 down to x = -700 s, and s log(processes) bounds how far s times
# its logarithm lies above the largest x: each of these makes what the one before has left small enough for the next
_SOFTNESSES = (64.0**3, 64.0**2, 64.0)
_LEAST_LOG = -700 * _SOFTNESSES[0]

_PROPORTIONS_CITATION = """\
@inproceedings{busafekete2023easy,
    title = {Easy Learning from Label Proportions},
    author = {Busa-Fekete, Robert Istvan and Choi, Heejin and Dick, Travis and Gentile, Claudio and Mu{\\~n}oz Medina, Andr{\\'e}s},
    booktitle = {Advances in Neural Information Processing Systems},
    year = {2023},
    url = {https://arxiv.org/abs/2302.03115}
}"""


class WinRateMatchingLoss:
    r"""
    Distance of the win rates of groups of pairs from their targets. A group g is two sources of responses, two policy
    models say; its win rate \( \hat p_g \) is the mean of \( \sigma(z_i / T) \) over its pairs, with \( z_i \) the reward
    of the first source's response minus that of the second's, and \( P_g \) is what it should be:

    - `"squared"`: \( (\hat p_g - P_g)^2 \)
    - `"kl"`: \( P_g \log\frac{P_g}{\hat p_g} + (1 - P_g) \log\frac{1 - P_g}{1 - \hat p_g} \)

    The objective is the average over the groups of the batch, each with weight 1 / (`target_variance` +
    `variance_floor`): variances change what groups count relative to each other, not the size of the objective.

    Choose it when the share of wins is known and the winner of a single pair is not, as with the ratings of a leaderboard
    (learning from label proportions). The other use of such a rate, as the soft label of every pair, is wrong: its
    optimum is the same reward difference for all pairs. The objective says nothing about the order of responses of
    one source; add [`WithinSourceAnchorLoss`] to keep it.

    **Bias.** The square of a noisy mean is too large by the variance of the mean, and minimising it makes win rates less
    variable: rewards are pushed to extremes. With `unbiased=True` the square is estimated without it, by the mean of
    \( u_i u_j \) over the pairs i ≠ j of the group, \( u_i = \sigma(z_i / T) - P_g \). The estimate may be negative. A
    group with one row has none and is left out (see `used`). The divergence `"kl"` is always that of the mean of the
    batch: for it no unbiased estimate exists, so use large groups.

    **Running win rates.** With `running`, the win rate is \( \tilde p = m\,\text{running} + (1 - m)\,\hat p \), m being
    `momentum`. The gradient is that of the objective at \( \tilde p \) with `running` held fixed, divided by 1 − m, so
    that its size doesn't depend on m. Then a group with one row counts, by its running rate. `nan` stands for a group
    that was never seen; its \( \tilde p \) is \( \hat p \).

    Args:
        temperature (`float`, *optional*, defaults to `1.0`):
            T, in the unit of the rewards. Small against their differences, the win rate is the share of pairs won, and few
            pairs near a tie move it; large, it moves all pairs and is no longer the share of pairs won.
        divergence (`str`, *optional*, defaults to `"squared"`):
            `"squared"` or `"kl"`. The gradient of `"kl"` doesn't vanish where every pair of a group is won or lost.
        unbiased (`bool`, *optional*, defaults to `True`):
            Whether the variance of the mean is left out of `"squared"`.
        momentum (`float`, *optional*, defaults to `0.9`):
            Weight m of running win rates, in [0, 1). Without `running` it has no meaning.
        variance_floor (`float`, *optional*, defaults to `4e-4`):
            What is added to the variances of the targets, above 0. The default is the sampling variance of a win rate over
            625 prompts.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, equation 3: the soft win rate with temperature 1,
          https://arxiv.org/abs/2504.10045. There it determines an offset; here it trains the model.
        - Easy Learning from Label Proportions, 2023: unbiased losses from shares, https://arxiv.org/abs/2302.03115
        - A Class of Statistics with Asymptotically Normal Distribution, 1948: U-statistics.

    Relations:
        - [`SoftLabelLoss`] takes a label for every pair, from offsets that were fitted to the win rates.
        - [`WithinSourceAnchorLoss`] holds what this objective leaves open.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import WinRateMatchingLoss
        >>> differences = torch.tensor([2.0, 0.0, -1.0, 1.0], requires_grad=True)
        >>> objective = WinRateMatchingLoss()(differences, torch.tensor([0, 0, 1, 1]), torch.tensor([0.5, 0.4]))
        >>> [round(rate, 4) for rate in objective.statistics.tolist()]  # (.8808 + .5) / 2 and (.2689 + .7311) / 2
        [0.6904, 0.5]
        >>> round(objective.value.item(), 4)  # (.3808 * 0 - .1311 * .3311) / 2
        -0.0217
        >>> objective.loss.backward()

        ```
    """

    def __init__(
        self,
        temperature: float = 1.0,
        divergence: str = "squared",
        unbiased: bool = True,
        momentum: float = 0.9,
        variance_floor: float = VARIANCE_FLOOR,
    ):
        for name, number in (("temperature", temperature), ("variance_floor", variance_floor)):
            if not 0 < number < float("inf"):
                raise ValueError(f"`{name}` must be in (0, inf), got {number}")
        if divergence not in DIVERGENCES:
            raise ValueError(f"`divergence` must be one of {DIVERGENCES}, got {divergence!r}")
        if not 0 <= momentum < 1:
            raise ValueError(f"`momentum` must be in [0, 1), got {momentum}")
        self.temperature = float(temperature)
        self.divergence = divergence
        self.unbiased = unbiased
        self.momentum = float(momentum)
        self.variance_floor = float(variance_floor)

    def __call__(
        self,
        differences: Tensor,
        groups: Tensor,
        targets: Tensor,
        *,
        weight: Tensor | None = None,
        target_variance: Tensor | None = None,
        running: Tensor | None = None,
        sum_over_processes: SumOverProcesses | None = None,
    ) -> BatchObjective:
        """
        Args:
            differences (`torch.Tensor` of shape `(B,)`):
                Reward of the group's first source minus that of its second, for the pairs of this process.
            groups (`torch.Tensor` of shape `(B,)`):
                Group of every pair, int64 in [0, G).
            targets (`torch.Tensor` of shape `(G,)`):
                Win rates P of the first sources, in [0, 1].
            weight (`torch.Tensor` of shape `(B,)`, *optional*):
                Weights of the pairs within their group, in [0, inf).
            target_variance (`torch.Tensor` of shape `(G,)`, *optional*):
                Variances of the targets, in [0, inf), e.g. from the intervals of the ratings.
            running (`torch.Tensor` of shape `(G,)`, *optional*):
                Running win rates in [0, 1], `nan` where unknown: all `nan` at first, then the objective's `running`.
            sum_over_processes (`SumOverProcesses`, *optional*):
                Sums a detached tensor over the processes. Every process must call, also one without pairs.

        Returns:
            [`BatchObjective`]: `statistics` are the win rates of the batch.

        Raises:
            ValueError: A shape is wrong, or a value outside its range.
            TypeError: `groups` are not int64.
        """
        differences = as_rows(differences, "differences")
        targets = as_rows(targets, "targets").double()
        num_groups = len(targets)
        check_values(targets, "targets", 0.0, 1.0)
        check_codes(groups, "groups", len(differences), "differences", num_groups)
        weight = check_weights(weight, differences, "differences")
        importance = self._importance(targets, target_variance)
        running = self._known(running, targets)

        sums = GroupSums(groups, num_groups, sum_over_processes)
        scaled = differences / self.temperature
        counts = sums(weight > 0)[0].round().long()
        divergence = self._squared if self.divergence == "squared" else self._kl
        values, used, win_rates, local_terms = divergence(scaled, weight, targets, running, counts, sums)

        importance = torch.where(used, importance, 0.0)
        importance = importance / importance.sum().clamp_min(torch.finfo(torch.float64).tiny)
        value = (importance * torch.where(used, values, 0.0)).sum()
        surrogate = (importance[groups].to(local_terms.dtype) * local_terms).sum()
        mixed = self._mixed(win_rates, running)
        return BatchObjective(
            loss=with_gradient_of(value, surrogate),
            value=value,
            statistics=win_rates,
            counts=counts,
            used=used,
            running=None if running is None else torch.where(counts > 0, mixed, running),
        )

    @property
    def citation(self) -> str:
        """BibTeX of what it builds on: the win rates, and unbiased losses of shares of labels."""
        return f"{CHARM_CITATION}\n\n{_PROPORTIONS_CITATION}" if self.unbiased else CHARM_CITATION

    def get_config_dict(self) -> dict[str, Any]:
        """Constructor arguments, for the model card."""
        return {
            "temperature": self.temperature,
            "divergence": self.divergence,
            "unbiased": self.unbiased,
            "momentum": self.momentum,
            "variance_floor": self.variance_floor,
        }

    def _importance(self, targets: Tensor, target_variance: Tensor | None) -> Tensor:
        if target_variance is None:
            return torch.ones_like(targets)
        variance = as_rows(target_variance, "target_variance", len(targets), "targets").double()
        check_values(variance, "target_variance", 0.0, torch.finfo(torch.float64).max)
        return 1 / (variance + self.variance_floor)

    @staticmethod
    def _known(running: Tensor | None, targets: Tensor) -> Tensor | None:
        if running is None:
            return None
        running = as_rows(running, "running", len(targets), "targets").detach().double()
        check_values(running, "running", 0.0, 1.0, missing=True)
        return running

    def _momenta(self, win_rates: Tensor, running: Tensor | None) -> Tensor:
        """Weight m of every group's running rate: 0 where there is none."""
        if running is None:
            return torch.zeros_like(win_rates)
        return torch.where(running.isnan(), torch.zeros_like(running), self.momentum)

    def _mixed(self, win_rates: Tensor, running: Tensor | None) -> Tensor:
        momenta = self._momenta(win_rates, running)
        return win_rates if running is None else momenta * running.nan_to_num() + (1 - momenta) * win_rates

    def _squared(
        self,
        scaled: Tensor,
        weight: Tensor,
        targets: Tensor,
        running: Tensor | None,
        counts: Tensor,
        sums: GroupSums,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Objective, use and win rate of every group, and terms `(B,)` that have the gradient of the objectives."""
        groups, weight = sums.groups, weight.double()
        wins = torch.sigmoid(scaled)
        errors = wins.detach().double() - targets[groups]
        totals, error_sums, total_squares, error_squares = sums(
            weight, weight * errors, weight.square(), (weight * errors).square()
        )
        mean_errors = error_sums / totals  # nan for a group without rows
        momenta = self._momenta(mean_errors, running)
        running_errors = torch.zeros_like(targets) if running is None else (running - targets).nan_to_num()

        slopes = 2 * mean_errors[groups] * weight / totals[groups]
        squares = mean_errors.square()
        measured = counts > 0
        if self.unbiased:
            # mean of u_i u_j over i != j: (sum u)^2 = sum u_i^2 + what is left
            measured = counts > 1
            cross = torch.where(measured, totals.square() - total_squares, 1.0)
            squares = torch.where(measured, (error_sums.square() - error_squares) / cross, 0.0)
            slopes = 2 * weight * (error_sums[groups] - weight * errors) / cross[groups]
            slopes = torch.where(measured[groups], slopes, 0.0)

        values = (
            momenta.square() * running_errors.square()
            + 2 * momenta * (1 - momenta) * running_errors * mean_errors
            + (1 - momenta).square() * squares
        )
        used = measured | ((momenta > 0) & (counts > 0))
        towards_running = 2 * (momenta * running_errors)[groups] * weight / totals[groups]
        slopes = towards_running + (1 - momenta)[groups] * slopes
        # a row of weight zero may be of a group without weight, whose means are nan
        slopes = torch.where(weight > 0, slopes, 0.0)
        return values, used, mean_errors + targets, slopes.to(wins.dtype) * wins

    def _kl(
        self,
        scaled: Tensor,
        weight: Tensor,
        targets: Tensor,
        running: Tensor | None,
        counts: Tensor,
        sums: GroupSums,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same for the Kullback–Leibler divergence, with the logarithms of win and loss rates."""
        groups, weight = sums.groups, weight.double()
        log_wins, log_losses = F.logsigmoid(scaled), F.logsigmoid(-scaled)
        log_weight = weight.log()
        log_totals = sums(weight)[0].log()
        log_rates = [
            _log_sums(log_weight + log_shares.detach().double(), sums) - log_totals
            for log_shares in (log_wins, log_losses)
        ]
        momenta = self._momenta(targets, running)
        log_momenta, log_rest = momenta.log(), torch.log1p(-momenta)
        rates = (
            (torch.zeros_like(targets),) * 2 if running is None else (running.nan_to_num(), 1 - running.nan_to_num())
        )

        values = torch.special.xlogy(targets, targets) + torch.special.xlogy(1 - targets, 1 - targets)
        terms = torch.zeros_like(scaled)
        for target, log_rate, rate, log_shares in zip(
            (targets, 1 - targets), log_rates, rates, (log_wins, log_losses), strict=True
        ):
            log_mixed = torch.logaddexp(log_momenta + rate.log(), log_rest + log_rate)
            values = values - torch.where(target > 0, target * log_mixed, 0.0)
            # d log(mean of s_i) = sum of w_i s_i / (sum of w s) d log s_i: bounded however small the mean is
            log_portions = log_weight + log_shares.detach().double() - (log_totals + log_mixed)[groups]
            portions = torch.where(weight > 0, target[groups] * log_portions.exp(), 0.0)
            terms = terms - portions.to(scaled.dtype) * log_shares
        return values, counts > 0, torch.where(counts > 0, log_rates[0].exp(), torch.nan), terms


def _log_sums(log_values: Tensor, sums: GroupSums) -> Tensor:
    """
    Logarithms `(G,)` of the sums of `exp(log_values)` over all processes, by sums over processes only.

    The largest value of a group is needed by every process before it can take exponentials. Its stand-in is a softened
    maximum of the processes' own results, which sums are enough for. A result below -180 million, where no float32 reward
    says more than that the group is lost, is taken for that.
    """
    smallest = torch.finfo(torch.float64).min
    largest = torch.full((sums.num_groups,), smallest, dtype=torch.float64, device=log_values.device)
    largest = largest.scatter_reduce(0, sums.groups, log_values.clamp_min(smallest), "amax")
    local = largest + sums.local((log_values - largest[sums.groups]).exp())[0].log()
    if sums.sum_over_processes is None:
        return local
    local = torch.where(local.isinf(), local, local.clamp_min(_LEAST_LOG))
    shifts = torch.zeros_like(local)
    for softness in _SOFTNESSES:
        shifts = shifts + softness * sums.total(((local - shifts) / softness).exp()).log()
    return shifts + sums.total((local - shifts).exp()).log()
