"""Commitment η from a count of agreements, with an exact interval."""

import functools
import logging
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import xlog1py, xlogy

from ..evaluation.statistics import Estimate
from ._checks import as_count, check_chance, check_level, positive_c
from .intervals import agreement_interval


logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EtaEstimate(Estimate):
    """
    Commitment of an annotator, or of a group that is taken as one, with `value`, `ci_low` and `ci_high` in [0, 1]
    ([−1, 1] with `allow_negative`).

    Args:
        se (`float`):
            Standard error of `unclipped` at the observed share of agreements; 0 where all or none agree.
        n (`int`):
            Number of checks.
        unclipped (`float`):
            (2Ā − 1)/c, unbiased, which may lie outside the range of commitments.
        unclipped_ci_low (`float`):
            Lower end before it was cut to the range.
        unclipped_ci_high (`float`):
            Upper end, likewise.
        agreements (`int`):
            Number of checks that agreed.
        c (`float`):
            The c that was assumed; with items, their mean.
        level (`float`):
            Confidence level.
        log_likelihood (`float`):
            Of the sequence of agreements at `value`, in nats.
        note (`str`):
            What the data say against the model; empty if nothing.
    """

    unclipped: float
    unclipped_ci_low: float
    unclipped_ci_high: float
    agreements: int
    c: float
    level: float
    log_likelihood: float
    note: str = ""


def estimate_eta(
    agreements: int,
    n: int,
    c: float,
    level: float = 0.95,
    *,
    method: Literal["mid-p", "clopper-pearson"] = "mid-p",
    allow_negative: bool = False,
    chance: float = 0.5,
) -> EtaEstimate:
    r"""
    Maximum-likelihood estimate of the commitment, \( \hat\eta = (2\bar A - 1)/c \) cut to [0, 1], with an interval.

    The interval is that of the agreement probability, moved to the scale of η and cut to the range. Cutting does not
    change whether it covers a commitment inside the range. If nothing is left, both ends are the end of the range that
    is nearest, and `note` (also logged) says whether labels agree less than guesses or more than c allows.

    Checks must be independent: different pairs, drawn at random, none counted twice.

    With few checks no interval covers at just its level: at c = 0.98 and 20 to 99 checks, the exact coverage of the 95 %
    mid-p interval is 0.925 to 0.990 at η = 0.9 (inside 0.93 to 0.97 for all n from 82 on only), and 0.935 to 0.974 at
    η = 0.1 and 0.5 (inside from 24 on); [`estimator_moments`] computes it.

    References:
        - How Humans Help LLMs, algorithms 1 and 2, for the statistic.

    Args:
        agreements (`int`):
            Number of checks that agreed.
        n (`int`):
            Number of checks.
        c (`float`):
            From [`self_consistency_c`] or [`expert_c`], in (0, 1].
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`"mid-p"` or `"clopper-pearson"`, *optional*, defaults to `"mid-p"`):
            Interval of the agreement probability, see [`agreement_interval`]: coverage around the level, or never below.
        allow_negative (`bool`, *optional*, defaults to `False`):
            Whether the range is [−1, 1]: against an expert, an annotator may be worse than chance.
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses, 1/K with K labels to choose from.

    Returns:
        [`EtaEstimate`]

    Raises:
        ValueError: Counts that don't fit together or are arrays, c outside (0, 1], or an unknown method.
        TypeError: What is not a number.

    Example:
        ```python
        >>> from trl_ext.annotators import estimate_eta
        >>> found = estimate_eta(150, 200, c=0.98)
        >>> round(found.value, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.51, 0.381, 0.625)
        ```
    """
    return logged(eta_of_counts(agreements, n, c, level, method, allow_negative, chance))


def eta_of_counts(
    agreements: int, n: int, c: float, level: float, method: str, allow_negative: bool, chance: float
) -> EtaEstimate:
    """[`estimate_eta`] without a log."""
    c, chance = positive_c(c), check_chance(chance)
    agreements, n = as_count(agreements, "agreements", 0), as_count(n, "n", 1)
    check_level(level)
    low, high = _interval(agreements, n, level, method)
    share, slope = agreements / n, (1 - chance) * c
    interval = f"{'mid-p' if method == 'mid-p' else 'Clopper-Pearson'} interval"
    return eta_estimate(
        unclipped=(share - chance) / slope,
        ends=((low - chance) / slope, (high - chance) / slope),
        se=float(np.sqrt(share * (1 - share) / n)) / slope,
        n=n,
        agreements=agreements,
        c=c,
        level=level,
        log_likelihood=lambda eta: _binomial_log_likelihood(agreements, n, chance + slope * eta),
        method=f"maximum likelihood, {interval} of the agreement probability ({level:g} level)",
        allow_negative=allow_negative,
    )


@functools.lru_cache(maxsize=4096)  # many annotators have the same counts
def _interval(agreements: int, n: int, level: float, method: str) -> tuple[float, float]:
    low, high = agreement_interval(agreements, n, level, method)
    return float(low), float(high)


def estimate_c(
    agreements: int,
    n: int,
    trusted_eta: float = 1.0,
    level: float = 0.95,
    *,
    method: Literal["mid-p", "clopper-pearson"] = "mid-p",
    chance: float = 0.5,
) -> Estimate:
    r"""
    The c of a monitor from the agreements of annotators whose commitment is known, when nobody knows δ or the true
    probabilities of the pairs: \( \hat c = (2\bar A - 1)/\eta \).

    δ is then 1 − c in the convention of the paper and (1 − c)/2 in that of the model (two labels).

    Args:
        agreements (`int`):
            Number of checks of the trusted annotators that agreed.
        n (`int`):
            Number of their checks.
        trusted_eta (`float`, *optional*, defaults to `1.0`):
            Their commitment, in (0, 1]. If it is overstated, c is understated and everybody else looks better.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        method (`"mid-p"` or `"clopper-pearson"`, *optional*, defaults to `"mid-p"`):
            See [`agreement_interval`].
        chance (`float`, *optional*, defaults to `0.5`):
            Agreement of guesses.

    Returns:
        [`~trl_ext.evaluation.Estimate`]: c, cut to [0, 1].

    Raises:
        ValueError: As [`estimate_eta`].

    Example:
        ```python
        >>> from trl_ext.annotators import estimate_c
        >>> found = estimate_c(190, 200)
        >>> round(found.value, 3), round(found.ci_low, 3), round(found.ci_high, 3)
        (0.9, 0.825, 0.949)
        ```
    """
    # q = (1 + cη)/2 has c and η in the same place
    found = estimate_eta(agreements, n, trusted_eta, level, method=method, chance=chance)
    return Estimate(
        found.value, found.se, found.ci_low, found.ci_high, found.n, f"c at eta {trusted_eta:g}: {found.method}"
    )


def eta_estimate(
    *, unclipped, ends, se, n, agreements, c, level, log_likelihood, method, allow_negative
) -> EtaEstimate:
    """An estimate and the ends of its interval, cut to the range of commitments."""
    lowest = -1.0 if allow_negative else 0.0
    value, low, high = (float(np.clip(x, lowest, 1.0)) for x in (unclipped, *ends))
    note = ""
    if ends[1] < lowest:
        reverses = "" if allow_negative else "; allow_negative=True keeps eta below 0"
        note = f"labels agree less than eta = {lowest:g} allows (interval {ends[0]:.3f} to {ends[1]:.3f}){reverses}"
    elif ends[0] > 1:
        note = (
            f"labels agree more than eta = 1 allows at c = {c:.3f} (interval {ends[0]:.3f} to {ends[1]:.3f}): c is too "
            "small, or the checks are not independent"
        )
    return EtaEstimate(
        value=value,
        se=float(se),
        ci_low=low,
        ci_high=high,
        n=n,
        method=method,
        unclipped=float(unclipped),
        unclipped_ci_low=float(ends[0]),
        unclipped_ci_high=float(ends[1]),
        agreements=agreements,
        c=float(c),
        level=level,
        log_likelihood=float(log_likelihood(value)),
        note=note,
    )


def logged(estimate: EtaEstimate) -> EtaEstimate:
    if estimate.note:
        logger.warning("%d of %d checks agree: %s", estimate.agreements, estimate.n, estimate.note)
    return estimate


def _binomial_log_likelihood(k: int, n: int, q: float) -> float:
    return xlogy(k, q) + xlog1py(n - k, -q)
