"""Does a reward model follow its annotators, or the truth? For pairs of which it is known who was right."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..statistics import Estimate, area_under_curve, as_finite, paired_difference, proportion_estimate


@dataclass(frozen=True)
class TruthScores:
    """
    Agreement of a reward model with annotators and with the truth. Equal rewards count half.

    Args:
        accuracy_to_labels ([`Estimate`]):
            Share of pairs whose chosen response has the higher reward.
        accuracy_to_truth ([`Estimate`]):
            Share of pairs whose correct response has the higher reward. It is also the accuracy of σ(d) > 1/2, with d
            the reward of chosen − rejected, as a prediction that the annotator was right.
        annotator_accuracy ([`Estimate`]):
            Share of pairs in which the annotator chose the correct response: what following the labels would give.
        truth_over_labels ([`Estimate`]):
            `accuracy_to_truth − accuracy_to_labels`; above 0, the model is wrong less often than it contradicts labels.
        gain_over_annotators ([`Estimate`]):
            `accuracy_to_truth − annotator_accuracy`, paired.
        accuracy_where_label_right ([`Estimate`]):
            `accuracy_to_truth` on pairs in which the annotator was right.
        accuracy_where_label_wrong ([`Estimate`]):
            On those in which the annotator was wrong: there the model contradicts the label.
        auc_label_right ([`Estimate`]):
            Area under the ROC curve of σ(d) for "the annotator was right": the chance that a right label has a larger d
            than a wrong one. 1/2 is no information; `nan` if all labels are right, or wrong.
        ties (`int`):
            Number of pairs with equal rewards.
        n_pairs (`int`):
            Number of pairs.
        n_clusters (`int`):
            Number of questions; `n_pairs` when no clusters were given.
    """

    accuracy_to_labels: Estimate
    accuracy_to_truth: Estimate
    annotator_accuracy: Estimate
    truth_over_labels: Estimate
    gain_over_annotators: Estimate
    accuracy_where_label_right: Estimate
    accuracy_where_label_wrong: Estimate
    auc_label_right: Estimate
    ties: int
    n_pairs: int
    n_clusters: int

    def to_dict(self) -> dict[str, Any]:
        """One level of names; figures as `value, se, ci_low, ci_high, n, method`."""
        return {name: value.to_dict() if isinstance(value, Estimate) else value for name, value in vars(self).items()}


def truth_scores(
    rewards_chosen: ArrayLike,
    rewards_rejected: ArrayLike,
    correct_chosen: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> TruthScores:
    """
    Agreement of a reward model with annotators and with the truth, on pairs of one correct and one incorrect response.

    Intervals: Wilson's on the effective number of rows for the shares, t for the differences, those of
    [`area_under_curve`] for the area.

    References:
        - Reliability-Aware Preference Learning for LLM Reward Models (ICLR 2025 submission): the TRUE dataset.

    Args:
        rewards_chosen (`array_like` of shape `(N,)`):
            Rewards of the responses that the annotators chose.
        rewards_rejected (`array_like` of shape `(N,)`):
            Rewards of the others.
        correct_chosen (`array_like` of shape `(N,)`):
            Whether the chosen response is the correct one: `True`, `False`, 1 or 0.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Question of every pair.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Number of bootstrap resamples.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the bootstrap.

    Returns:
        [`TruthScores`]

    Raises:
        ValueError: lengths differ, or a reward is not finite, or `correct_chosen` holds anything but true and false.

    Example:
        ```python
        >>> scores = truth_scores([2.0, 1.0, 0.0, 3.0], [1.0, 0.0, 1.0, 1.0], [True, False, False, True])
        >>> scores.accuracy_to_labels.value, scores.accuracy_to_truth.value, scores.annotator_accuracy.value
        (0.75, 0.75, 0.5)
        ```
    """
    chosen, rejected = as_finite(rewards_chosen, "rewards_chosen"), as_finite(rewards_rejected, "rewards_rejected")
    right = as_finite(correct_chosen, "correct_chosen")
    if not chosen.shape == rejected.shape == right.shape:
        raise ValueError(
            f"rewards_chosen, rewards_rejected and correct_chosen must have one value per pair, got {chosen.size}, "
            f"{rejected.size} and {right.size}"
        )
    bad = np.flatnonzero(~np.isin(right, (0, 1)))
    if bad.size:
        raise ValueError(
            f"correct_chosen has {bad.size} values other than true and false; first: row {bad[0]}, value {right[bad[0]]}"
        )
    n = right.size
    units = np.arange(n) if clusters is None else np.asarray(clusters)
    if units.shape != (n,):
        raise ValueError(f"clusters must have one label per row, shape ({n},), got {units.shape}")
    difference = chosen - rejected
    to_label = (1 + np.sign(difference)) / 2
    to_truth = np.where(right == 1, to_label, 1 - to_label)

    def share(values: np.ndarray, rows: np.ndarray) -> Estimate:
        if not rows.any():
            return Estimate(np.nan, np.nan, np.nan, np.nan, 0, "no pairs")
        return proportion_estimate(values[rows], None if clusters is None else units[rows], level)

    everywhere = np.ones(n, dtype=bool)
    if 0 < right.sum() < n:
        auc = area_under_curve(difference, right, clusters, level=level, resamples=resamples, seed=seed)
    else:
        auc = Estimate(np.nan, np.nan, np.nan, np.nan, n, "not defined: all labels are right, or all are wrong")
    return TruthScores(
        accuracy_to_labels=share(to_label, everywhere),
        accuracy_to_truth=share(to_truth, everywhere),
        annotator_accuracy=share(right, everywhere),
        truth_over_labels=paired_difference(to_truth, to_label, clusters, level),
        gain_over_annotators=paired_difference(to_truth, right, clusters, level),
        accuracy_where_label_right=share(to_truth, right == 1),
        accuracy_where_label_wrong=share(to_truth, right == 0),
        auc_label_right=auc,
        ties=int(np.sum(difference == 0)),
        n_pairs=n,
        n_clusters=int(np.unique(units).size),
    )
