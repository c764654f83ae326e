"""One effect from several data sets. Rows are never put together: the data sets differ in more than the attribute."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from ...evaluation.statistics import Estimate, weighted_average


METHODS = ("mean", "fixed", "random", "reference")


@dataclass(frozen=True)
class CombinedEffect:
    """
    An effect over data sets, and how much it differs between them.

    Args:
        estimate ([`Estimate`]):
            The effect; `n` is the number of rows of all data sets.
        q (`float`):
            Cochran's Q: sum of squared deviations from the common effect, in standard errors.
        q_p_value (`float`):
            Probability of as large a Q if all data sets had the same effect; `nan` for a single data set.
        tau (`float`):
            Standard deviation of the effect between data sets (Paule and Mandel), in the unit of the effects.
    """

    estimate: Estimate
    q: float
    q_p_value: float
    tau: float


def combine_data_sets(estimates: Sequence[Estimate], *, method: str = "mean", level: float = 0.95) -> CombinedEffect:
    r"""
    Combine the effects of several data sets, estimated from different rows.

    | method | question | weights, interval |
    |---|---|---|
    | `"mean"` | mean effect in just these data sets | equal, MOVER interval of [`~trl_ext.evaluation.statistics.weighted_average`] |
    | `"fixed"` | the effect, if it is the same in all | inverse variance, z |
    | `"random"` | mean effect in data sets like these | random effects, Hartung–Knapp interval with t |
    | `"reference"` | the original program's bars | equal; root mean square of standard errors, which is not that of a mean |

    References:
        - Hartung and Knapp, On Tests of the Overall Treatment Effect in Meta-analysis with Normally Distributed
          Responses, 2001.
        - Paule and Mandel, Consensus Values and Weighting Factors, 1982.

    Args:
        estimates (sequence of [`Estimate`]):
            The effect in each data set, best as a share of `reward_std` ([`normalised_effects`]), with intervals of `level`.
        method (`str`, *optional*, defaults to `"mean"`):
            See the table.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`CombinedEffect`]

    Raises:
        ValueError: `estimates` is empty, one is `None`, has no standard error or one of 0, or (for `"mean"`) names another
            level, or the method is unknown. `"reference"` has no level but 0.95.

    Example:
        ```python
        >>> from trl_ext.evaluation.statistics import Estimate
        >>> from trl_ext.rate import combine_data_sets
        >>> sets = [Estimate(0.30, 0.03, 0.24, 0.36, 400, "t"), Estimate(0.10, 0.04, 0.02, 0.18, 300, "t")]
        >>> found = combine_data_sets(sets)
        >>> print(f"{found.estimate.value:.2f} ± {found.estimate.se:.3f}, differ: p = {found.q_p_value:.4f}")
        0.20 ± 0.025, differ: p = 0.0001

        ```
    """
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    if not estimates:
        raise ValueError("estimates is empty")
    if method == "reference" and level != 0.95:
        raise ValueError(f"the original's bars have level 0.95 (1.96 standard errors), got level={level}")
    for i, estimate in enumerate(estimates):
        if estimate is None:
            raise ValueError(f"estimate {i} is None: leave out data sets that do not identify the effect")
        named = re.search(r"([0-9.]+) level\b", estimate.method)
        if method == "mean" and named and not np.isclose(float(named[1]), level):
            raise ValueError(
                f"estimate {i} has an interval of level {named[1]}, not {level:g}: estimate it with that level"
            )
        if not (np.isfinite(estimate.value) and np.isfinite(estimate.se) and estimate.se > 0):
            raise ValueError(
                f"estimate {i} must be finite with a standard error above 0, got {estimate.value} ± {estimate.se}. Leave "
                "out data sets that do not identify the effect"
            )
    values, ses = np.array([[e.value, e.se] for e in estimates]).T
    weights = 1 / ses**2
    q = float(np.sum(weights * (values - weights @ values / weights.sum()) ** 2))
    degrees = len(values) - 1
    tau = _between(values, ses) if degrees else 0.0
    return CombinedEffect(
        _combine(estimates, values, ses, tau, method, level),
        q,
        float(stats.chi2.sf(q, degrees)) if degrees else float("nan"),
        tau,
    )


def _between(values: np.ndarray, ses: np.ndarray) -> float:
    """Standard deviation between data sets, by Paule and Mandel."""
    with np.errstate(divide="ignore"):  # of another figure of the function, where all effects are the same
        return float(np.sqrt(combine_effects(values, ses**2, method_re="iterated").tau2))


def _combine(
    estimates: Sequence[Estimate], values: np.ndarray, ses: np.ndarray, tau: float, method: str, level: float
) -> Estimate:
    if method == "mean":
        return weighted_average(estimates, level=level)
    k, n = len(values), sum(estimate.n for estimate in estimates)
    if method == "reference":
        se = np.sqrt(np.mean(ses**2))
        quantile, weights, what = (
            1.96,
            np.full(k, 1 / k),
            "root mean square of standard errors, as the original's bars",
        )
    else:
        weights = 1 / (ses**2 + (tau**2 if method == "random" else 0.0))
        se, weights = 1 / np.sqrt(weights.sum()), weights / weights.sum()
        quantile, what = stats.norm.ppf((1 + level) / 2), "inverse variance, z interval"
    value = weights @ values
    if method == "random":
        if k < 2:
            raise ValueError("method='random' needs two data sets or more: one says nothing of others")
        # Hartung and Knapp; never less than the standard error it corrects, as they recommend for few data sets
        se *= max(1.0, np.sqrt(np.sum(weights * (values - value) ** 2) / (k - 1)) / se)
        quantile, what = stats.t.ppf((1 + level) / 2, k - 1), "random effects, Hartung-Knapp t interval"
    half = quantile * se
    method = f"{what} ({k} data sets, {level:g} level)"
    return Estimate(float(value), float(se), float(value - half), float(value + half), n, method)
