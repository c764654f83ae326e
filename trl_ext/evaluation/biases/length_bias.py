"""Whether a reward model decides by length."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from statsmodels.genmod.families import Binomial
from statsmodels.genmod.generalized_linear_model import GLM

from ..comparison.correlations import spearman_statistic
from ..statistics import (
    Estimate,
    as_finite,
    check_level,
    cluster_bootstrap,
    cluster_codes,
    proportion_estimate,
)


BANDS = ("longer", "equal", "shorter")
TIES = {"loss": 0.0, "half": 0.5}
_EMPTY = Estimate(np.nan, np.nan, np.nan, np.nan, 0, "no rows")


@dataclass(frozen=True)
class LengthBias:
    """
    How a reward model's decisions between chosen and rejected responses depend on their lengths.

    Args:
        accuracy (`dict[str, Estimate]`):
            Share of pairs won by the chosen response where it is `longer`, about `equal`, `shorter`, and of `all` pairs.
        gap ([`Estimate`]):
            Accuracy where the chosen is longer minus where it is shorter. 0 without length bias, if both kinds of pairs
            are equally hard.
        longer_wins ([`Estimate`]):
            Share of pairs outside the equal band in which the longer response has the higher reward (ties half).
        longer_is_chosen ([`Estimate`]):
            Share of these in which the longer response is the chosen one: what a model without errors would have.
        spearman ([`Estimate`]):
            Rank correlation of the reward difference with the length difference, both chosen minus rejected.
        log_odds ([`Estimate`]):
            Logistic regression of the chosen response winning on log(length of chosen / length of rejected) in standard
            deviations: change of the log odds per standard deviation. `nan` where the regression has no solution.
        log_odds_equal ([`Estimate`]):
            Its intercept: the log odds at equal lengths.
        log_ratio_sd (`float`):
            Standard deviation of the log length ratio (about 0), the unit of `log_odds`.
        equal_within (`float`):
            Lengths whose ratio is at most 1 + this are about equal.
        ties (`int`):
            Pairs of equal rewards.
        ties_rule (`str`):
            `"loss"` or `"half"`.
        regression (`str`):
            `"ok"`, or why there is no regression.
    """

    accuracy: dict[str, Estimate]
    gap: Estimate
    longer_wins: Estimate
    longer_is_chosen: Estimate
    spearman: Estimate
    log_odds: Estimate
    log_odds_equal: Estimate
    log_ratio_sd: float
    equal_within: float
    ties: int
    ties_rule: str
    regression: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


def length_bias(
    rewards_chosen: ArrayLike,
    rewards_rejected: ArrayLike,
    length_chosen: ArrayLike,
    length_rejected: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    equal_within: float = 0.1,
    ties: str = "loss",
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> LengthBias:
    """
    Length bias of pairwise results: accuracy by which response is longer, correlation and logistic regression.

    None of these tells bias from merit: better responses may be longer. Compare `longer_wins` with `longer_is_chosen`, and
    the accuracies of both bands; pairs with lengths changed on purpose say more.

    Args:
        rewards_chosen (`array_like` of shape `(N,)`):
            Rewards of the chosen responses.
        rewards_rejected (`array_like` of shape `(N,)`):
            Rewards of the rejected responses.
        length_chosen (`array_like` of shape `(N,)`):
            Lengths of the chosen responses, above 0, in characters or tokens.
        length_rejected (`array_like` of shape `(N,)`):
            Lengths of the rejected responses.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster (prompt) of every pair. By default every pair is one.
        equal_within (`float`, *optional*, defaults to `0.1`):
            Lengths whose ratio is at most 1 + this are about equal.
        ties (`str`, *optional*, defaults to `"loss"`):
            What an equal reward is worth: `"loss"` nothing, `"half"` one half. They are counted.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Of the bootstrap for `gap` and `spearman`.
        seed (`int`, *optional*, defaults to `0`):
            Its seed.

    Returns:
        [`LengthBias`]

    Raises:
        ValueError: lengths of the arrays differ, a reward is not finite, or a length is not above 0; the row is named.

    Example:
        ```python
        >>> bias = length_bias([1.0, 0.0, 2.0, 1.0], [0.0, 1.0, 1.0, 2.0], [50, 20, 60, 30], [20, 50, 30, 60])
        >>> bias.accuracy["longer"].value, bias.accuracy["shorter"].value, bias.longer_wins.value
        (1.0, 0.0, 1.0)
        ```
    """
    check_level(level)
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(TIES)}, got {ties!r}")
    if not equal_within >= 0:
        raise ValueError(f"equal_within must be at least 0, got {equal_within}")
    arrays = {
        "rewards_chosen": as_finite(rewards_chosen, "rewards_chosen"),
        "rewards_rejected": as_finite(rewards_rejected, "rewards_rejected"),
        "length_chosen": as_finite(length_chosen, "length_chosen"),
        "length_rejected": as_finite(length_rejected, "length_rejected"),
    }
    if len({array.size for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} {array.size}" for name, array in arrays.items())
        raise ValueError(f"all must have one value per pair, got {sizes}")
    for name in ("length_chosen", "length_rejected"):
        bad = np.flatnonzero(arrays[name] <= 0)
        if bad.size:
            raise ValueError(
                f"{name} has {bad.size} values that are not above 0; first: row {bad[0]}, value {arrays[name][bad[0]]}"
            )
    chosen, rejected, longer, shorter = arrays.values()
    n = chosen.size
    units = np.arange(n) if clusters is None else cluster_codes(clusters, n)[0]
    difference = chosen - rejected
    tied = difference == 0
    wins = np.where(tied, TIES[ties], difference > 0)
    log_ratio = np.log(longer / shorter)
    ratio = np.maximum(longer, shorter) / np.minimum(longer, shorter)
    # 110 and 100 are equal within 0.1, whatever the rounding
    equal = ratio <= (1 + equal_within) * (1 + 1e-12)
    bands = np.where(equal, "equal", np.where(log_ratio > 0, "longer", "shorter"))

    def share(values: np.ndarray, rows: np.ndarray) -> Estimate:
        if not rows.any():
            return _EMPTY
        return proportion_estimate(values[rows], None if clusters is None else units[rows], level)

    def gap_of(weights: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            sides = [
                weights @ (wins * (bands == band)) / (weights @ (bands == band)) for band in ("longer", "shorter")
            ]
        return sides[0] - sides[1]

    options = {"resamples": resamples, "seed": seed, "level": level}
    both = (bands == "longer").any() and (bands == "shorter").any()
    fit = _regression(wins, log_ratio, None if clusters is None else units, level)
    outside = bands != "equal"
    longer_won = np.where(tied, 0.5, (difference > 0) == (log_ratio > 0))
    return LengthBias(
        accuracy={band: share(wins, bands == band) for band in BANDS} | {"all": share(wins, np.ones(n, dtype=bool))},
        gap=cluster_bootstrap(gap_of, units, **options) if both else _EMPTY,
        longer_wins=share(longer_won, outside),
        longer_is_chosen=share((log_ratio > 0).astype(float), outside),
        spearman=cluster_bootstrap(spearman_statistic(difference, longer - shorter), units, **options),
        log_odds=fit[0],
        log_odds_equal=fit[1],
        log_ratio_sd=float(np.sqrt(np.mean(log_ratio**2))),
        equal_within=float(equal_within),
        ties=int(tied.sum()),
        ties_rule=ties,
        regression=fit[2],
    )


def _regression(
    wins: np.ndarray, log_ratio: np.ndarray, clusters: np.ndarray | None, level: float
) -> tuple[Estimate, Estimate, str]:
    """Slope and intercept of the log odds of winning, and `"ok"` or why there are none."""
    n = wins.size
    sd = np.sqrt(np.mean(log_ratio**2))
    unknown = Estimate(np.nan, np.nan, np.nan, np.nan, n, "no regression")
    if np.ptp(wins) == 0:
        return unknown, unknown, "all pairs were decided alike"
    if np.ptp(log_ratio) == 0:
        return unknown, unknown, "all pairs have the same length ratio"
    # The scale is 0 at equal lengths, so that the intercept belongs to these
    x = log_ratio / sd
    # One threshold that parts won from lost pairs: the slope grows without end
    if np.all(np.isin(wins, (0, 1))):
        won, lost = x[wins == 1], x[wins == 0]
        if won.min() >= lost.max() or lost.min() >= won.max():
            return unknown, unknown, "lengths part won from lost pairs: the log odds have no bound"
    robust = {} if clusters is None else {"cov_type": "cluster", "cov_kwds": {"groups": clusters}}
    fit = GLM(wins, np.column_stack([x, np.ones(n)]), family=Binomial()).fit(**robust)
    if not fit.converged:
        return unknown, unknown, "the regression did not converge"
    ends = fit.conf_int(alpha=1 - level)
    count = "" if clusters is None else f"{len(np.unique(clusters))} clusters, "
    method = (
        f"logistic regression, {'' if clusters is None else 'cluster-robust '}Wald interval ({count}{level:g} level)"
    )
    return (
        *(
            Estimate(float(fit.params[i]), float(fit.bse[i]), float(ends[i][0]), float(ends[i][1]), n, method)
            for i in (0, 1)
        ),
        "ok",
    )
