"""Does a reward model know the true preferences? For pairs of which their probabilities are known."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import entr

from ..statistics import Estimate, as_finite, mean_estimate, proportion_estimate


ORACLE_PROBABILITY = "oracle_probability"  # the column of true preferences


@dataclass(frozen=True)
class OracleScores:
    r"""
    A reward model against the true preferences p of pairs. Cross-entropies are in nats.

    Args:
        cross_entropy ([`Estimate`]):
            Mean of \( -p\log\sigma(d) - (1-p)\log\sigma(-d) \), with d the reward of chosen − rejected.
        entropy ([`Estimate`]):
            Mean entropy of p: the floor, which the cross-entropy of a perfect model reaches.
        excess ([`Estimate`]):
            `cross_entropy − entropy`, pair by pair: the mean Kullback–Leibler divergence of σ(d) from p, at least 0.
        accuracy ([`Estimate`]):
            Share of pairs whose truly preferred response has the higher reward. Pairs with p = 1/2 are left out; equal
            rewards are not correct. `nan` if every p is 1/2.
        oracle_ties (`int`):
            Number of pairs with p = 1/2, which `accuracy` leaves out.
        reward_ties (`int`):
            Number of the other pairs that have equal rewards.
        n_pairs (`int`):
            Number of pairs.
        n_clusters (`int`):
            Number of clusters; `n_pairs` when none were given.
    """

    cross_entropy: Estimate
    entropy: Estimate
    excess: Estimate
    accuracy: Estimate
    oracle_ties: int
    reward_ties: int
    n_pairs: int
    n_clusters: int

    def to_dict(self) -> dict[str, Any]:
        """One level of names; figures as `value, se, ci_low, ci_high, n, method`."""
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in vars(self).items()}

    def figures(self) -> dict[str, Estimate]:
        """The estimates, named as in the metrics of a trainer: `oracle_cross_entropy`, …"""
        return {f"oracle_{name}": value for name, value in vars(self).items() if isinstance(value, Estimate)}


def oracle_scores(
    rewards_chosen: ArrayLike,
    rewards_rejected: ArrayLike,
    oracle_probability: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
) -> OracleScores:
    """
    Cross-entropy and accuracy of a reward model against the true preference probabilities of pairs.

    The cross-entropy says how good the probabilities σ(d) are, scale included; the accuracy, how good the order is. To
    compare models across data sets take the excess: the entropy is a property of the data.

    Intervals: t, cluster-robust with `clusters`, for the cross-entropies; Wilson's on the effective number of rows for
    the accuracy.

    References:
        - How Humans Help LLMs: Assessing and Incentivizing Human Preference Annotators,
          https://arxiv.org/abs/2502.06387: reward models against oracle probabilities.

    Args:
        rewards_chosen (`array_like` of shape `(N,)`):
            Rewards of the responses that are called chosen, whether they are the better ones or not.
        rewards_rejected (`array_like` of shape `(N,)`):
            Rewards of the others.
        oracle_probability (`array_like` of shape `(N,)`):
            True probability in [0, 1] that chosen is preferred to rejected.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Question of every pair.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`OracleScores`]

    Raises:
        ValueError: Lengths differ, a value is not finite, or a probability lies outside of [0, 1].

    Example:
        ```python
        >>> scores = oracle_scores([2.0, 0.0, 1.0], [0.0, 1.0, 1.0], [0.9, 0.6, 0.5])
        >>> round(scores.cross_entropy.value, 4), round(scores.excess.value, 4)
        (0.6444, 0.0807)
        >>> scores.accuracy.value, scores.oracle_ties
        (0.5, 1)
        ```
    """
    chosen, rejected = as_finite(rewards_chosen, "rewards_chosen"), as_finite(rewards_rejected, "rewards_rejected")
    oracle = as_finite(oracle_probability, "oracle_probability")
    if not chosen.shape == rejected.shape == oracle.shape:
        raise ValueError(
            f"rewards_chosen, rewards_rejected and oracle_probability must have one value per pair, got {chosen.size}, "
            f"{rejected.size} and {oracle.size}"
        )
    bad = np.flatnonzero((oracle < 0) | (oracle > 1))
    if bad.size:
        raise ValueError(
            f"oracle_probability has {bad.size} values outside [0, 1]; first: row {bad[0]}, value {oracle[bad[0]]}. If "
            "these are differences of oracle rewards, pass their logistic function."
        )
    units = np.arange(oracle.size) if clusters is None else np.asarray(clusters)
    difference = chosen - rejected
    cross_entropy, entropy, correct = oracle_values(difference, oracle)
    has_order = ~np.isnan(correct)
    accuracy = Estimate(np.nan, np.nan, np.nan, np.nan, 0, "not defined: the oracle prefers neither response")
    if has_order.any():
        accuracy = proportion_estimate(correct[has_order], None if clusters is None else units[has_order], level)
    return OracleScores(
        cross_entropy=mean_estimate(cross_entropy, clusters, level),
        entropy=mean_estimate(entropy, clusters, level),
        excess=mean_estimate(cross_entropy - entropy, clusters, level),
        accuracy=accuracy,
        oracle_ties=int((~has_order).sum()),
        reward_ties=int((difference[has_order] == 0).sum()),
        n_pairs=oracle.size,
        n_clusters=int(np.unique(units).size),
    )


def oracle_values(difference: np.ndarray, oracle_probability: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    What [`oracle_scores`] is the mean of, for comparisons pair by pair.

    Args:
        difference (`np.ndarray` of shape `(N,)`):
            Reward of chosen − rejected.
        oracle_probability (`np.ndarray` of shape `(N,)`):
            True probability in [0, 1] that chosen is preferred.

    Returns:
        `tuple[np.ndarray, np.ndarray, np.ndarray]` of shapes `(N,)`: cross-entropy and entropy in nats, and 1 where the
        rewards order the pair as the oracle does, 0 where not (a tie is not), NaN where the oracle prefers neither.
    """
    p = oracle_probability
    cross_entropy = p * np.logaddexp(0, -difference) + (1 - p) * np.logaddexp(0, difference)
    correct = np.where(p == 0.5, np.nan, np.sign(difference) == np.sign(p - 0.5))
    return cross_entropy, entr(p) + entr(1 - p), correct
