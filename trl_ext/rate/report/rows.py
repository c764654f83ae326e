"""Estimates as rows of a report: with units, the test against 0, and the effect that would have been found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from ...evaluation.statistics import Estimate, adjust_p_values
from ..chains.reward_chains import RewardChains


COLUMNS = (
    *("dataset", "attribute", "reward_model", "estimator", "estimand", "value", "se", "ci_low", "ci_high"),
    *("n", "n1", "n0", "clusters", "method", "normalised", "normalised_se", "normalised_ci_low", "normalised_ci_high"),
    *("normalised_method", "mde", "mde_normalised", "p_value", "p_adjusted", "significant"),
)

# how `normalised_method` ends if the uncertainty of the sd is not in the interval
SD_AS_KNOWN = "divided by the sd of reward as if it were known"


@dataclass(frozen=True)
class ZeroTest:
    """
    The test that goes with an interval, so that they never disagree.

    Args:
        p_value (`float`, *optional*): Two-sided, of no effect; `None` where the data can't tell.
        mde (`float`, *optional*): Minimum detectable effect of this test alone, in the unit of the estimate. A correction
            for many tests makes it larger.
    """

    p_value: float | None
    mde: float | None


def zero_test(estimate: Estimate | None, *, level: float, power: float) -> ZeroTest:
    r"""
    Test of no effect by the t distribution that the interval was made with, and the minimum detectable effect of that
    test ([`minimum_detectable_effect`]).

    The degrees of freedom are those of the interval, of which half the length is \( t \cdot se \).

    Args:
        estimate ([`Estimate`] or `None`): With an interval on both sides of the value alike.
        level (`float`): Confidence level of the interval.
        power (`float`): Probability to find the minimum detectable effect.

    Returns:
        [`ZeroTest`]

    Example:
        ```python
        >>> from trl_ext.evaluation import mean_estimate
        >>> test = zero_test(mean_estimate([1.0, 2.0, 4.0]), level=0.95, power=0.8)
        >>> round(test.p_value, 4), round(test.mde, 2)  # t = 2.65 with 2 degrees of freedom
        (0.1181, 4.99)

        ```
    """
    from .. import minimum_detectable_effect

    if estimate is None or not np.isfinite(estimate.se):
        return ZeroTest(None, None)
    if estimate.se == 0:  # all rows alike
        return ZeroTest(1.0 if estimate.value == 0 else 0.0, 0.0)
    lengths = estimate.ci_high - estimate.value, estimate.value - estimate.ci_low
    if not np.isfinite(lengths).all() or not np.isclose(*lengths, rtol=1e-6):
        return ZeroTest(None, None)
    degrees = _degrees(lengths[0] / estimate.se, level)
    p_value = 2 * stats.t.sf(abs(estimate.value) / estimate.se, degrees)
    mde = minimum_detectable_effect(estimate.se, degrees=degrees, power=power, alpha=1 - level)
    return ZeroTest(float(p_value), float(mde))


def _degrees(quantile: float, level: float) -> float:
    """Degrees of freedom of the t distribution with this quantile."""
    tail = (1 + level) / 2
    if quantile <= stats.t.ppf(tail, 1e8):
        return np.inf
    low = 0.2
    if quantile >= stats.t.ppf(tail, low):
        return low
    return float(np.exp(optimize.brentq(lambda x: stats.t.ppf(tail, np.exp(x)) - quantile, np.log(low), np.log(1e8))))


def effect_row(
    head: dict[str, str], estimator: str, estimand: str, estimate: Estimate | None, chains: RewardChains, *,
    normalised: Estimate | None, reward_std: float | None, test: ZeroTest,
) -> dict[str, Any]:  # fmt: skip
    """
    One row of the table of effects.

    Args:
        head (`dict[str, str]`): `dataset, attribute, reward_model`.
        estimator, estimand (`str`): What is estimated, and how.
        estimate ([`Estimate`] or `None`): In units of reward.
        chains ([`RewardChains`]): The rows it is from, of which those of the estimand are counted.
        normalised ([`Estimate`] or `None`): The same in standard deviations of reward.
        reward_std (`float`, *optional*): That standard deviation.
        test ([`ZeroTest`]): Of the estimate.
    """
    rows = {"ATT": chains.w, "w=1": chains.w, "ATU": ~chains.w, "w=0": ~chains.w}.get(estimand)
    rows = np.ones(len(chains), dtype=bool) if rows is None else rows
    treated = int(chains.w[rows].sum())
    row: dict[str, Any] = {**head, "estimator": estimator, "estimand": estimand}
    row |= {"n": int(rows.sum()), "n1": treated, "n0": int(rows.sum()) - treated}
    row["clusters"] = int(rows.sum()) if chains.clusters is None else int(pd.Series(chains.clusters[rows]).nunique())
    if estimate is not None:
        row |= {name: getattr(estimate, name) for name in ("value", "se", "ci_low", "ci_high", "n", "method")}
    if normalised is not None:
        row |= {"normalised": normalised.value, "normalised_method": normalised.method}
        row |= {
            "normalised_se": normalised.se,
            "normalised_ci_low": normalised.ci_low,
            "normalised_ci_high": normalised.ci_high,
        }
    row |= {"mde": test.mde, "p_value": test.p_value}
    row["mde_normalised"] = test.mde / reward_std if test.mde is not None and reward_std else None
    return row


def divided(estimate: Estimate | None, reward_std: float | None) -> Estimate | None:
    """An estimate in standard deviations of reward, which is taken as known."""
    if estimate is None or not reward_std:
        return None
    figures = (value / reward_std for value in (estimate.value, estimate.se, estimate.ci_low, estimate.ci_high))
    return Estimate(*figures, estimate.n, f"{estimate.method}, {SD_AS_KNOWN}")


def as_table(rows: Sequence[dict[str, Any]], columns: Sequence[str], families: Sequence[str], *, correction: str,
             level: float) -> pd.DataFrame:  # fmt: skip
    """
    Rows as a table, with `p_adjusted` and `significant`: corrected for all tests with the same values in `families`.

    Missing figures are `nan`; where there is no test, `significant` is missing.
    """
    table = pd.DataFrame(list(rows), columns=list(columns))
    numbers = [name for name in columns if name in _NUMBERS]
    table[numbers] = table[numbers].apply(pd.to_numeric).astype(float)
    tested = table["p_value"].notna()
    groups = (
        [table.index[tested]] if not families else table[tested].groupby(list(families), sort=False).groups.values()
    )
    for index in groups:
        if len(index):
            table.loc[index, "p_adjusted"] = adjust_p_values(table.loc[index, "p_value"], correction)
    significant = table["p_adjusted"].le(1 - level).astype("boolean")
    table["significant"] = significant.where(tested)
    return table


_NUMBERS = frozenset(
    (
        "value",
        "se",
        "ci_low",
        "ci_high",
        "normalised",
        "normalised_se",
        "normalised_ci_low",
        "normalised_ci_high",
        "mde",
    )
    + ("mde_normalised", "p_value", "p_adjusted", "q_p_value", "tau", "p_max_t")
)
