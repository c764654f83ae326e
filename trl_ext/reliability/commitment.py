"""Commitment η of every annotator from reward differences and labels, with what the data can and can't tell."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api.types import is_scalar
from scipy import stats
from scipy.optimize import brentq, minimize_scalar

from ..evaluation.statistics import Estimate, adjust_p_values
from .commitment_likelihood import AnnotatorLikelihood


logger = logging.getLogger(__name__)

DEFAULT_PRIOR = (2.0, 1.25)
_LOG_SCALE_BOUNDS = (-6.0, 6.0)
_SCALE_POINTS = 15
_EXACT_UP_TO = 12


@dataclass(frozen=True)
class CommitmentEstimate:
    """
    Commitment of annotators, as returned by [`estimate_commitment`].

    Args:
        table (`pandas.DataFrame`):
            One row per annotator, in the order of first appearance, with the columns

            - `annotator_id`; `n`, the number of their labels;
            - `eta`: posterior mode of the commitment, in (−1, 1); `se`: its standard error from the expected
              information, joint with the scale and the length bias;
            - `ci_low`, `ci_high`: profile likelihood interval;
            - `p_adversarial`: one-sided p value of "η ≥ 0"; `adversarial`: whether it is rejected after Holm's
              correction over all annotators at `alpha`;
            - `p_chance`: one-sided p value of "η ≤ 0"; `better_than_chance`: whether it is rejected, likewise;
            - `length_bias`, `length_bias_se`: reward an annotator adds per unit of length difference, relative to the
              model; only if lengths were given.
        scale (`Estimate`):
            Factor on the reward differences at which they explain the labels best; `n` labels, no `se` if it was given.
        level (`float`):
            Confidence level of the intervals.
        alpha (`float`):
            Family-wise level of both flags.
        prior (`tuple[float, float]`):
            Beta prior on q = (1 + η)/2.
        method (`str`):
            How the figures were obtained.
    """

    table: pd.DataFrame
    scale: Estimate
    level: float
    alpha: float
    prior: tuple[float, float]
    method: str


def estimate_commitment(
    differences: ArrayLike,
    annotators: ArrayLike,
    *,
    length_differences: ArrayLike | None = None,
    length_bias_sd: float | None = None,
    scale: float | None = None,
    prior: tuple[float, float] = DEFAULT_PRIOR,
    level: float = 0.95,
    alpha: float = 0.05,
) -> CommitmentEstimate:
    r"""
    Estimate the commitment η of every annotator from the reward differences of the pairs they labelled.

    Model: \( P(\text{label}) = q_a\,\sigma(x_i) + (1-q_a)\,\sigma(-x_i) = \tfrac12(1 + \eta_a \tanh(x_i/2)) \) with
    \( q_a = (1+\eta_a)/2 \), \( x_i = s\,d_i + b_a \ell_i \), \( q_a \sim \text{Beta}(\text{prior}) \) and
    \( b_a \sim N(0, \tau^2) \).

    **The differences must not come from a model that was trained on the same labels**, or η comes out too high (see
    [`~trl_ext.trainer.cross_fit_differences`]). Differences that are held out are noisy, and noisy differences are too
    large: the common scale s takes this up, and is estimated unless given. Small rewards determine only the product
    \( s\,\eta_a \); the intervals then are as wide as this says, while ratios of η between annotators stay known.

    The tests of chance use that an annotator who flips coins makes the sign of every held-out difference a fair coin,
    whatever the model is worth: \( \sum_i t_i \) with \( t_i = \tanh(\hat s\,d_i/2) \) given all \( |t_i| \) has mean 0
    and variance \( \sum_i t_i^2 \). Up to 12 labels the distribution is enumerated, beyond it is taken as normal.

    References:
        - How Humans Help LLMs, section 3: the annotator model.
        - Venzon and Moolgavkar, A Method for Computing Profile-Likelihood-Based Confidence Intervals, 1988.

    Args:
        differences (`array_like` of shape `(N,)`):
            Reward of the response the annotator chose minus that of the other.
        annotators (`array_like` of shape `(N,)`):
            Who labelled the pair: strings or integers.
        length_differences (`array_like` of shape `(N,)`, *optional*):
            Length of the chosen response minus that of the rejected one, standardised: what `length_bias` multiplies.
        length_bias_sd (`float`, *optional*):
            Prior standard deviation τ of the annotators' length biases around what the model has learned. Needed with
            `length_differences`. A preference for length that all share is part of the reward model.
        scale (`float`, *optional*):
            Known factor s > 0 on the differences; 1 believes them. Estimated if not given.
        prior (`tuple[float, float]`, *optional*, defaults to `(2.0, 1.25)`):
            Beta prior on q, both at least 1. The default has its mode at η = 0.6 and weighs as much as 1.25 labels
            whose truth is known. `(1, 1)` turns it off.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the intervals.
        alpha (`float`, *optional*, defaults to `0.05`):
            Chance of flagging anyone wrongly as `adversarial`, and anyone wrongly as `better_than_chance`.

    Returns:
        [`CommitmentEstimate`]

    Raises:
        `ValueError`: Arrays of different shapes, missing or infinite values, a prior below 1, a scale that is not
            positive, or one of `length_differences` and `length_bias_sd` without the other.

    Example:
        ```python
        >>> from trl_ext.reliability import estimate_commitment
        >>> found = estimate_commitment([3.0] * 36 + [-3.0] * 4 + [3.0] * 5 + [-3.0] * 35, ["ann"] * 40 + ["bob"] * 40, scale=1)
        >>> found.table[["annotator_id", "eta", "ci_low", "ci_high", "adversarial"]].round(2)
          annotator_id   eta  ci_low  ci_high  adversarial
        0          ann  0.87    0.66     0.98        False
        1          bob -0.80   -0.95    -0.56         True
        ```
    """
    differences = _finite(differences, "differences")
    codes, names = annotator_codes(annotators)
    if len(codes) != len(differences):
        raise ValueError(f"annotators must have one id per difference, {len(differences)}, got {len(codes)}")
    if (length_differences is None) != (length_bias_sd is None):
        raise ValueError("`length_differences` and `length_bias_sd` belong together: give both or neither")
    lengths = None
    if length_differences is not None:
        lengths = _finite(length_differences, "length_differences")
        if len(lengths) != len(differences):
            raise ValueError(f"length_differences must have {len(differences)} values, got {len(lengths)}")
    if scale is not None and not 0 < scale < np.inf:
        raise ValueError(f"scale must be positive and finite, got {scale}")
    for name, value in (("level", level), ("alpha", alpha)):
        if not 0 < value < 1:
            raise ValueError(f"{name} must lie strictly between 0 and 1, got {value}")
    likelihood = AnnotatorLikelihood(differences, codes, len(names), prior, lengths, length_bias_sd)

    drop = stats.chi2.ppf(level, 1) / 2
    scale_estimate, grid = _profile_scale(likelihood, scale, drop, level)
    log_scale = np.log(scale_estimate.value)
    fit = likelihood.fit(log_scale)
    se, bias_se = likelihood.standard_errors(log_scale, fit, scale_is_known=scale is not None)
    low, high = likelihood.profile_interval(grid, fit, drop)

    table = pd.DataFrame({"annotator_id": names, "eta": fit.eta, "se": se, "ci_low": low, "ci_high": high})
    table["n"] = np.bincount(codes, minlength=len(names))
    below = _sign_test(np.tanh(likelihood.logits(log_scale, fit.bias) / 2), codes, len(names))
    above = _sign_test(-np.tanh(likelihood.logits(log_scale, fit.bias) / 2), codes, len(names))
    table["p_adversarial"], table["adversarial"] = below, adjust_p_values(below) <= alpha
    table["p_chance"], table["better_than_chance"] = above, adjust_p_values(above) <= alpha
    if lengths is not None:
        table["length_bias"], table["length_bias_se"] = fit.bias, bias_se
    known = "given" if scale is not None else "estimated"
    method = (
        f"posterior mode, Beta{tuple(prior)} prior on (1 + eta)/2, scale {known}; profile likelihood interval "
        f"({level:g} level); sign tests with Holm's correction ({alpha:g})"
    )
    return CommitmentEstimate(table, scale_estimate, level, alpha, tuple(prior), method)


def annotator_codes(annotators: ArrayLike, name: str = "annotators") -> tuple[np.ndarray, list]:
    """
    Number annotators in the order of first appearance.

    Args:
        annotators (`array_like` of shape `(N,)`):
            Strings or integers, one kind only.
        name (`str`, *optional*, defaults to `"annotators"`):
            What messages call them, such as their column.

    Returns:
        `tuple[np.ndarray, list]`: codes `(N,)` from 0, and the ids.

    Raises:
        `ValueError`: A missing id (`None`, NaN, pandas' NA or blank), or no id at all.
        `TypeError`: Other types, or strings mixed with integers.
    """
    ids = [value.item() if isinstance(value, np.generic) else value for value in list(annotators)]
    if not ids:
        raise ValueError(f"{name} is empty")
    bad = [i for i, value in enumerate(ids) if (is_scalar(value) and pd.isna(value)) or str(value).strip() == ""]
    if bad:
        raise ValueError(
            f"{name} has {len(bad)} missing ids (None, NaN, NA or blank); first: row {bad[0]}, value {ids[bad[0]]!r}. "
            "Remove these rows, or give them an id of their own."
        )
    for i, value in enumerate(ids):
        if isinstance(value, bool) or not isinstance(value, str | int) or type(value) is not type(ids[0]):
            raise TypeError(
                f"{name} must be all str or all int; first other: row {i}, value {value!r} of type "
                f"{type(value).__name__}. Convert them, e.g. to str."
            )
    names = list(dict.fromkeys(ids))
    number = {one: code for code, one in enumerate(names)}
    return np.array([number[value] for value in ids]), names


def _finite(values: ArrayLike, name: str) -> np.ndarray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise ValueError(f"{name} must have shape (N,), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"{name} has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
        )
    return array


def _profile_scale(
    likelihood: AnnotatorLikelihood, scale: float | None, drop: float, level: float
) -> tuple[Estimate, np.ndarray]:
    """The scale with its interval, and the log scales over which intervals of η are profiled."""
    n = len(likelihood.differences)
    if scale is not None:
        return Estimate(float(scale), np.nan, np.nan, np.nan, n, "given"), np.log([scale])
    bounds = np.array(_LOG_SCALE_BOUNDS) - np.log(max(np.median(np.abs(likelihood.differences)), 1e-300))

    def deviance(log_scale: float) -> float:
        return -likelihood.fit(log_scale).total.sum()

    # A coarse search first: with few labels the profile may have flat stretches
    starts = np.linspace(*bounds, 25)
    best = int(np.argmin([deviance(x) for x in starts]))
    around = starts[max(best - 1, 0)], starts[min(best + 1, 24)]
    found = minimize_scalar(deviance, bounds=around, method="bounded", options={"xatol": 1e-6})
    centre, least = found.x, found.fun

    def end(bound: float) -> float:
        if deviance(bound) - least < drop:
            return bound
        return brentq(lambda x: deviance(x) - least - drop, *sorted((bound, centre)), xtol=1e-4)

    low, high = end(bounds[0]), end(bounds[1])
    ends = [0.0 if low == bounds[0] else np.exp(low), np.inf if high == bounds[1] else np.exp(high)]
    if ends[0] == 0 or ends[1] == np.inf:
        logger.warning(
            "the scale of the rewards is not determined by these %d labels: the level of eta is known only as far as the "
            "intervals say, its ratios between annotators better",
            n,
        )
    se = np.exp(centre) * (high - low) / (2 * np.sqrt(2 * drop)) if ends[0] > 0 and ends[1] < np.inf else np.nan
    estimate = Estimate(float(np.exp(centre)), float(se), float(ends[0]), float(ends[1]), n,
                        f"maximum of the profile likelihood and its interval ({level:g} level)")  # fmt: skip
    return estimate, np.concatenate(
        [np.linspace(low, centre, _SCALE_POINTS), np.linspace(centre, high, _SCALE_POINTS)[1:]]
    )


def _sign_test(t: np.ndarray, codes: np.ndarray, count: int) -> np.ndarray:
    """One-sided p values `(A,)` of a sum of `t` as low as the observed one, if every sign were a fair coin."""
    p = np.ones(count)
    for annotator in range(count):
        own = t[codes == annotator]
        size = np.linalg.norm(own)
        if size == 0:  # no pair tells anything
            continue
        if len(own) <= _EXACT_UP_TO:
            signs = 1 - 2 * ((np.arange(2 ** len(own))[:, None] >> np.arange(len(own))) & 1)
            p[annotator] = np.mean(signs @ np.abs(own) <= own.sum() + 1e-12)
        else:
            p[annotator] = stats.norm.cdf(own.sum() / size)
    return p
