"""Within-source anchor: the rewards of a source may move together, their order stays that of a frozen model."""

from typing import Any

import torch
from torch import Tensor

from .batch_objective import (
    CHARM_CITATION,
    BatchObjective,
    GroupSums,
    SumOverProcesses,
    as_rows,
    check_codes,
    check_weights,
    with_gradient_of,
)


class WithinSourceAnchorLoss:
    r"""
    Variance of what training changed within the sources: with \( d_i = r_i - r_i^\text{frozen} \),
    \( \sum_s \sum_{i \in s} (d_i - \bar d_s)^2 \,/\, \sum_s (n_s - 1) \), the pooled variance of d.

    Choose it together with [`WinRateMatchingLoss`], which moves the rewards of sources against each other: adding a
    constant to all rewards of a source costs nothing, changing how its responses compare costs the square. The unit is
    that of the squared rewards, so the weight of this term has the unit 1 / reward².

    A source with one response in the batch has no variance; it is left out (see `used`). With weights, \( n_s - 1 \) is
    \( W_s - \sum w_i^2 / W_s \), which keeps the estimate unbiased.

    References:
        - CHARM: Calibrating Reward Models With Chatbot Arena Scores, https://arxiv.org/abs/2504.10045: an offset per
          model, which this anchor leaves free. The term itself is not in the paper.

    Relations:
        - [`WinRateMatchingLoss`] determines what this term leaves open.

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import WithinSourceAnchorLoss
        >>> rewards, frozen = torch.tensor([1.0, 3.0, 5.0, 5.0]), torch.tensor([0.0, 2.0, 1.0, 2.0])
        >>> objective = WithinSourceAnchorLoss()(rewards, frozen, torch.tensor([0, 0, 1, 1]), 2)
        >>> objective.value.item(), objective.statistics.tolist()  # d = 1, 1, 4, 3: (0 + 0 + 1/4 + 1/4) / 2
        (0.25, [1.0, 3.5])

        ```
    """

    def __call__(
        self,
        rewards: Tensor,
        frozen_rewards: Tensor,
        sources: Tensor,
        num_sources: int,
        *,
        weight: Tensor | None = None,
        sum_over_processes: SumOverProcesses | None = None,
    ) -> BatchObjective:
        """
        Args:
            rewards (`torch.Tensor` of shape `(R,)`):
                Rewards of the responses of this process.
            frozen_rewards (`torch.Tensor` of shape `(R,)`):
                Their rewards by the model before training; no gradient goes there.
            sources (`torch.Tensor` of shape `(R,)`):
                Source of every response, int64 in [0, `num_sources`).
            num_sources (`int`):
                Number of sources S, the same on every process.
            weight (`torch.Tensor` of shape `(R,)`, *optional*):
                Weights of the responses, in [0, inf).
            sum_over_processes (`SumOverProcesses`, *optional*):
                Sums a detached tensor over the processes. Every process must call, also one without responses.

        Returns:
            [`BatchObjective`]: `statistics` are the mean changes of the sources' rewards. Only differences between them
            matter for comparisons.

        Raises:
            ValueError: A shape is wrong, or a value outside its range.
            TypeError: `sources` are not int64.
        """
        rewards = as_rows(rewards, "rewards")
        frozen_rewards = as_rows(frozen_rewards, "frozen_rewards", len(rewards), "rewards")
        check_codes(sources, "sources", len(rewards), "rewards", num_sources)
        weight = check_weights(weight, rewards, "rewards").double()

        sums = GroupSums(sources, num_sources, sum_over_processes)
        changes = rewards.detach().double() - frozen_rewards.detach().double()
        counts, totals, total_squares, change_sums = sums(weight > 0, weight, weight.square(), weight * changes)
        means = change_sums / totals  # nan for a source without responses
        centred = torch.where(weight > 0, changes - means[sources], 0.0)
        (squares,) = sums(weight * centred.square())  # in a second pass: rewards may be far from zero

        used = counts.round() > 1
        freedom = torch.where(used, totals - total_squares / totals, 0.0).sum()
        freedom = freedom.clamp_min(torch.finfo(torch.float64).tiny)
        slopes = torch.where(used[sources], 2 * weight * centred / freedom, 0.0)
        return BatchObjective(
            loss=with_gradient_of(
                torch.where(used, squares, 0.0).sum() / freedom, (slopes.to(rewards.dtype) * rewards).sum()
            ),
            value=torch.where(used, squares, 0.0).sum() / freedom,
            statistics=means,
            counts=counts.round().long(),
            used=used,
        )

    @property
    def citation(self) -> str:
        """BibTeX entry of the paper to cite."""
        return CHARM_CITATION

    def get_config_dict(self) -> dict[str, Any]:
        """Constructor arguments, for the model card: there are none."""
        return {}
