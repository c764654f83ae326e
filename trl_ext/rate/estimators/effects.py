"""The effect of an attribute on rewards: as it looks (naive), after one rewrite, and after two (RATE)."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from ...evaluation.statistics import Estimate, mean_estimate
from ..chains.reward_chains import RewardChains
from .estimands import EFFECTS, REWRITE_EFFECTS, effect_differences, is_identified, pooled_reward_std
from .group_difference import difference_of_groups
from .reference_errors import reference_estimate


STANDARD_ERRORS = ("paired", "cluster", "reference")
_FEW_CLUSTERS = 10
_LARGE_CLUSTER = 0.2


@dataclass(frozen=True)
class RateEffects(Mapping[str, Estimate | None]):
    """
    Effects of an attribute by name, in reward units. `None` is what the data do not identify.

    | name | what |
    |---|---|
    | `naive_effect` | difference of mean rewards of originals with the attribute and without: not causal |
    | `ATE_single_rewrite`, `ATT_…`, `ATU_…` | original against its rewrite: biased by what rewriting itself changes |
    | `ATE_rewritten_rewrite`, `ATT_…`, `ATU_…` | rewrite against rewritten rewrite (RATE) |
    | `rewrite_effect_w_1`, `rewrite_effect_w_0` | rewritten rewrite against original: what rewriting itself does |

    ATE is over all rows, ATT over those with the attribute, ATU over those without.

    Args:
        estimates (`Mapping[str, Estimate | None]`):
            Estimate of each name.
        reward_std (`float`, *optional*):
            Standard deviation of rewards of originals within the groups with and without the attribute, pooled.
        Y1_count (`int`):
            Rows with the attribute.
        Y0_count (`int`):
            Rows without.
        se (`str`):
            Kind of standard errors.
        level (`float`):
            Confidence level of the intervals.
        notes (`tuple[str, ...]`):
            What a reader must know, such as that all rows have the attribute.
    """

    estimates: Mapping[str, Estimate | None]
    reward_std: float | None
    Y1_count: int
    Y0_count: int
    se: str
    level: float
    notes: tuple[str, ...] = field(default=())

    def __getitem__(self, name: str) -> Estimate | None:
        return self.estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON: each effect by its name, then the attributes. `None` for what is not known, never NaN."""
        effects = {name: estimate_to_dict(estimate) for name, estimate in self.items()}
        std = None if self.reward_std is None or not math.isfinite(self.reward_std) else self.reward_std
        counts = {"reward_std": std, "Y1_count": self.Y1_count, "Y0_count": self.Y0_count}
        return {**effects, **counts, "se": self.se, "level": self.level, "notes": list(self.notes)}

    def to_original(self) -> dict[str, float | int | None]:
        """The 17 keys of the effects file of the original program, `None` where it wrote NaN."""
        found: dict[str, float | int | None] = {}
        for name in EFFECTS:
            estimate = estimate_to_dict(self[name]) or {"value": None, "se": None}
            found |= {name: estimate["value"], f"{name}_stderr": estimate["se"]}
        return found | {"reward_std": self.reward_std, "Y1_count": self.Y1_count, "Y0_count": self.Y0_count}

    def table(self) -> pd.DataFrame:
        """A row for each effect: `effect, value, se, ci_low, ci_high, n, method`; unknown figures are missing."""
        columns = ["effect", "value", "se", "ci_low", "ci_high", "n", "method"]
        rows = [{"effect": name, **(estimate_to_dict(estimate) or {})} for name, estimate in self.items()]
        return pd.DataFrame(rows, columns=columns)


def estimate_to_dict(estimate: Estimate | None) -> dict[str, Any] | None:
    """Plain types for JSON, with `None` instead of NaN and infinity."""
    if estimate is None:
        return None
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in estimate.to_dict().items()
    }


def estimate_effects(table: Any, *, se: str | None = None, level: float = 0.95) -> RateEffects:
    r"""
    Effects of an attribute on rewards, with standard errors that know which rewards belong together.

    With rewards \( r_0, r_1, r_2 \) of original, rewrite and rewritten rewrite, RATE is the mean of
    \( \delta_i = r_{2i} - r_{1i} \) where the original has the attribute and \( r_{1i} - r_{2i} \) where it has not. Both
    texts come from the rewriter, so what it always changes cancels, and both come from the same original, so its quality
    does. Standard errors are those of the differences; formulas for two independent groups, as the original program
    uses them for RATE, are 1.4 to 4.5 times too wide in its own published runs.

    References:
        - RATE: Causal Explainability of Reward Models with Imperfect Counterfactuals, algorithm 1,
          https://arxiv.org/abs/2410.11348
        - Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015 (CR1, t with G−1 degrees).

    Args:
        table ([`RewardChains`], `pandas.DataFrame`, `Mapping`, or [`~datasets.Dataset`]):
            Columns `w, original[, rewrite, rewritten_rewrite, …][, cluster]`, see [`RewardChains.of_table`]. Without
            rewrites there is the naive effect only, with one rewrite no RATE; later rewrites are not used.
        se (`str`, *optional*):
            `"paired"`: t interval of differences by row, Welch's for the naive effect. `"cluster"`: CR1 for rows that
            share a label, with t of G−1 degrees of freedom, fewer for the naive effect where groups are in few clusters
            ([`difference_of_groups`]). `"reference"`: the original program's formulas, with
            z = 1.96. By default `"cluster"` if the table has clusters, else `"paired"`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`RateEffects`]: If all rows have the attribute, or none, the naive effect and ATU (ATT) are `None`, and ATE is
        that of the rows there are. Uncertainty of a single row or cluster is NaN, `None` in JSON.

    Raises:
        ValueError: The table is not as it must be, `se` is unknown, or it is `"cluster"` and there are no clusters.

    Example:
        ```python
        >>> from trl_ext.rate import estimate_effects
        >>> effects = estimate_effects(
        ...     {
        ...         "w": [1, 1, 1, 0, 0, 0],
        ...         "original": [3.0, 5.0, 4.0, 1.0, 2.0, 0.0],
        ...         "rewrite": [1.0, 2.0, 2.0, 3.0, 4.0, 4.0],
        ...         "rewritten_rewrite": [3.0, 4.0, 5.0, 1.0, 1.0, 2.0],
        ...     }
        ... )
        >>> rate = effects["ATE_rewritten_rewrite"]
        >>> print(f"naive {effects['naive_effect'].value:.2f}, RATE {rate.value:.2f} [{rate.ci_low:.2f}, {rate.ci_high:.2f}]")
        naive 3.00, RATE 2.33 [1.79, 2.88]

        ```
    """
    chains = RewardChains.of_table(table)
    se = _standard_errors(chains, se)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level must lie strictly between 0 and 1, got {level}")
    if se == "reference" and level != 0.95:
        raise ValueError(f"the original's intervals have level 0.95 (z = 1.96), got level={level}; take another `se`")
    # Once, as numbers: each of the estimates sorts them
    codes = pd.factorize(chains.clusters)[0] if se == "cluster" else None
    estimates = {name: _estimate(chains, name, se, codes, level) for name in (*EFFECTS, *REWRITE_EFFECTS)}
    treated = int(chains.w.sum())
    return RateEffects(
        estimates,
        pooled_reward_std(chains, reference=se == "reference"),
        treated,
        len(chains) - treated,
        se,
        level,
        tuple(_notes(chains, codes)),
    )


def _standard_errors(chains: RewardChains, se: str | None) -> str:
    if se is None:
        return "paired" if chains.clusters is None else "cluster"
    if se not in STANDARD_ERRORS:
        raise ValueError(f"se must be one of {', '.join(map(repr, STANDARD_ERRORS))}, got {se!r}")
    if se == "cluster" and chains.clusters is None:
        raise ValueError(
            "se='cluster' needs a column 'cluster' with the label of what rows belong together; or se='paired'"
        )
    return se


def _estimate(chains: RewardChains, name: str, se: str, codes: np.ndarray | None, level: float) -> Estimate | None:
    if not is_identified(chains, name):
        return None
    if se == "reference":
        return reference_estimate(chains, name)
    if name == "naive_effect":
        return difference_of_groups(chains.original, chains.w, codes, level)
    mask, differences = effect_differences(chains, name)
    estimate = mean_estimate(differences, None if codes is None else codes[mask], level)
    return replace(estimate, method=f"paired difference: {estimate.method}")


def _notes(chains: RewardChains, codes: np.ndarray | None) -> Iterator[str]:
    if chains.w.all() or not chains.w.any():
        have, unknown = ("all rows have", "ATU") if chains.w.all() else ("no row has", "ATT")
        yield f"{have} the attribute: naive effect and {unknown} are not identified, ATE is the effect in these rows"
    if chains.steps < 2:
        yield f"{chains.steps} rewrites of each text: RATE needs 2"
    if codes is None:
        return
    sizes = np.bincount(codes)
    if len(sizes) < 2:
        yield "all rows are of one cluster: there are no standard errors"
        return
    if len(sizes) < _FEW_CLUSTERS:
        yield f"{len(sizes)} clusters: intervals rest on {len(sizes) - 1} degrees of freedom at most"
    groups = [np.count_nonzero(np.bincount(codes[mask])) for mask in (chains.w, ~chains.w)]
    if 0 < min(groups) < _FEW_CLUSTERS and len(sizes) >= _FEW_CLUSTERS:
        having = "that have" if groups[0] < groups[1] else "that lack"
        yield (
            f"clusters with rows {having} the attribute: {min(groups)}. The standard error of the naive effect is itself "
            "uncertain, and its interval has few degrees of freedom"
        )
    if sizes.max() > _LARGE_CLUSTER * len(codes) and len(sizes) >= 1 / _LARGE_CLUSTER:
        yield (
            f"one cluster has {sizes.max() / len(codes):.0%} of the rows: intervals, made for clusters of similar size, may "
            "be too narrow"
        )
