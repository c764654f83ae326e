"""How far an exact offset would move on other prompts, and with other ratings."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from ...evaluation.statistics import Estimate
from ..mismatch.paired_outcomes import check_expected_win_rate, check_paired_scores
from .pair_offsets import solve_offset


def offset_estimate(
    scores_overvalued: ArrayLike,
    scores_reference: ArrayLike,
    expected_win_rate: float,
    *,
    expected_win_rate_se: float = 0.0,
    ties: str = "loss",
    level: float = 0.95,
) -> Estimate:
    r"""
    The offset of [`solve_offset`] with `method="paired"`, and a confidence interval.

    The offset is the quantile P of \( s_R - s_O \). On other prompts as many of the N differences lie below the true
    quantile as a binomial draw gives, so the interval reaches from one order statistic to another, whatever the
    distribution of the scores: of ranks \( NP \pm z \sqrt{N P (1 - P) + N^2 \operatorname{var}(P)} \).
    Where tied differences put the offset outside, the interval reaches to it.

    Args:
        scores_overvalued, scores_reference (`array_like` of shape `(N,)`):
            Rewards of both models' responses to the same prompts.
        expected_win_rate (`float`):
            P, strictly between 0 and 1.
        expected_win_rate_se (`float`, *optional*, defaults to `0.0`):
            Standard error of P, from that of the ratings.
        ties (`str`, *optional*, defaults to `"loss"`):
            A tie counts as a `"loss"` or `"half"` a win, as for [`solve_offset`].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`~trl_ext.evaluation.statistics.Estimate`]: Offset, in the unit of the scores; an end is infinite where there are
        too few prompts for the level. `se` is the width of the interval over twice the normal quantile.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.arena import offset_estimate
        >>> estimate = offset_estimate(np.arange(101.0), np.zeros(101), 0.5)
        >>> estimate.value, estimate.ci_low, estimate.ci_high
        (-50.5, -61.0, -39.0)

        ```
    """
    overvalued, reference = check_paired_scores(scores_overvalued, scores_reference)
    expected = check_expected_win_rate(expected_win_rate)
    if not 0 <= expected_win_rate_se < math.inf:
        raise ValueError(f"`expected_win_rate_se` must be finite and at least 0, got {expected_win_rate_se}")
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie strictly between 0 and 1, got {level}")
    n, z = len(overvalued), float(norm.ppf((1 + level) / 2))
    half = z * math.sqrt(n * expected * (1 - expected) + (n * expected_win_rate_se) ** 2)
    thresholds = np.sort(reference - overvalued)
    # ranks count from 1: the r-th order statistic lies above the quantile unless r or more differences lie below it
    lowest, highest = math.floor(n * expected - half), math.ceil(n * expected + half) + 1
    low = float(thresholds[lowest - 1]) if lowest >= 1 else -math.inf
    high = float(thresholds[highest - 1]) if highest <= n else math.inf
    offset = solve_offset(overvalued, reference, expected, ties=ties).offset
    low, high = min(low, offset), max(high, offset)
    ratings = "with the uncertainty of the ratings" if expected_win_rate_se else "ratings taken as exact"
    return Estimate(
        value=offset,
        se=(high - low) / (2 * z),
        ci_low=low,
        ci_high=high,
        n=n,
        method=f"order statistics ({level:g} level), {ratings}",
    )
