"""Which response is better, or "can't tell": sets of labels with a guaranteed error."""

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


GUARANTEES = ("marginal", "selective")
_CANDIDATES = 20  # thresholds that a selective guarantee is tested for


@dataclasses.dataclass(frozen=True)
class PreferenceSets:
    """
    Thresholds on the confidence |d| or |d|/sd below which no preference is stated; made by [`fit_preference_sets`].

    Args:
        alpha (`float`): Largest error.
        guarantee (`str`): `"marginal"` or `"selective"`.
        normalized (`bool`): Whether the confidence is |d|/sd.
        thresholds (`Mapping[str, float]`): By group; of `""` where none are told apart. Infinite: nothing can be stated.
        counts (`Mapping[str, int]`): Calibration pairs, or clusters, n by group.
        cluster_rule (`str`, *optional*): What was taken of a cluster, if there were any.
        confidence (`float`, *optional*): Probability, over calibration sets, of a selective guarantee.
        seed (`int`, *optional*, defaults to `0`): Seed that chose a pair of each cluster.
    """

    alpha: float
    guarantee: str
    normalized: bool
    thresholds: Mapping[str, float]
    counts: Mapping[str, int]
    cluster_rule: str | None = None
    confidence: float | None = None
    seed: int = 0

    def decide(
        self, differences: ArrayLike, sds: ArrayLike | None = None, groups: Sequence[Hashable] | None = None
    ) -> np.ndarray:
        """
        Decide pairs: 1 where the first response (chosen) is stated to be better, -1 the second, 0 for both: no statement.

        Args:
            differences (`array_like` of shape `(N,)`): Rewards of the first minus those of the second.
            sds (`array_like` of shape `(N,)`, *optional*): Their standard deviations, if the confidence is |d|/sd.
            groups (`Sequence`, *optional*): Group of every pair, if they were fitted by group.

        Returns:
            `np.ndarray` of shape `(N,)`, int64.
        """
        differences = as_numbers(differences, "differences")
        if self.normalized and sds is None:
            raise ValueError("the confidence is |d|/sd: give `sds`")
        signed = in_spreads(differences, as_spreads(sds, differences.size)) if self.normalized else differences
        threshold = of_groups(self.thresholds, groups, signed.size)
        return np.where(np.abs(signed) > threshold, np.sign(signed), 0).astype(np.int64)

    @property
    def statement(self) -> str:
        """What is guaranteed, in words."""
        rule = describe_exchangeability(self.cluster_rule or "", self.cluster_rule is not None)
        where = "" if WHOLE in self.thresholds else "in every group, "
        if self.guarantee == "marginal":
            return (
                f"{where}the worse response is stated to be better in at most {self.alpha:g} of all pairs, those without a statement "
                f"included (of the pairs with a statement it may be more), on average over calibration sets, {rule}."
            )
        return (
            f"{where}with probability {self.confidence:g} over calibration sets, at most {self.alpha:g} of the statements are wrong, "
            f"{rule}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON: an infinite threshold is `None`."""
        thresholds = {name: value if np.isfinite(value) else None for name, value in self.thresholds.items()}
        return dataclasses.asdict(self) | {"thresholds": thresholds, "counts": dict(self.counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "PreferenceSets":
        """From `to_dict`."""
        thresholds = {name: np.inf if value is None else value for name, value in values["thresholds"].items()}
        return cls(**(dict(values) | {"thresholds": thresholds}))


def fit_preference_sets(
    differences: ArrayLike,
    *,
    alpha: float = 0.1,
    guarantee: str = "marginal",
    sds: ArrayLike | None = None,
    groups: Sequence[Hashable] | None = None,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
    seed: int = 0,
) -> PreferenceSets:
    r"""
    Fit how confident a preference must be to be stated, from labelled held-out pairs.

    `"marginal"` is split-conformal classification: the score of a label is minus the confidence \( d/s \) in its
    direction, and the threshold its \( \lceil(1-\alpha)(n+1)\rceil \)-th smallest value for the true labels, at least 0. The error
    is a share of *all* pairs. `"selective"` bounds the share of *statements* that are wrong: of 20 thresholds, quantiles of
    the confidences, it takes the smallest at which the upper Clopper–Pearson bound of the error, at level (1 −
    `confidence`)/20, is at most α. If there is none, nothing is ever stated.

    References:
        - Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005.
        - Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, 2017: selective guarantees.
        - Angelopoulos et al., Learn then Test, https://arxiv.org/abs/2110.01052: testing a grid of thresholds.

    Args:
        differences (`array_like` of shape `(N,)`):
            Reward of the response that was labelled better minus that of the other, of held-out pairs.
        alpha (`float`, *optional*, defaults to `0.1`):
            Largest error.
        guarantee (`str`, *optional*, defaults to `"marginal"`):
            `"marginal"` or `"selective"`.
        sds (`array_like` of shape `(N,)`, *optional*):
            Standard deviations of the differences: the confidence is then |d|/sd.
        groups (`Sequence`, *optional*):
            Group of every pair: each gets a threshold of its own, and the guarantee for itself.
        clusters (`Sequence`, *optional*):
            Prompt of every pair; a random pair of each is used.
        confidence (`float`, *optional*, defaults to `0.95`):
            Probability, over calibration sets, with which a selective guarantee is to hold.
        seed (`int`, *optional*, defaults to `0`):
            Seed that chooses a pair of each cluster.

    Returns:
        [`PreferenceSets`]

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.scoring.uncertainty import fit_preference_sets
        >>> d = np.random.default_rng(0).normal(1.0, 1.0, size=500)  # wrong order in 16 %
        >>> sets = fit_preference_sets(d, alpha=0.05)
        >>> sets.decide([2.0, 0.1, -2.0]).tolist()
        [1, 0, -1]

        ```
    """
    alpha = check_alpha(alpha)
    if guarantee not in GUARANTEES:
        raise ValueError(f"`guarantee` must be one of {', '.join(GUARANTEES)}, got {guarantee!r}")
    if not 0 < confidence < 1:
        raise ValueError(f"`confidence` must lie strictly between 0 and 1, got {confidence}")
    differences = as_numbers(differences, "differences")
    signed = in_spreads(differences, as_spreads(sds, differences.size))
    by_group = scores_by_group(-signed, as_groups(groups, signed.size), clusters, "one_per_cluster", seed)
    thresholds = {}
    for name, scores in (by_group or {WHOLE: -signed}).items():
        if guarantee == "marginal":
            found = conformal_quantile(scores, alpha, f" of group {name!r}" if name else "")
            thresholds[name] = max(found, 0.0)
        elif not len(scores):
            raise ValueError("there are no calibration pairs")
        else:
            thresholds[name] = _selective_threshold(-scores, alpha, 1 - confidence)
    return PreferenceSets(
        alpha=alpha,
        guarantee=guarantee,
        normalized=sds is not None,
        thresholds=thresholds,
        counts={name: len(scores) for name, scores in by_group.items()},
        cluster_rule=None if clusters is None else "one_per_cluster",
        confidence=confidence if guarantee == "selective" else None,
        seed=seed,
    )


def _selective_threshold(signed: np.ndarray, alpha: float, delta: float) -> float:
    confidences = np.abs(signed)
    # Of the confidences alone, so that given them the errors above a threshold are still those of fresh pairs
    levels = np.arange(1, _CANDIDATES) / _CANDIDATES
    for threshold in (
        0.0,
        *np.quantile(confidences, levels, method="lower"),
    ):  # between infinite ones there is nothing
        stated = confidences > threshold
        wrong, count = int((signed[stated] < 0).sum()), int(stated.sum())
        if count and wrong < count and stats.beta.ppf(1 - delta / _CANDIDATES, wrong + 1, count - wrong) <= alpha:
            return float(threshold)
    return float("inf")
