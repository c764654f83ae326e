"""What a reward model gains by picking the best of several responses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from ..statistics import Estimate, as_finite, check_level, mean_estimate, proportion_estimate


TIES = ("first", "random")


@dataclass(frozen=True)
class BestOfKCurve:
    """
    Quality of the response that a reward model picks among k.

    Args:
        k (`tuple[int, ...]`):
            Numbers of responses to pick from.
        quality (`tuple[Estimate, ...]`):
            Expected quality of the picked one, in the unit of the qualities, by k. `n` is the number of prompts.
        oracle (`tuple[Estimate, ...]`):
            Expected quality of the best of the k.
        regret (`tuple[Estimate, ...]`):
            Oracle minus picked, paired by prompt.
        kl (`tuple[float, ...]`):
            Upper bound of the KL divergence of best-of-k from the policy, log k − (k − 1)/k nats, for k responses that
            were drawn independently.
        left_out (`tuple[int, ...]`):
            Prompts with fewer than k responses, which don't count for that k.
        tied_prompts (`int`):
            Prompts with equal rewards.
    """

    k: tuple[int, ...]
    quality: tuple[Estimate, ...]
    oracle: tuple[Estimate, ...]
    regret: tuple[Estimate, ...]
    kl: tuple[float, ...]
    left_out: tuple[int, ...]
    tied_prompts: int

    def table(self) -> pd.DataFrame:
        """A row per k: `k, kl, prompts, left_out` and value and interval of `quality`, `oracle` and `regret`."""
        rows = []
        for index, k in enumerate(self.k):
            row = {"k": k, "kl": self.kl[index], "prompts": self.quality[index].n, "left_out": self.left_out[index]}
            for name in ("quality", "oracle", "regret"):
                estimate = getattr(self, name)[index]
                row |= {name: estimate.value, f"{name}_low": estimate.ci_low, f"{name}_high": estimate.ci_high}
            rows.append(row)
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        figures = {
            name: [estimate.to_dict() for estimate in getattr(self, name)] for name in ("quality", "oracle", "regret")
        }
        return {"k": list(self.k), "kl": list(self.kl), "left_out": list(self.left_out), **figures} | {
            "tied_prompts": self.tied_prompts
        }


def best_of_k_curve(
    rewards: Sequence[ArrayLike],
    qualities: Sequence[ArrayLike],
    *,
    ks: Sequence[int] | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> BestOfKCurve:
    r"""
    Expected quality of the response with the highest reward among k of a prompt's n, for every k.

    Exact over all choices of k of n without replacement, no sampling: a response below which \( m \) others lie has the
    highest reward in \( \binom{m}{k-1} / \binom{n}{k} \) of them. Responses of equal reward share alike. Intervals are
    over prompts, and in the unit of the qualities: t intervals of the mean; where qualities have two values, such as right
    and wrong, those of [`proportion_estimate`] between the two, but for the regret.

    References:
        - Nakano et al., WebGPT, 2021, appendix I (the estimator over prompts).
        - Beirami et al., Theoretical Guarantees on the Best-of-n Alignment Policy, 2024 (log k − (k − 1)/k is an upper
          bound of the KL divergence).

    Args:
        rewards (sequence of `array_like` of shape `(n_i,)`):
            For each prompt the rewards of its responses.
        qualities (sequence of `array_like` of shape `(n_i,)`):
            For each prompt what its responses are worth: gold rewards, or 1 for right and 0 for wrong.
        ks (`Sequence[int]`, *optional*):
            Numbers of responses to pick from. By default 1 to the largest number of responses.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every prompt, where prompts aren't independent.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`BestOfKCurve`]

    Raises:
        ValueError: a prompt has no response, numbers of rewards and qualities differ, a value is not finite, or no prompt
            has k responses.

    Example:
        ```python
        >>> # rewards order the responses as 0.2, 1.0, 0.4; best of two: 1.0 in one of three choices, 0.4 in two
        >>> curve = best_of_k_curve([[1.0, 2.0, 3.0]] * 2, [[0.2, 1.0, 0.4]] * 2)
        >>> [round(estimate.value, 3) for estimate in curve.quality]
        [0.533, 0.6, 0.4]
        ```
    """
    check_level(level)
    groups = _checked(rewards, qualities)
    largest = max(len(group[0]) for group in groups)
    ks = tuple(range(1, largest + 1)) if ks is None else tuple(ks)
    bad = [k for k in ks if not (isinstance(k, int | np.integer) and 1 <= k <= largest)]
    if bad or not ks:
        raise ValueError(f"ks must hold whole numbers from 1 to {largest}, the largest number of responses, got {ks}")
    labels = None if clusters is None else np.asarray(clusters)
    if labels is not None and labels.shape != (len(groups),):
        raise ValueError(f"clusters must have one label per prompt, shape ({len(groups)},), got {labels.shape}")

    shares: dict[int, np.ndarray] = {}
    picked = np.full((len(groups), len(ks)), np.nan)
    oracle = np.full_like(picked, np.nan)
    for row, (reward, quality) in enumerate(groups):
        n = len(reward)
        usable = np.array([k <= n for k in ks])
        if n not in shares:
            shares[n] = _shares_below(n, [k for k in ks if k <= n])
        picked[row, usable] = _expected(reward, quality, shares[n])
        oracle[row, usable] = _expected(quality, quality, shares[n])

    ends = _two_values(groups)

    def estimate(values: np.ndarray, ends: tuple[float, float] | None) -> Estimate:
        known = ~np.isnan(values)
        inside = None if labels is None else labels[known]
        if ends is None:
            return mean_estimate(values[known], inside, level)
        low, width = ends[0], ends[1] - ends[0]
        # rounding may leave 1 + 1e-16
        share = proportion_estimate(((values[known] - low) / width).clip(0, 1), inside, level)
        moved = {name: low + width * getattr(share, name) for name in ("value", "ci_low", "ci_high")}
        return replace(share, **moved, se=width * share.se)

    # among one response there is no choice: rounding alone would leave a regret
    regret = np.where(np.array(ks) == 1, 0.0 * oracle, oracle - picked)
    return BestOfKCurve(
        k=tuple(int(k) for k in ks),
        quality=tuple(estimate(values, ends) for values in picked.T),
        oracle=tuple(estimate(values, ends) for values in oracle.T),
        regret=tuple(estimate(values, None) for values in regret.T),
        kl=tuple(float(np.log(k) - (k - 1) / k) for k in ks),
        left_out=tuple(int(count) for count in np.isnan(picked).sum(axis=0)),
        tied_prompts=sum(len(np.unique(reward)) < len(reward) for reward, _ in groups),
    )


def _checked(rewards: Sequence[ArrayLike], qualities: Sequence[ArrayLike]) -> list[tuple[np.ndarray, np.ndarray]]:
    if len(rewards) != len(qualities):
        raise ValueError(f"rewards are of {len(rewards)} prompts, qualities of {len(qualities)}")
    if not len(rewards):
        raise ValueError("there are no prompts")
    groups = []
    for row, (reward, quality) in enumerate(zip(rewards, qualities, strict=True)):
        reward, quality = (
            as_finite(reward, f"rewards of prompt {row}"),
            as_finite(quality, f"qualities of prompt {row}"),
        )
        if reward.shape != quality.shape:
            raise ValueError(f"prompt {row} has {reward.size} rewards and {quality.size} qualities")
        groups.append((reward, quality))
    return groups


def _two_values(groups: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    """The two values that qualities have; 0 and 1 if all are one of these; `None` if they have others."""
    values = np.unique(np.concatenate([quality for _, quality in groups]))
    if np.isin(values, (0.0, 1.0)).all():
        return 0.0, 1.0
    return (float(values[0]), float(values[1])) if values.size == 2 else None


def _shares_below(n: int, ks: Sequence[int]) -> np.ndarray:
    """Shares of the choices of k among n that lie within the first m, `(len(ks), n + 1)`: C(m, k) / C(n, k)."""
    m, drawn = np.arange(n + 1), np.arange(n)[:, None]
    within = np.cumprod(np.clip(m - drawn, 0, None) / (n - drawn), axis=0)
    return within[np.array(ks) - 1]


def _expected(reward: np.ndarray, quality: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Mean quality of the response with the highest reward, by k."""
    _, group, counts = np.unique(reward, return_inverse=True, return_counts=True)
    ends = np.concatenate([[0], np.cumsum(counts)])
    mean_quality = np.bincount(group, quality) / counts
    return np.diff(shares[:, ends], axis=1) @ mean_quality


def rank_candidates(rewards: Sequence[ArrayLike]) -> list[np.ndarray]:
    """
    Rank the responses of every prompt.

    Args:
        rewards (sequence of `array_like` of shape `(n_i,)`):
            For each prompt the rewards of its responses.

    Returns:
        `list[numpy.ndarray]`: For each prompt the ranks of its responses in their order; 1 has the highest reward, equal
        rewards share the better rank (1, 2, 2, 4).

    Example:
        ```python
        >>> rank_candidates([[0.5, 2.0, 0.5, 0.1]])[0].tolist()
        [2, 1, 2, 4]
        ```
    """
    return [
        stats.rankdata(-as_finite(reward, f"rewards of prompt {row}"), method="min").astype(np.int64)
        for row, reward in enumerate(rewards)
    ]


@dataclass(frozen=True)
class Selection:
    """
    The response of every prompt with the highest reward.

    Args:
        indices (`numpy.ndarray` of shape `(N,)`):
            Its position among the prompt's responses.
        tied (`numpy.ndarray` of shape `(N,)`):
            How many responses have the highest reward.
        ties (`str`):
            Which of those is taken: `"first"` or `"random"`.
    """

    indices: np.ndarray
    tied: np.ndarray
    ties: str


def select_best(rewards: Sequence[ArrayLike], *, ties: str = "first", seed: int = 0) -> Selection:
    """
    Select the response with the highest reward for every prompt.

    Args:
        rewards (sequence of `array_like` of shape `(n_i,)`):
            For each prompt the rewards of its responses, at least one.
        ties (`str`, *optional*, defaults to `"first"`):
            Of equal rewards the `"first"`, which favours whatever the order of the candidates does, or one at `"random"`.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the latter.

    Returns:
        [`Selection`]

    Example:
        ```python
        >>> selection = select_best([[0.5, 2.0], [1.0, 1.0, 0.0]])
        >>> selection.indices.tolist(), selection.tied.tolist()
        ([1, 0], [1, 2])
        ```
    """
    if ties not in TIES:
        raise ValueError(f"ties must be one of {', '.join(TIES)}, got {ties!r}")
    rng = np.random.default_rng([seed, 85])
    indices, tied = [], []
    for row, reward in enumerate(rewards):
        reward = as_finite(reward, f"rewards of prompt {row}")
        best = np.flatnonzero(reward == reward.max())
        indices.append(best[0] if ties == "first" or len(best) == 1 else rng.choice(best))
        tied.append(len(best))
    return Selection(np.array(indices, dtype=np.int64), np.array(tied, dtype=np.int64), ties)
