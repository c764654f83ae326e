"""What a calibration costs, or gains, on pairs that humans judged."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...evaluation.comparison.comparison import PairedComparison, compare_paired
from ...evaluation.statistics import (
    Estimate,
    area_under_curve,
    as_finite,
    mean_estimate,
    paired_difference,
    proportion_estimate,
)


@dataclass(frozen=True)
class HumanPairsChange:
    """
    A reward model on human pairs before and after a calibration. Equal rewards count half.

    Args:
        accuracy_before, accuracy_after ([`Estimate`]):
            Share of pairs whose better response has the higher reward.
        comparison ([`PairedComparison`]):
            Accuracy after minus before, on the same pairs.
        margin (`float`):
            Loss of accuracy that is acceptable, as a share: 0.01 is one percentage point.
        not_worse (`bool`):
            Whether the calibrated model is shown to be not worse than by the margin: the lower end of the interval of the
            change is at least `-margin`. `False` says that it is not shown, not that it is worse.
        log_loss_before, log_loss_after, log_loss_change ([`Estimate`]):
            −log σ(reward of the better − of the other). It depends on the scale of the rewards.
        auc_before, auc_after ([`Estimate`] or `None`):
            Area under the curve of "the chosen response is the better one" by the reward of chosen − rejected, where it
            is known which labels are wrong; `None` if all are right, or all wrong.
        n_pairs (`int`):
            Number of pairs.
        n_clusters (`int`):
            Number of prompts.
    """

    accuracy_before: Estimate
    accuracy_after: Estimate
    comparison: PairedComparison
    margin: float
    not_worse: bool
    log_loss_before: Estimate
    log_loss_after: Estimate
    log_loss_change: Estimate
    auc_before: Estimate | None
    auc_after: Estimate | None
    n_pairs: int
    n_clusters: int

    @property
    def change(self) -> Estimate:
        """Accuracy after minus before."""
        return self.comparison.difference

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        found = {
            name: value.to_dict() if isinstance(value, Estimate | PairedComparison) else value
            for name, value in vars(self).items()
        }
        return {"accuracy_change": self.change.to_dict(), "statement": self.statement(), **found}

    def statement(self) -> str:
        """What was shown, in words."""
        low, high = (100 * end for end in (self.change.ci_low, self.change.ci_high))
        claim = "not worse" if self.not_worse else "not shown to be not worse"
        return (
            f"accuracy on {self.n_pairs} human pairs changes by {100 * self.change.value:+.1f} points "
            f"[{low:+.1f}, {high:+.1f}]: {claim} than {-100 * self.margin:+g} points"
        )


def compare_human_pairs(
    before: ArrayLike,
    after: ArrayLike,
    clusters: ArrayLike | None = None,
    *,
    correct: ArrayLike | None = None,
    margin: float = 0.01,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> HumanPairsChange:
    """
    Accuracy on human pairs before and after a calibration, with a statement on whether it is not worse.

    Not worse is more than no significant difference, which few pairs have always: the whole interval of the change must lie
    above the margin. The interval is that of [`~trl_ext.evaluation.compare_paired`]: clusters are kept together, and it has
    width where no pair changed.

    Args:
        before (`array_like` of shape `(N, 2)`):
            Rewards of the chosen and of the rejected response before.
        after (`array_like` of shape `(N, 2)`):
            Rewards of the same pairs after.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Prompt of every pair.
        correct (`array_like` of shape `(N,)`, *optional*):
            Whether the chosen response is really the better one: 1 or 0. By default the labels are believed.
        margin (`float`, *optional*, defaults to `0.01`):
            Acceptable loss of accuracy, as a share.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        resamples (`int`, *optional*, defaults to `2000`):
            Of the bootstrap.
        seed (`int`, *optional*, defaults to `0`):
            Its seed.

    Returns:
        [`HumanPairsChange`]

    Raises:
        ValueError: Shapes differ, a reward is not finite, or `correct` holds anything but 0 and 1.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.arena import compare_human_pairs
        >>> before = np.random.default_rng(0).normal(size=(400, 2)) + [1, 0]
        >>> found = compare_human_pairs(before, 2 * before - 1)  # another scale, the same order
        >>> found.change.value, found.not_worse
        (0.0, True)
        >>> compare_human_pairs(before[:50], 2 * before[:50] - 1).not_worse  # too few pairs to say
        False

        ```
    """
    if not 0 <= margin < 1:
        raise ValueError(f"`margin` is a share in [0, 1): 0.01 for one percentage point; got {margin}")
    pairs = {}
    for name, values in (("before", before), ("after", after)):
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 2 or array.shape[1] != 2:
            raise ValueError(f"`{name}` must have shape (N, 2), rewards of chosen and rejected, got {array.shape}")
        as_finite(array.ravel(), name)
        pairs[name] = array
    if pairs["before"].shape != pairs["after"].shape:
        raise ValueError(
            f"`before` and `after` must be of the same pairs, got {len(pairs['before'])} and {len(pairs['after'])}"
        )
    n = len(pairs["before"])
    right = np.ones(n) if correct is None else as_finite(correct, "correct")
    if right.shape != (n,):
        raise ValueError(f"`correct` must have one value per pair, shape ({n},), got {right.shape}")
    bad = np.flatnonzero(~np.isin(right, (0, 1)))
    if bad.size:
        raise ValueError(f"`correct` has {bad.size} values other than 0 and 1; first: row {bad[0]}, {right[bad[0]]}")
    chosen = {name: array[:, 0] - array[:, 1] for name, array in pairs.items()}
    better = {name: np.where(right == 1, values, -values) for name, values in chosen.items()}
    wins = {name: (1 + np.sign(values)) / 2 for name, values in better.items()}
    # in log-space: a probability would underflow
    losses = {name: np.logaddexp(0.0, -values) for name, values in better.items()}
    options = {"level": level, "resamples": resamples, "seed": seed}
    comparison = compare_paired(wins["after"], wins["before"], clusters=clusters, **options)
    both = 0 < right.sum() < n
    auc = {
        name: area_under_curve(values, right, clusters, **options) if both else None for name, values in chosen.items()
    }
    return HumanPairsChange(
        accuracy_before=proportion_estimate(wins["before"], clusters, level),
        accuracy_after=proportion_estimate(wins["after"], clusters, level),
        comparison=comparison,
        margin=float(margin),
        # nan is no evidence either
        not_worse=bool(comparison.difference.ci_low >= -margin),
        log_loss_before=mean_estimate(losses["before"], clusters, level),
        log_loss_after=mean_estimate(losses["after"], clusters, level),
        log_loss_change=paired_difference(losses["after"], losses["before"], clusters, level),
        auc_before=auc["before"],
        auc_after=auc["after"],
        n_pairs=n,
        n_clusters=n if clusters is None else len(set(np.asarray(clusters, dtype=object).tolist())),
    )
