"""Ordinal labels: annotators say on a short scale how much better one response is."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .base import LEVEL_TOLERANCE, PairwiseLoss


class OrdinalLoss(PairwiseLoss):
    r"""
    Negative log-likelihood of an ordinal label under proportional odds: with \( d = r_c - r_r \) and thresholds
    \( c_1 < \dots < c_{K-1} \), symmetric about 0, \( P(\text{level} \ge k) = \sigma(d - c_k) \), so that level k has
    probability \( \sigma(d - c_k) - \sigma(d - c_{k+1}) \) with \( c_0 = -\infty \) and \( c_K = \infty \).

    Choose it when annotators answered on a scale: "worse, about equal, better", or five steps. The annotator is taken to
    perceive the difference with logistic noise, and to say in which interval between thresholds it lies. A level in the
    middle pulls the difference into its interval, the outermost levels pull without end like Bradley–Terry. Only the
    order of the levels and the thresholds enter the loss; the numbers that stand for the levels just tell them apart.

    Args:
        levels (`Sequence[float]`, *optional*, defaults to `(0.0, 0.5, 1.0)`):
            Labels that occur, K ≥ 2 of them in ascending order within [0, 1], symmetric about ½: swapping the responses
            turns a label into one minus it. Five levels are `(0.0, 0.2, 0.5, 0.8, 1.0)`.
        thresholds (`Sequence[float]`, *optional*):
            Positive thresholds in ascending order, in units of the reward difference: one for three levels, two for five;
            their negatives, and 0 for an even K, are added. By default, the logits of the midpoints between levels:
            log 3 for three levels, `(0.619, 2.197)` for the five above. They set the scale of the rewards.

    References:
        - Regression Models for Ordinal Data, 1980, section 2: proportional odds.
        - Analysis of Ordinal Paired Comparison Data, 1992: their use for pairs, with thresholds symmetric about 0.

    Requirements:
        - column `label`: one of `levels`

    Inputs:
        | chosen | rejected | columns |
        |--------|----------|---------|
        | rewards (B,) | rewards (B,) | `label` (B,) |

    Relations:
        - [`BradleyTerryTiesLoss`] is three levels with the threshold \( \log\theta \): a tie there is a level here, since
          \( \sigma(d + \log\theta) - \sigma(d - \log\theta) = (\theta^2-1)\,\sigma(d-\log\theta)\,\sigma(-d-\log\theta) \).
        - [`BradleyTerryLoss`] is two levels, which have the threshold 0.
        - [`SoftLabelLoss`] reads the level as a probability. It is the right one for levels that are drawn so that their
          mean is P(chosen is better), as [`~trl_ext.annotators.corrupt_labels`] draws them: the mean label of this loss's
          model is not \( \sigma(d) \).

    Example:
        ```python
        >>> import torch
        >>> from trl_ext.losses import OrdinalLoss
        >>> loss = OrdinalLoss(levels=(0.0, 0.2, 0.5, 0.8, 1.0), thresholds=(0.5, 2.0))
        >>> loss(torch.ones(3), torch.zeros(3), label=torch.tensor([0.5, 0.8, 1.0]))
        tensor([1.6342, 1.0398, 1.3133])
        ```
    """

    columns = {"label": (0.0, 1.0)}

    def __init__(self, levels: Sequence[float] = (0.0, 0.5, 1.0), thresholds: Sequence[float] | None = None):
        levels = tuple(float(level) for level in levels)
        _check_levels(levels)
        needed = (len(levels) - 1) // 2
        if thresholds is None:
            thresholds = [
                _logit_of_midpoint(*levels[k : k + 2]) for k in range(len(levels) - 1 - needed, len(levels) - 1)
            ]
        thresholds = tuple(float(threshold) for threshold in thresholds)
        _check_thresholds(thresholds, needed, len(levels))
        self.levels = {"label": levels}
        self.thresholds = thresholds
        cuts = [-c for c in reversed(thresholds)] + [0.0] * (len(levels) % 2 == 0) + list(thresholds)
        self._lower, self._upper = [-math.inf, *cuts], [*cuts, math.inf]

    def forward(self, rewards_chosen: Tensor, rewards_rejected: Tensor, *, label: Tensor) -> Tensor:
        difference = rewards_chosen - rewards_rejected
        loss = torch.zeros_like(difference)
        for level, low, high in zip(self.levels["label"], self._lower, self._upper, strict=True):
            # s(a) - s(b) = s(a) s(-b) (1 - e^(b - a)): the difference of two sigmoids would be 0 far from the interval.
            # The last factor doesn't depend on the rewards.
            log_probability = F.logsigmoid(difference - low) + F.logsigmoid(high - difference)
            log_probability = log_probability + math.log(-math.expm1(low - high))
            loss = torch.where((label - level).abs() <= LEVEL_TOLERANCE, -log_probability, loss)
        return loss

    @property
    def citation(self) -> str:
        return """\
@article{agresti1992analysis,
    title = {Analysis of Ordinal Paired Comparison Data},
    author = {Agresti, Alan},
    journal = {Journal of the Royal Statistical Society: Series C (Applied Statistics)},
    volume = {41},
    number = {2},
    pages = {287--297},
    year = {1992}
}"""

    def get_config_dict(self) -> dict[str, Any]:
        return {"levels": list(self.levels["label"]), "thresholds": list(self.thresholds)}


def _check_levels(levels: tuple[float, ...]) -> None:
    ends = zip(levels, reversed(levels), strict=True)
    steps = zip(levels[:-1], levels[1:], strict=True)
    if (
        len(levels) < 2
        or not all(0 <= level <= 1 for level in levels)
        or not all(high - low > 2 * LEVEL_TOLERANCE for low, high in steps)
        or not all(math.isclose(low + high, 1, abs_tol=LEVEL_TOLERANCE) for low, high in ends)
    ):
        raise ValueError(
            f"`levels` must be at least two numbers in [0, 1], ascending by more than {2 * LEVEL_TOLERANCE:g} and symmetric "
            f"about 0.5, such as (0, 0.5, 1) or (0, 0.2, 0.5, 0.8, 1); got {levels}"
        )


def _check_thresholds(thresholds: tuple[float, ...], needed: int, levels: int) -> None:
    ascending = all(low < high for low, high in zip((0.0, *thresholds), thresholds, strict=False))
    if len(thresholds) != needed or not ascending or not all(math.isfinite(c) for c in thresholds):
        raise ValueError(
            f"`thresholds` must be {needed} positive, finite and ascending numbers for {levels} levels (their negatives are "
            f"added), got {thresholds}"
        )


def _logit_of_midpoint(low: float, high: float) -> float:
    middle = (low + high) / 2
    return math.log(middle) - math.log1p(-middle)
