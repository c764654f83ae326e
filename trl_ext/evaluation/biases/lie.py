"""Length weight and correctness weight of a reward model on the LIE test set."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..statistics import Estimate, cluster_bootstrap, mean_estimate, proportion_estimate, ratio_estimate


RESPONSE_KINDS = ("correct_concise", "correct_detailed", "incorrect_concise", "incorrect_detailed")

# name of the accuracy -> (kind that should win, kind that should lose)
COMPARISONS = {
    "lc_over_li": ("correct_detailed", "incorrect_detailed"),
    "sc_over_si": ("correct_concise", "incorrect_concise"),
    "sc_over_li": ("correct_concise", "incorrect_detailed"),
    "lc_over_si": ("correct_detailed", "incorrect_concise"),
}


@dataclass(frozen=True)
class LIEWeights:
    """
    What a reward model pays for length and for correctness. Letters: L detailed, S concise, C correct, I incorrect.

    Args:
        length_weight ([`Estimate`]):
            Mean reward gained by a detailed answer over a concise one, in reward units.
        correctness_weight ([`Estimate`]):
            Mean reward gained by a correct answer over an incorrect one, in reward units.
        ratio ([`Estimate`]):
            `correctness_weight / length_weight`, the paper's CLR. Says nothing when `length_weight` is negative or near
            0; its interval is then `(-inf, inf)`.
        length_weight_per_sd ([`Estimate`]):
            `length_weight` divided by the standard deviation (`ddof=0`) of all 4N rewards. In [-2, 2], and comparable
            between models whose rewards differ in scale.
        correctness_weight_per_sd ([`Estimate`]):
            Likewise. A quarter of the sum of both squares is the R² of the regression.
        lc_over_li ([`Estimate`]):
            Share of rows whose correct detailed answer beats the incorrect detailed one; ties count half.
        sc_over_si ([`Estimate`]):
            Correct concise over incorrect concise.
        sc_over_li ([`Estimate`]):
            Correct concise over incorrect detailed: correctness against length.
        lc_over_si ([`Estimate`]):
            Correct detailed over incorrect concise: correctness and length on one side.
        correct_over_incorrect ([`Estimate`]):
            Mean of the four, over 4N comparisons.
        ties (`dict[str, int]`):
            Number of equal rewards in each comparison and, as `correct_over_incorrect`, in all of them.
        reward_sd (`float`):
            The standard deviation divided by.
        n_rows (`int`):
            N, the number of rows with four rewards.
        n_clusters (`int`):
            Number of questions; `n_rows` when no clusters were given.
    """

    length_weight: Estimate
    correctness_weight: Estimate
    ratio: Estimate
    length_weight_per_sd: Estimate
    correctness_weight_per_sd: Estimate
    lc_over_li: Estimate
    sc_over_si: Estimate
    sc_over_li: Estimate
    lc_over_si: Estimate
    correct_over_incorrect: Estimate
    ties: dict[str, int]
    reward_sd: float
    n_rows: int
    n_clusters: int

    def to_dict(self) -> dict[str, Any]:
        """One level of names: figures as `value, se, ci_low, ci_high, n, method`, ties as `<comparison>_ties`."""
        result: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "ties":
                result.update({f"{name}_ties": count for name, count in value.items()})
            else:
                result[field.name] = value.to_dict() if isinstance(value, Estimate) else value
        return result


def _check_rewards(rewards: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    missing = [kind for kind in RESPONSE_KINDS if kind not in rewards]
    if missing:
        raise ValueError(f"rewards lacks {', '.join(missing)}; it needs one array (N,) for each of {RESPONSE_KINDS}")
    arrays = {kind: np.asarray(rewards[kind], dtype=np.float64) for kind in RESPONSE_KINDS}
    for kind, array in arrays.items():
        if array.ndim != 1:
            raise ValueError(f"rewards '{kind}' must have shape (N,), got {array.shape}")
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            raise ValueError(
                f"rewards '{kind}' has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}"
            )
    lengths = {kind: array.size for kind, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"rewards must have one value per kind in every row, got lengths {lengths}")
    if not lengths[RESPONSE_KINDS[0]]:
        raise ValueError("rewards is empty")
    return arrays


def lie_weights(
    rewards: Mapping[str, ArrayLike],
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> LIEWeights:
    r"""
    Length and correctness weights of a reward model, with intervals clustered by question.

    \( W_\text{correct} = E[((LC-LI)+(SC-SI))/2] \) and \( W_\text{length} = E[((LC-SC)+(LI-SI))/2] \). They equal the
    slopes of an ordinary least squares regression, with intercept, of the 4N rewards on (is_detailed, is_correct).

    Intervals: cluster-robust t for the weights, Fieller for their ratio, cluster bootstrap for the weights per standard
    deviation (the deviation is resampled too), Wilson on the effective number of rows for the accuracies.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models (ICLR 2025 submission), equations 3 and 4 and
          Table 1; the ratio is its CLR.

    Args:
        rewards (`Mapping[str, array_like]` or `pandas.DataFrame`):
            Rewards of shape `(N,)` for `correct_concise`, `correct_detailed`, `incorrect_concise` and
            `incorrect_detailed`. Other keys are ignored.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Question of every row. The LIE test set has 160 rows about 40 questions, so give it: the published figures
            have no standard error, and one that takes the rows as independent is too small.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.

    Returns:
        [`LIEWeights`]

    Example:
        ```python
        >>> weights = lie_weights(
        ...     {
        ...         "correct_concise": [1.0, 2.0],
        ...         "correct_detailed": [3.0, 4.0],
        ...         "incorrect_concise": [0.0, 1.0],
        ...         "incorrect_detailed": [2.0, 3.0],
        ...     }
        ... )
        >>> weights.length_weight.value, weights.correctness_weight.value, weights.ratio.value
        (2.0, 1.0, 0.5)
        ```
    """
    arrays = _check_rewards(rewards)
    sc, lc, si, li = (arrays[kind] for kind in RESPONSE_KINDS)
    n = sc.size
    length_gain = ((lc - sc) + (li - si)) / 2
    correctness_gain = ((lc - li) + (sc - si)) / 2

    length = mean_estimate(length_gain, clusters, level)
    correctness = mean_estimate(correctness_gain, clusters, level)
    table = np.stack([sc, lc, si, li], axis=1)
    # a difference below the rounding error of the rewards is no difference: 1e-17 would make the ratio 1e17
    rounding = 8 * np.finfo(np.float64).eps * np.abs(table).max()
    ratio = ratio_estimate(correctness_gain, length_gain, clusters, level, zero_atol=rounding)

    centred = table - table.mean()
    sums, squares = centred.sum(axis=1), (centred**2).sum(axis=1)

    def reward_sd(w: np.ndarray) -> np.ndarray:
        total = 4 * w.sum(axis=1)
        mean_square = w @ squares / total
        variance = mean_square - (w @ sums / total) ** 2
        # equal rewards leave what cancellation leaves of the two terms, not 0
        floor = np.maximum(rounding**2, 64 * np.finfo(np.float64).eps * mean_square)
        return np.sqrt(np.where(variance > floor, variance, np.nan))

    units = np.arange(n) if clusters is None else clusters
    length_per_sd, correctness_per_sd = (
        cluster_bootstrap(
            lambda w, gain=gain: w @ gain / w.sum(axis=1) / reward_sd(w),
            units,
            resamples=resamples,
            seed=seed,
            level=level,
        )
        for gain in (length_gain, correctness_gain)
    )

    # (1 + sign)/2 is 1 for a win, 1/2 for a tie, 0 for a loss
    wins = {name: (1 + np.sign(arrays[high] - arrays[low])) / 2 for name, (high, low) in COMPARISONS.items()}
    ties = {name: int(np.sum(won == 0.5)) for name, won in wins.items()}
    accuracies = {name: proportion_estimate(won, clusters, level) for name, won in wins.items()}
    # the four comparisons of a row share its rewards: without questions, the row is the cluster
    overall = proportion_estimate(np.concatenate(list(wins.values())), np.tile(units, len(wins)), level)

    return LIEWeights(
        length_weight=length,
        correctness_weight=correctness,
        ratio=ratio,
        length_weight_per_sd=length_per_sd,
        correctness_weight_per_sd=correctness_per_sd,
        **accuracies,
        correct_over_incorrect=overall,
        ties={**ties, "correct_over_incorrect": sum(ties.values())},
        reward_sd=float(table.std()),
        n_rows=n,
        n_clusters=int(np.unique(units).size),
    )
