"""Weighted averages of estimates that are independent of each other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .estimate import Estimate
from .inputs import as_finite, check_level
from .means import _describe


def weighted_average(estimates: Sequence[Estimate], weights: ArrayLike | None = None, level: float = 0.95) -> Estimate:
    r"""
    Weighted average of independent estimates, such as proportions of disjoint sets of rows, with the MOVER interval:
    \( \bar\theta - \sqrt{\sum_i w_i^2 (\hat\theta_i - l_i)^2} \) and
    \( \bar\theta + \sqrt{\sum_i w_i^2 (u_i - \hat\theta_i)^2} \).

    It uses the interval of every part, so that the one of an average of Wilson intervals stays in [0, 1], and has width
    where all parts are 1.

    References:
        - Zou and Donner, Construction of Confidence Limits about Effect Measures: a General Approach, 2008.

    Args:
        estimates (sequence of [`Estimate`]):
            Parts, estimated from different rows and clusters, with intervals of the same level.
        weights (`array_like` of shape `(K,)`, *optional*):
            Weight of every part, at least 0; they are divided by their sum. Equal by default.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the intervals of the parts, for the description.

    Returns:
        [`Estimate`]: `n` is the number of rows of all parts; `nan` uncertainty if a part has none.

    Example:
        ```python
        >>> parts = [wilson_interval(8, 10), wilson_interval(30, 50)]
        >>> average = weighted_average(parts, [1, 3])
        >>> round(average.value, 3), round(average.ci_low, 3), round(average.ci_high, 3)
        (0.65, 0.521, 0.75)
        ```
    """
    check_level(level)
    if not estimates:
        raise ValueError("estimates is empty")
    weights = as_finite(np.ones(len(estimates)) if weights is None else weights, "weights")
    if weights.size != len(estimates):
        raise ValueError(f"weights must have one value per estimate, got {weights.size} for {len(estimates)}")
    if (weights < 0).any() or weights.sum() == 0:
        raise ValueError(f"weights must be at least 0 and not all 0, got {weights.tolist()}")
    weights = weights / weights.sum()
    values, ses, lows, highs = np.array([[e.value, e.se, e.ci_low, e.ci_high] for e in estimates]).T
    value = weights @ values
    low, high = (np.sqrt(np.sum((weights * gap) ** 2)) for gap in (values - lows, highs - values))
    return Estimate(
        float(value),
        float(np.sqrt(np.sum((weights * ses) ** 2))),
        float(value - low),
        float(value + high),
        sum(estimate.n for estimate in estimates),
        _describe(f"weighted average of {len(estimates)} independent estimates, MOVER interval", level, None, 0),
    )
