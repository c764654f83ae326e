"""How alike the rewards of several models are."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ..statistics import Estimate, as_finite, check_level, cluster_bootstrap, cluster_codes, proportion_estimate


KINDS = ("pearson", "spearman")


@dataclass(frozen=True)
class RewardCorrelations:
    """
    Correlations between models over the same responses.

    Args:
        models (`tuple[str, ...]`):
            Names.
        correlations (`dict[tuple[str, str], Estimate]`):
            By pair of models.
        agreement (`dict[tuple[str, str], Estimate]` or `None`):
            Share of pairs of responses to one prompt that both models order alike (a tie of one half, of both alike); `None`
            without prompts.
        kind (`str`):
            `"pearson"` or `"spearman"`.
        centred (`bool`):
            Whether the mean of every prompt was subtracted.
        pairs (`int`):
            Number of pairs of responses to one prompt.
    """

    models: tuple[str, ...]
    correlations: dict[tuple[str, str], Estimate]
    agreement: dict[tuple[str, str], Estimate] | None
    kind: str
    centred: bool
    pairs: int

    def matrix(self, figure: str = "correlation") -> pd.DataFrame:
        """Square table of the values of `"correlation"` or `"agreement"`, 1 on the diagonal."""
        values = {"correlation": self.correlations, "agreement": self.agreement}[figure]
        if values is None:
            raise ValueError("agreement needs prompts")
        table = pd.DataFrame(np.eye(len(self.models)), index=list(self.models), columns=list(self.models))
        for (a, b), estimate in values.items():
            table.loc[a, b] = table.loc[b, a] = estimate.value
        return table

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON: a list of pairs of models."""
        return {
            "models": list(self.models),
            "kind": self.kind,
            "centred": self.centred,
            "response_pairs": self.pairs,
            "pairs": [
                {"model_a": a, "model_b": b, "correlation": estimate.to_dict()}
                | ({} if self.agreement is None else {"agreement": self.agreement[a, b].to_dict()})
                for (a, b), estimate in self.correlations.items()
            ],
        }


def reward_correlations(
    rewards: Mapping[str, ArrayLike],
    *,
    prompts: ArrayLike | None = None,
    kind: str = "pearson",
    centre_prompts: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> RewardCorrelations:
    r"""
    Correlations between the rewards of models, and how often they order two responses alike.

    Without prompts, rows are independent and intervals are those of Fisher's \( \operatorname{artanh} r \), with variance
    1/(N − 3) for Pearson's and \( (1 + r^2/2)/(N - 3) \) for Spearman's. With prompts, whole prompts are drawn by a
    bootstrap.

    References:
        - Bonett and Wright, Sample Size Requirements for Estimating Pearson, Kendall and Spearman Correlations, 2000.

    Args:
        rewards (`Mapping[str, array_like of shape (N,)]`):
            Rewards of every model, at least two, of the same N responses in the same order.
        prompts (`array_like` of shape `(N,)`, *optional*):
            Prompt of every response.
        kind (`str`, *optional*, defaults to `"pearson"`):
            `"pearson"`, or `"spearman"`: of ranks.
        centre_prompts (`bool`, *optional*, defaults to `False`):
            Subtract the mean reward of every prompt first: what counts for choosing among responses. Else models that
            agree only on which prompts are easy correlate as well. Prompts with one response don't count then.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the draws.

    Returns:
        [`RewardCorrelations`]: `nan` where the rewards of a model are constant.

    Raises:
        ValueError: models have different numbers of rewards, a reward is not finite, or prompts are missing.

    Example:
        ```python
        >>> rewards = {"a": [1.0, 2.0, 0.0, 5.0], "b": [0.0, 1.0, 3.0, 1.0]}
        >>> found = reward_correlations(rewards, prompts=["p", "p", "q", "q"])
        >>> found.agreement["a", "b"].value  # alike on p, not on q
        0.5
        ```
    """
    check_level(level)
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if len(rewards) < 2:
        raise ValueError(f"at least two models are compared, got {', '.join(rewards) or 'none'}")
    if centre_prompts and prompts is None:
        raise ValueError("centre_prompts needs prompts")
    arrays = {name: as_finite(values, f"rewards of {name}") for name, values in rewards.items()}
    first, n = next((name, array.size) for name, array in arrays.items())
    for name, array in arrays.items():
        if array.size != n:
            raise ValueError(f"models must have rewards of the same responses: {first} has {n}, {name} {array.size}")
    codes = None if prompts is None else cluster_codes(prompts, n)[0]
    used = arrays
    units = codes
    if centre_prompts:
        sizes = np.bincount(codes)
        several = sizes[codes] > 1
        if not several.any():
            raise ValueError("centre_prompts needs prompts with at least two responses")
        used = {name: (array - (np.bincount(codes, array) / sizes)[codes])[several] for name, array in arrays.items()}
        units = codes[several]
    of_pair = spearman_statistic if kind == "spearman" else pearson_statistic

    def correlate(a: str, b: str) -> Estimate:
        x, y = used[a], used[b]
        if min(np.ptp(x), np.ptp(y)) == 0:
            return Estimate(np.nan, np.nan, np.nan, np.nan, x.size, "the rewards of a model are constant")
        if units is not None:
            return cluster_bootstrap(of_pair(x, y), units, resamples=resamples, seed=seed, level=level)
        return _fisher_interval(float(of_pair(x, y)(np.ones((1, n)))[0]), n, kind, level)

    names = tuple(arrays)
    correlations = {pair: correlate(*pair) for pair in combinations(names, 2)}
    if codes is None:
        return RewardCorrelations(names, correlations, None, kind, centre_prompts, 0)
    left, right = _pairs_within(codes)
    agreement = {}
    for a, b in combinations(names, 2):
        orders = [np.sign(arrays[name][left] - arrays[name][right]) for name in (a, b)]
        alike = 0.5 * (1 + orders[0] * orders[1])
        alike[(orders[0] == 0) & (orders[1] == 0)] = 1.0
        agreement[a, b] = (
            proportion_estimate(alike, codes[left], level)
            if left.size
            else Estimate(np.nan, np.nan, np.nan, np.nan, 0, "no prompt has two responses")
        )
    return RewardCorrelations(names, correlations, agreement, kind, centre_prompts, left.size)


def _fisher_interval(r: float, n: int, kind: str, level: float) -> Estimate:
    method = f"Fisher's z interval, {kind} ({level:g} level)"
    if n < 4:
        return Estimate(r, np.nan, np.nan, np.nan, n, method)
    spread = np.sqrt((1 + r**2 / 2 if kind == "spearman" else 1.0) / (n - 3))
    z = stats.norm.ppf((1 + level) / 2)
    # r of 1 may come out as 1 + 1e-16
    centre = np.arctanh(np.clip(r, -1.0, 1.0)) if abs(r) < 1 else np.inf * r
    low, high = np.tanh([centre - z * spread, centre + z * spread])
    return Estimate(r, float((1 - r**2) * spread), float(low), float(high), n, method)


def _pairs_within(codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of all pairs of responses to one prompt."""
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    triangles = {size: np.triu_indices(size, 1) for size in {len(group) for group in groups}}
    left, right = (np.concatenate([group[triangles[len(group)][side]] for group in groups]) for side in (0, 1))
    return left, right


def pearson_statistic(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Weighted correlation of `x` and `y` `(N,)`, for [`cluster_bootstrap`]: weights `(B, N)` -> `(B,)`."""
    # About the means of the sample: the differences of large numbers below stay exact
    x, y = x - x.mean(), y - y.mean()

    def statistic(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        mean_x, mean_y = weights @ x / total, weights @ y / total
        covariance = weights @ (x * y) / total - mean_x * mean_y
        variances = (weights @ x**2 / total - mean_x**2) * (weights @ y**2 / total - mean_y**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(covariance / np.sqrt(variances), -1.0, 1.0)

    return statistic


def spearman_statistic(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Weighted rank correlation of `x` and `y` `(N,)`, for [`cluster_bootstrap`]; ranks are those of the resample."""
    indicators = [np.unique(values, return_inverse=True)[1] for values in (x, y)]
    orders = [np.argsort(codes, kind="stable") for codes in indicators]

    def ranks(weights: np.ndarray, codes: np.ndarray, order: np.ndarray) -> np.ndarray:
        starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
        groups = np.add.reduceat(weights[:, order], starts, axis=1)
        # middle of the places that equal values take
        return (np.cumsum(groups, axis=1) - (groups - 1) / 2)[:, codes]

    def statistic(weights: np.ndarray) -> np.ndarray:
        first, second = (ranks(weights, codes, order) for codes, order in zip(indicators, orders, strict=True))
        total = weights.sum(axis=1, keepdims=True)
        first -= (weights * first).sum(axis=1, keepdims=True) / total
        second -= (weights * second).sum(axis=1, keepdims=True) / total
        covariance = (weights * first * second).sum(axis=1)
        variances = (weights * first**2).sum(axis=1) * (weights * second**2).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.clip(covariance / np.sqrt(variances), -1.0, 1.0)

    return statistic
