"""Which of two, or of many, reward models is better, on the same rows of a benchmark."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm.auto import tqdm

from ..statistics import (
    CORRECTIONS,
    Estimate,
    adjust_p_values,
    as_finite,
    check_level,
    cluster_codes,
    mcnemar_p_values,
    minimum_detectable_effect,
    sign_flip_p_value,
    stratified_estimate,
)


@dataclass(frozen=True)
class PairedComparison:
    """
    Two models on the same rows.

    Args:
        n (`int`):
            Number of rows.
        both_right, only_a, only_b, neither (`int` or `None`):
            Rows by who is right; `None` for scores that are not all 0 or 1.
        difference ([`Estimate`]):
            Score of the first minus that of the second, weighted as the benchmark's figure.
        mcnemar_exact_p, mcnemar_mid_p (`float` or `None`):
            McNemar's tests, which count all rows alike; `None` for scores between 0 and 1, and for rows in clusters.
        permutation_p (`float`):
            Signs of the clusters' weighted differences flipped at random, two-sided mid-p.
        p_value (`float`):
            That of `test`.
        test (`str`):
            The headline test: `"McNemar mid-p"` or `"sign-flip permutation"`.
        reason (`str`):
            Why this test.
        minimum_detectable_effect (`float`):
            Smallest true difference that is found with `power`, given how often the models disagreed; see
            [`minimum_detectable_effect`]. `nan` if there are too few rows for any.
        power (`float`):
            Of that.
        level (`float`):
            Confidence level; a difference is significant if `p_value` is at most 1 − level.
    """

    n: int
    both_right: int | None
    only_a: int | None
    only_b: int | None
    neither: int | None
    difference: Estimate
    mcnemar_exact_p: float | None
    mcnemar_mid_p: float | None
    permutation_p: float
    p_value: float
    test: str
    reason: str
    minimum_detectable_effect: float
    power: float
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class ModelComparisons:
    """
    Many models on the same rows.

    Args:
        scores (`dict[str, Estimate]`):
            Figure of every model, best first.
        comparisons (`dict[tuple[str, str], PairedComparison]`):
            By pair of models: all pairs, the better one first, or every model against the baseline.
        adjusted_p_values (`dict[tuple[str, str], float]`):
            p-values of the headline tests, corrected for the number of pairs.
        correction (`str`):
            `"holm"` or `"fdr_bh"`.
        baseline (`str` or `None`):
            The model that the others are compared with.
        level (`float`):
            Confidence level.
    """

    scores: dict[str, Estimate]
    comparisons: dict[tuple[str, str], PairedComparison]
    adjusted_p_values: dict[tuple[str, str], float]
    correction: str
    baseline: str | None
    level: float

    def table(self) -> pd.DataFrame:
        """A row per pair: `model_a, model_b, difference, ci_low, ci_high, p_value, adjusted_p_value, significant, …`."""
        rows = []
        for (a, b), comparison in self.comparisons.items():
            adjusted = self.adjusted_p_values[a, b]
            rows.append(
                {
                    **{"model_a": a, "model_b": b, "difference": comparison.difference.value},
                    **{"ci_low": comparison.difference.ci_low, "ci_high": comparison.difference.ci_high},
                    **{"p_value": comparison.p_value, "adjusted_p_value": adjusted},
                    **{"significant": adjusted <= 1 - self.level, "test": comparison.test},
                    "minimum_detectable_effect": comparison.minimum_detectable_effect,
                }
            )
        return pd.DataFrame(rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python types, for JSON: comparisons as a list."""
        return {
            "scores": {name: estimate.to_dict() for name, estimate in self.scores.items()},
            "comparisons": [
                {"model_a": a, "model_b": b, "adjusted_p_value": self.adjusted_p_values[a, b], **comparison.to_dict()}
                for (a, b), comparison in self.comparisons.items()
            ],
            "correction": self.correction,
            "baseline": self.baseline,
            "level": self.level,
        }


def compare_paired(
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    weights: Mapping[str, float] | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    power: float = 0.8,
    resamples: int = 2000,
    permutations: int = 9999,
    seed: int = 0,
) -> PairedComparison:
    """
    Compare two models on the same rows.

    The headline test is McNemar's mid-p for right or wrong rows that are independent and count alike. Everything else is
    tested by flipping the signs of the clusters' differences: scores between 0 and 1, rows in clusters, and weights,
    which McNemar's test ignores. McNemar's exact test is reported, but its size is well below the level when few rows
    are discordant. The difference has the interval of [`stratified_estimate`]. Near the border, interval and test may
    disagree; the test decides.

    Args:
        scores_a (`array_like` of shape `(N,)`):
            What every row is worth for the first model, in [0, 1]. If both are [`~pandas.Series`], such as
            `BenchmarkResult.rows.set_index("id")["score"]`, their indexes are the rows' ids, and must be the same in the
            same order.
        scores_b (`array_like` of shape `(N,)`):
            Likewise for the second, the same rows in the same order.
        strata (`array_like` of shape `(N,)`, *optional*):
            Subset of every row.
        weights (`Mapping[str, float]`, *optional*):
            Weight of every subset. By default the number of its rows: the plain mean.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row, within its subset.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.
        power (`float`, *optional*, defaults to `0.8`):
            Of the minimum detectable effect.
        resamples (`int`, *optional*, defaults to `2000`):
            Of the bootstrap.
        permutations (`int`, *optional*, defaults to `9999`):
            Of the permutation test.
        seed (`int`, *optional*, defaults to `0`):
            Seed of both.

    Returns:
        [`PairedComparison`]

    Raises:
        ValueError: a score is not in [0, 1], lengths differ, or ids do; the first difference is named.

    Example:
        ```python
        >>> a, b = [1] * 80 + [1] * 9 + [0] * 11, [1] * 80 + [0] * 9 + [1] * 2 + [0] * 9
        >>> comparison = compare_paired(a, b)
        >>> comparison.only_a, comparison.only_b, comparison.test, round(comparison.p_value, 4)
        (9, 2, 'McNemar mid-p', 0.0386)
        ```
    """
    check_level(level)
    a, b = _aligned({"scores_a": scores_a, "scores_b": scores_b}).values()
    labels = np.zeros(a.size, dtype=int) if strata is None else np.asarray(strata)
    if weights is not None and strata is None:
        raise ValueError("weights are of strata: give strata as well")
    if labels.shape != a.shape:
        raise ValueError(f"strata must have one label per row, shape {a.shape}, got {labels.shape}")
    labels = labels.astype(str)
    names, counts = np.unique(labels, return_counts=True)
    of_strata = dict(zip(names.tolist(), counts.tolist(), strict=True)) if weights is None else weights
    difference = stratified_estimate(
        *(a - b, labels, of_strata),
        **{"clusters": clusters, "resamples": resamples, "seed": seed, "level": level, "bounds": (-1.0, 1.0)},
    )
    contributions, effective_rows, clustered = _contributions(a - b, labels, of_strata, clusters)
    permutation_p = sign_flip_p_value(contributions, permutations=permutations, seed=seed)

    binary = bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all())
    table = [int(np.sum((a == x) & (b == y))) for x, y in ((1, 1), (1, 0), (0, 1), (0, 0))] if binary else [None] * 4
    exact = mid_p = None
    if binary and not clustered:
        exact, mid_p = (float(p) for p in mcnemar_p_values(table[1], table[2]))
    if not binary:
        reason = "scores lie between 0 and 1"
    elif clustered:
        reason = "rows of a cluster are not independent"
    elif weights is not None:
        reason = "subsets are weighted, McNemar's test counts all rows alike"
    else:
        reason = "scores are 0 or 1, rows are independent and count alike; the exact test is conservative"
    mcnemar = binary and not clustered and weights is None
    return PairedComparison(
        a.size,
        *table,
        difference=difference,
        mcnemar_exact_p=exact,
        mcnemar_mid_p=mid_p,
        permutation_p=permutation_p,
        p_value=mid_p if mcnemar else permutation_p,
        test="McNemar mid-p" if mcnemar else "sign-flip permutation",
        reason=reason,
        minimum_detectable_effect=minimum_detectable_effect(
            float(np.sum(contributions**2)), effective_rows, level=level, power=power
        ),
        power=power,
        level=level,
    )


def compare_many(
    scores: Mapping[str, ArrayLike],
    *,
    baseline: str | None = None,
    correction: str = "holm",
    strata: ArrayLike | None = None,
    weights: Mapping[str, float] | None = None,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    permutations: int = 9999,
    seed: int = 0,
) -> ModelComparisons:
    """
    Compare models on the same rows: all pairs, or all with a baseline, by [`compare_paired`].

    Args:
        scores (`Mapping[str, array_like of shape (N,)]`):
            Scores of every model, at least two, as in [`compare_paired`].
        baseline (`str`, *optional*):
            Model that the others are compared with. By default all pairs are compared.
        correction (`str`, *optional*, defaults to `"holm"`):
            `"holm"`: the probability of any false claim is at most 1 − level; `"fdr_bh"`: the expected share of false
            ones among the claims. See [`adjust_p_values`].
        strata, weights, clusters, level, resamples, permutations, seed:
            As in [`compare_paired`].

    Returns:
        [`ModelComparisons`]

    Raises:
        ValueError: as [`compare_paired`], with the models' names; or the baseline is not among the models.

    Example:
        ```python
        >>> rng = np.random.default_rng(0)
        >>> right = {name: rng.random(400) < p for name, p in (("x", 0.9), ("y", 0.88), ("z", 0.7))}
        >>> many = compare_many(right, baseline="z")
        >>> [(pair, p < 0.05) for pair, p in many.adjusted_p_values.items()]
        [(('y', 'z'), True), (('x', 'z'), True)]
        ```
    """
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, got {correction!r}")
    if len(scores) < 2:
        raise ValueError(f"at least two models are compared, got {', '.join(scores) or 'none'}")
    if baseline is not None and baseline not in scores:
        raise ValueError(f"baseline {baseline!r} is not one of the models {', '.join(scores)}")
    aligned = _aligned(scores)
    options = {"clusters": clusters, "resamples": resamples, "seed": seed, "level": level}
    figures = {name: weighted_mean_of_rows(array, strata, weights, **options) for name, array in aligned.items()}
    ranked = sorted(figures, key=lambda name: -figures[name].value)
    pairs = (
        list(combinations(ranked, 2))
        if baseline is None
        else [(name, baseline) for name in ranked if name != baseline]
    )
    comparisons = {
        (a, b): compare_paired(
            *(aligned[a], aligned[b]), strata=strata, weights=weights, permutations=permutations, **options
        )
        for a, b in tqdm(pairs, desc="Comparing", unit="pair", disable=len(pairs) < 50)
    }
    adjusted = adjust_p_values([comparison.p_value for comparison in comparisons.values()], correction)
    return ModelComparisons(
        scores={name: figures[name] for name in ranked},
        comparisons=comparisons,
        adjusted_p_values=dict(zip(comparisons, adjusted.tolist(), strict=True)),
        correction=correction,
        baseline=baseline,
        level=level,
    )


def weighted_mean_of_rows(
    scores: np.ndarray, strata: ArrayLike | None, weights: Mapping[str, float] | None, **options: Any
) -> Estimate:
    """[`stratified_estimate`], where a single stratum and the number of rows as weight go without saying."""
    labels = (np.zeros(scores.size, dtype=int) if strata is None else np.asarray(strata)).astype(str)
    if weights is None:
        weights = dict(zip(*(values.tolist() for values in np.unique(labels, return_counts=True)), strict=True))
    return stratified_estimate(scores, labels, weights, **options)


def _aligned(scores: Mapping[str, ArrayLike]) -> dict[str, np.ndarray]:
    """Scores as arrays, after a check that they are of the same rows."""
    arrays: dict[str, np.ndarray] = {}
    first, first_ids = next(iter(scores)), None
    for name, values in scores.items():
        array = as_finite(values, name)
        outside = np.flatnonzero((array < 0) | (array > 1))
        if outside.size:
            row = outside[0]
            raise ValueError(
                f"{name} has {outside.size} scores outside [0, 1]; first: row {row}, value {array[row]}. "
                "Give what rows are worth, not rewards."
            )
        ids = values.index.tolist() if isinstance(values, pd.Series) else None
        if ids is not None and len(set(ids)) < len(ids):
            twice = pd.Index(ids)[pd.Index(ids).duplicated()][0]
            raise ValueError(f"{name} has the id {twice!r} twice")
        if name == first:
            first_ids = ids
        elif (ids is None) != (first_ids is None):
            raise ValueError(f"{first} and {name}: give ids (a Series with ids as index) for all or for none")
        elif ids is not None:
            different = next((row for row, pair in enumerate(zip(first_ids, ids)) if pair[0] != pair[1]), None)  # noqa: B905
            if different is not None:
                raise ValueError(
                    f"{first} and {name} are not of the same rows in the same order; first difference: row {different}, "
                    f"id {first_ids[different]!r} and {ids[different]!r}. Sort both by id."
                )
        if arrays and array.size != arrays[first].size:
            raise ValueError(f"{first} and {name} must be of the same rows, got {arrays[first].size} and {array.size}")
        arrays[name] = array
    return arrays


def _contributions(
    differences: np.ndarray, labels: np.ndarray, weights: Mapping[str, float], clusters: ArrayLike | None
) -> tuple[np.ndarray, float, bool]:
    """What every cluster adds to the weighted difference, the effective number of clusters, and whether any has two rows."""
    codes = np.arange(differences.size) if clusters is None else cluster_codes(clusters, differences.size)[0]
    present = {name: weights[name] for name in weights if weights[name] > 0 and (labels == str(name)).any()}
    total = sum(present.values())
    parts, inverse, clustered = [], 0.0, False
    for name, weight in present.items():
        rows = labels == str(name)
        _, inside = np.unique(codes[rows], return_inverse=True)
        sums = np.bincount(inside, differences[rows])
        parts.append(weight / total * sums / rows.sum())
        inverse += (weight / total) ** 2 / len(sums)
        clustered |= len(sums) < rows.sum()
    return np.concatenate(parts), 1 / inverse, clustered
