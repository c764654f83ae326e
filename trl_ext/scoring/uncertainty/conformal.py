"""Split-conformal intervals of reward differences."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from .quantiles import (
    WHOLE,
    as_groups,
    as_numbers,
    as_spreads,
    check_alpha,
    conformal_quantile,
    describe_exchangeability,
    in_spreads,
    of_groups,
    scores_by_group,
)


@dataclasses.dataclass(frozen=True)
class ConformalIntervals:
    r"""
    Intervals of a real-valued target around reward differences; made by [`fit_conformal_intervals`].

    Args:
        alpha (`float`): Largest share of targets outside.
        normalized (`bool`): Whether the width follows the standard deviation of the difference.
        quantiles (`Mapping[str, float]`): Half-width by group, in units of the target or of standard deviations; of the
            group `""` where none are told apart.
        counts (`Mapping[str, int]`): Calibration pairs, or clusters, n by group.
        cluster_rule (`str`, *optional*): What was taken of a cluster, if there were any.
        scale (`float`, *optional*, defaults to `1.0`): Units of the target per unit of reward.
        seed (`int`, *optional*, defaults to `0`): Seed that chose a pair of each cluster.
    """

    alpha: float
    normalized: bool
    quantiles: Mapping[str, float]
    counts: Mapping[str, int]
    cluster_rule: str | None = None
    scale: float = 1.0
    seed: int = 0

    def intervals(
        self, differences: ArrayLike, sds: ArrayLike | None = None, groups: Sequence[Hashable] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Lower and upper ends `(N,)`, in units of the target. Of a pair with the standard deviation 0 both are its difference.

        Args:
            differences (`array_like` of shape `(N,)`): Reward differences.
            sds (`array_like` of shape `(N,)`, *optional*): Their standard deviations, if the width follows them.
            groups (`Sequence`, *optional*): Group of every pair, if they were fitted by group.
        """
        centers = as_numbers(differences, "differences") * self.scale
        if self.normalized and sds is None:
            raise ValueError("the widths follow the standard deviations of the differences: give `sds`")
        spreads = as_spreads(sds, centers.size) * abs(self.scale) if self.normalized else 1.0
        half = of_groups(self.quantiles, groups, centers.size) * spreads
        return centers - half, centers + half

    @property
    def statement(self) -> str:
        """What is guaranteed, in words."""
        rule = describe_exchangeability(self.cluster_rule or "", self.cluster_rule is not None)
        where = "" if WHOLE in self.quantiles else "in every group, "
        return (
            f"{where}the interval covers the target with probability at least {1 - self.alpha:g} (and, without ties, less than "
            f"1/(n+1) above), on average over calibration sets and pairs, {rule}. It is not a guarantee for every single pair."
        )

    def coverage_range(self, level: float = 0.95, group: str = WHOLE) -> tuple[float, float]:
        """
        Where the coverage of *this* calibration set lies: an interval of its Beta(k, n + 1 − k) distribution over
        calibration sets, for targets without ties.

        References:
            - Vovk, Conditional Validity of Inductive Conformal Predictors, 2012.
        """
        if group not in self.counts:
            raise ValueError(f"there is no group {group!r}: known are {', '.join(map(repr, self.counts))}")
        n = self.counts[group]
        rank = int(np.ceil((1 - self.alpha) * (n + 1) - 1e-9))
        return tuple(map(float, stats.beta.interval(level, rank, n + 1 - rank)))

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return dataclasses.asdict(self) | {"quantiles": dict(self.quantiles), "counts": dict(self.counts)}


def fit_conformal_intervals(
    differences: ArrayLike,
    targets: ArrayLike,
    *,
    alpha: float = 0.1,
    sds: ArrayLike | None = None,
    groups: Sequence[Hashable] | None = None,
    clusters: Sequence[Hashable] | None = None,
    cluster_rule: str = "one_per_cluster",
    scale: float = 1.0,
    seed: int = 0,
) -> ConformalIntervals:
    r"""
    Fit intervals that cover a share 1−α of targets, whatever the model and the distribution, from held-out pairs.

    The score of a pair is \( |t - a d| \), or with `sds` \( |t - a d| / (a s) \), so that uncertain differences get wider
    intervals. Its \( \lceil(1-\alpha)(n+1)\rceil \)-th smallest value is the half-width.

    References:
        - Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.
        - Lei et al., Distribution-Free Predictive Inference for Regression, 2018, theorem 2 and section 5.2.
        - Dunn, Wasserman and Ramdas, Distribution-Free Prediction Sets for Two-Layer Hierarchical Models, 2022: one pair of
          each cluster.

    Args:
        differences (`array_like` of shape `(N,)`):
            Reward differences of held-out pairs: neither trained on nor used to choose the model.
        targets (`array_like` of shape `(N,)`):
            What they estimate: differences of ratings or of gold rewards, or margins.
        alpha (`float`, *optional*, defaults to `0.1`):
            Largest share of targets outside of their intervals.
        sds (`array_like` of shape `(N,)`, *optional*):
            Standard deviations of the differences, to which the width is then proportional.
        groups (`Sequence`, *optional*):
            Group of every pair (source, language): each gets a width of its own, and the guarantee for itself (Mondrian).
        clusters (`Sequence`, *optional*):
            Prompt of every pair. Pairs of one prompt are not exchangeable with one of a new prompt.
        cluster_rule (`str`, *optional*, defaults to `"one_per_cluster"`):
            `"one_per_cluster"` (a random pair of each) or `"cluster_maximum"` (the worst: covers all pairs of a new prompt
            at once).
        scale (`float`, *optional*, defaults to `1.0`):
            Units of the target per unit of reward; from other data than these pairs, e.g. training pairs.
        seed (`int`, *optional*, defaults to `0`):
            Seed that chooses a pair of each cluster.

    Returns:
        [`ConformalIntervals`]

    Raises:
        ValueError: A group has fewer than 1/α − 1 pairs or clusters, a value is not finite, or too many pairs have the
            standard deviation 0 and another target than their difference.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.scoring.uncertainty import fit_conformal_intervals
        >>> generator = np.random.default_rng(0)
        >>> d = generator.normal(size=199)
        >>> fitted = fit_conformal_intervals(d, d + generator.normal(size=199), alpha=0.1)
        >>> low, high = fitted.intervals([0.5])
        >>> round(float(high[0] - low[0]) / 2, 2)  # of a normal error with sd 1 it is near 1.64
        1.67

        ```
    """
    alpha = check_alpha(alpha)
    if not np.isfinite(scale) or scale == 0:
        raise ValueError(f"`scale` must be finite and not 0, got {scale}")
    differences = as_numbers(differences, "differences")
    targets = as_numbers(targets, "targets", differences.size)
    spreads = as_spreads(sds, differences.size) * (1.0 if sds is None else abs(scale))
    scores = in_spreads(np.abs(targets - scale * differences), spreads)
    by_group = scores_by_group(scores, as_groups(groups, scores.size), clusters, cluster_rule, seed)
    return ConformalIntervals(
        alpha=alpha,
        normalized=sds is not None,
        quantiles={
            name: _finite_quantile(found, alpha, f" of group {name!r}" if name else "")
            for name, found in (by_group or {WHOLE: scores}).items()
        },
        counts={name: len(found) for name, found in by_group.items()},
        cluster_rule=None if clusters is None else cluster_rule,
        scale=float(scale),
        seed=seed,
    )


def _finite_quantile(scores: np.ndarray, alpha: float, what: str) -> float:
    found = conformal_quantile(scores, alpha, what)
    if np.isinf(found):
        raise ValueError(
            f"{int(np.isinf(scores).sum())} of {len(scores)} calibration pairs{what} have the standard deviation 0, and yet "
            f"another target than their difference; alpha={alpha:g} allows fewer: fit without `sds`"
        )
    return found
