"""Which monitor tells more about annotators, a second look by themselves or one by an expert."""

import logging
import math
from dataclasses import dataclass
from typing import Literal

from numpy.typing import ArrayLike

from .model import expert_c, expert_c_items, fisher_information, self_consistency_c


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class MonitorComparison:
    """
    Self-consistency against an expert.

    Args:
        c_self (`float`):
            Of the self-consistency monitor.
        c_expert (`float`):
            Of the expert monitor, on average over the items.
        information_self (`float`):
            Fisher information about η of one duplicate, at `eta`.
        information_expert (`float`):
            Likewise of one expert label.
        checks_ratio (`float`):
            Expert labels that tell as much as one duplicate; `inf` where only duplicates tell anything, `nan` where neither
            does.
        cost_ratio (`float`):
            Cost of the expert labels that tell as much as duplicates for a cost of 1; likewise.
        better (`str`):
            `"self"`, `"expert"` or `"equal"`: more information per check; `"neither"` if none of them tells anything.
        cheaper (`str`):
            Likewise: more information per cost.
        eta (`float`):
            Commitment at which they were compared.
    """

    c_self: float
    c_expert: float
    information_self: float
    information_expert: float
    checks_ratio: float
    cost_ratio: float
    better: str
    cheaper: str
    eta: float


def compare_monitors(
    delta: float,
    p: ArrayLike,
    *,
    expert: float | ArrayLike | Literal["p"] = 1.0,
    delta_convention: Literal["paper", "model"] = "paper",
    eta: float = 0.8,
    items_known: bool = False,
    cost_self: float = 1.0,
    cost_expert: float = 1.0,
) -> MonitorComparison:
    r"""
    Compare the monitors by Fisher information: the number of checks for a given precision is inversely proportional.

    Counting agreements, the monitor with the larger c tells more at every η: self-consistency if \( 1-\delta > \bar c \).
    It usually wins, because \( \bar c \) is the clarity of the pairs: where even a committed annotator would disagree with
    a perfect expert on a third of the pairs, \( \bar c \) is 1/3, while δ is small. But annotators agree with themselves
    also when they always prefer the longer response or remember what they said; only an expert notices. If neither tells
    anything (δ = 1 and pairs that are all toss-ups), that is the result, and it is logged.

    References:
        - How Humans Help LLMs, proposition 5.

    Args:
        delta (`float`):
            Probability that a committed annotator answers differently the second time.
        p (`array_like` of shape `(N,)`):
            True probabilities that the first response is better, of the pairs an expert would look at.
        expert (`float`, `array_like` or `"p"`, *optional*, defaults to `1.0`):
            As in [`expert_c_items`].
        delta_convention (`"paper"` or `"model"`, *optional*, defaults to `"paper"`):
            As in [`self_consistency_c`].
        eta (`float`, *optional*, defaults to `0.8`):
            Commitment at which information is computed.
        items_known (`bool`, *optional*, defaults to `False`):
            Whether the true probabilities are known when η is estimated ([`estimate_eta_items`]), which helps the expert.
        cost_self (`float`, *optional*, defaults to `1.0`):
            Cost of a duplicate: one label of the annotator.
        cost_expert (`float`, *optional*, defaults to `1.0`):
            Cost of an expert label.

    Returns:
        [`MonitorComparison`]

    Raises:
        ValueError: Values out of range, or costs that are not positive.

    Example:
        ```python
        >>> from trl_ext.annotators import compare_monitors
        >>> found = compare_monitors(0.02, [0.6, 0.7, 0.9], cost_self=1, cost_expert=10)
        >>> found.better, round(found.c_expert, 3), round(found.checks_ratio, 2), round(found.cost_ratio, 1)
        ('self', 0.467, 9.85, 98.5)
        ```
    """
    for name, cost in (("cost_self", cost_self), ("cost_expert", cost_expert)):
        if not cost > 0:
            raise ValueError(f"{name} must be positive, got {cost}")
    c_self, c_items = self_consistency_c(delta, delta_convention), expert_c_items(p, expert)
    c_pooled = expert_c(p, expert)
    information = fisher_information(eta, c_self), fisher_information(eta, c_items if items_known else c_pooled)
    if not any(information):
        logger.warning("neither monitor tells anything about eta: c is 0 for a second look and for the expert")
    per_cost = information[0] / cost_self, information[1] / cost_expert
    return MonitorComparison(
        c_self=c_self,
        c_expert=c_pooled,
        information_self=information[0],
        information_expert=information[1],
        checks_ratio=_ratio(*information),
        cost_ratio=_ratio(*per_cost),
        better=_larger(*information),
        cheaper=_larger(*per_cost),
        eta=float(eta),
    )


def _ratio(self_value: float, expert_value: float) -> float:
    if expert_value:
        return self_value / expert_value
    return float("inf") if self_value else float("nan")


def _larger(self_value: float, expert_value: float) -> str:
    if self_value == expert_value == 0:
        return "neither"
    if math.isclose(self_value, expert_value):
        return "equal"
    return "self" if self_value > expert_value else "expert"
