"""What can be said without a rewriter: naive effects adjusted for measured features (AIPW), as a comparator of RATE."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...evaluation.statistics import Estimate, as_finite, as_labels, cluster_codes, mean_estimate
from ..chains.reward_chains import _as_treatment
from ..plain_json import plain
from .feature_adjustment import as_features


logger = logging.getLogger(__name__)

SEPARATED = 0.99  # area under the curve of propensities, beyond which groups have nothing in common


@dataclass(frozen=True)
class AIPWEffects(Mapping[str, Estimate]):
    """
    Naive effects adjusted for features: `ATE`, `ATT` and `ATU`, in reward units.

    Args:
        estimates (`dict[str, Estimate]`):
            Effects, with intervals of their influence functions.
        propensities (`np.ndarray` of shape `(N,)`):
            Probability of the attribute given the features, from a model fitted on other rows; of the rows that were
            kept.
        extreme (`int`):
            Rows whose propensity is below `extreme_at` or above 1 − `extreme_at`. They have few counterparts in the other
            group, and large weights.
        extreme_at (`float`):
            See there.
        effective_rows (`dict[str, float]`):
            By group, `"w=1"` and `"w=0"`: as how many rows of equal weight its weighted rows count (Kish).
        trimmed (`int`):
            Rows that were left out on request. The effects are those of the others.
        auc (`float`):
            Area under the curve of the propensities: near ½, features differ little between the groups; near 1, the groups
            can't be compared.
    """

    estimates: dict[str, Estimate]
    propensities: np.ndarray
    extreme: int
    extreme_at: float
    effective_rows: dict[str, float]
    trimmed: int
    auc: float

    def __getitem__(self, name: str) -> Estimate:
        return self.estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON, without the propensities."""
        return plain({name: value for name, value in asdict(self).items() if name != "propensities"})


def aipw_effect(
    w: ArrayLike,
    rewards: ArrayLike,
    features: Any,
    *,
    folds: int = 5,
    seed: int = 0,
    clusters: ArrayLike | None = None,
    propensity_model: Any = None,
    outcome_model: Any = None,
    trim: float | None = None,
    extreme_at: float = 0.01,
    level: float = 0.95,
) -> AIPWEffects:
    r"""
    Naive effect of an attribute, adjusted for measured features of the originals by augmented inverse propensity weights.

    It needs no rewriter, and it is **no substitute** for one: texts with and without the attribute differ in more than
    what is measured, and that stays in the estimate, whatever its interval says. Use it to see how much of the naive
    effect known features explain, or next to RATE: if they disagree, look at texts.

    Rewards given features are predicted in both groups (\( \mu_1, \mu_0 \)), the attribute too (\( e \)), each row by
    models fitted on other folds; rows of a cluster are in one fold. The mean of
    \( \mu_1 - \mu_0 + w (r - \mu_1)/e - (1-w)(r - \mu_0)/(1-e) \) is right if either prediction is. ATT is the mean of
    \( (w - (1-w)\, e/(1-e))(r - \mu_0) \) over the share of w, ATU likewise. Standard errors are those of the influence
    functions (CR1 with clusters).

    References:
        - Robins, Rotnitzky and Zhao, Estimation of Regression Coefficients When Some Regressors Are Not Always Observed,
          1994.
        - Chernozhukov et al., Double/Debiased Machine Learning for Treatment and Structural Parameters, 2018
          (cross-fitting; the influence functions of ATE and ATT).
        - Kish, Survey Sampling, 1965 (effective number of rows).

    Args:
        w (`array_like` of shape `(N,)`):
            1 where the text has the attribute, else 0. Both occur.
        rewards (`array_like` of shape `(N,)`):
            Rewards of the originals.
        features (`array_like` of shape `(N, K)`, or `pandas.DataFrame`):
            Features of prompts and texts that are no part of the attribute. Finite.
        folds (`int`, *optional*, defaults to `5`):
            Number of parts that the rows are split into, at least 2.
        seed (`int`, *optional*, defaults to `0`):
            Seed of the split.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Label of the cluster of every row.
        propensity_model (scikit-learn classifier, *optional*):
            With `predict_proba`. By default logistic regression of standardised features.
        outcome_model (scikit-learn regressor, *optional*):
            By default ridge regression of standardised features, its penalty chosen by leave-one-out validation.
        trim (`float`, *optional*):
            Leave out rows whose propensity is below it or above 1 − `trim`, and count them. By default none.
        extreme_at (`float`, *optional*, defaults to `0.01`):
            Propensities beyond it, or beyond 1 − it, are counted as extreme.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`AIPWEffects`]

    Raises:
        ValueError: A value is not as it must be, a group has fewer rows (or clusters) than folds, a propensity is 0 or 1, so
            that a row has no counterpart, or the features tell the groups apart (area under the curve above .99).

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import aipw_effect
        >>> rng = np.random.default_rng(0)
        >>> length = rng.normal(size=2000)
        >>> polite = rng.random(2000) < 1 / (1 + np.exp(-length))  # long texts are polite more often
        >>> rewards = 0.5 * polite + 1.0 * length + 0.5 * rng.normal(size=2000)
        >>> naive = rewards[polite].mean() - rewards[~polite].mean()
        >>> adjusted = aipw_effect(polite, rewards, length)
        >>> round(float(naive), 1), round(adjusted["ATE"].value, 1), adjusted.extreme
        (1.4, 0.5, 0)

        ```
    """
    w, rewards = _as_treatment(w), as_finite(rewards, "rewards")
    if rewards.shape != w.shape:
        raise ValueError(f"w and rewards must have one value per row, got {w.size} and {rewards.size}")
    features, _ = as_features(features, None, len(w), "features")
    for name, limit in (("trim", trim), ("extreme_at", extreme_at)):
        if limit is not None and not 0 < limit < 0.5:
            raise ValueError(f"{name} must lie strictly between 0 and 0.5, got {limit}")
    codes = np.arange(len(w)) if clusters is None else _numbered(clusters, len(w))
    propensity, with_it, without = _cross_fit(
        *(w, rewards, features, codes, folds, seed),
        *_models(propensity_model, outcome_model),
    )
    kept = np.ones(len(w), dtype=bool) if trim is None else (propensity >= trim) & (propensity <= 1 - trim)
    for value in (True, False):
        if not (kept & (w == value)).any():
            raise ValueError(f"trim={trim} leaves no row with w = {int(value)}: the groups do not overlap")
    bad = np.flatnonzero(kept & ~((propensity > 0) & (propensity < 1)))
    if bad.size:
        raise ValueError(
            f"{bad.size} rows have a propensity of 0 or 1, and no counterpart in the other group; first: row {bad[0]}. "
            "The features tell the groups apart: leave out those that are part of the attribute, or give trim."
        )
    if trim is not None and not kept.all():
        logger.warning("%d of %d rows with propensities beyond %g are left out", int((~kept).sum()), len(kept), trim)
    w, rewards, propensity, with_it, without = (
        part[kept].astype(np.float64) for part in (w, rewards, propensity, with_it, without)
    )
    extreme = int(np.sum((propensity < extreme_at) | (propensity > 1 - extreme_at)))
    if extreme:
        logger.warning("%d of %d rows have propensities beyond %g: few counterparts", extreme, len(w), extreme_at)
    labels = None if clusters is None else codes[kept]
    auc = _area_under_curve(w, propensity)
    if max(auc, 1 - auc) > SEPARATED:
        raise ValueError(
            f"the features tell the groups apart (area under the curve {auc:.4f}, more than {SEPARATED}): there are no rows "
            "to compare, and what models say of them is extrapolation. Leave out features that are part of the attribute, or "
            "give trim."
        )
    treated, odds = w.mean(), propensity / (1 - propensity)
    both = with_it - without + w * (rewards - with_it) / propensity - (1 - w) * (rewards - without) / (1 - propensity)
    on_treated = (w - (1 - w) * odds) * (rewards - without) / treated
    on_untreated = (w / odds - (1 - w)) * (rewards - with_it) / (1 - treated)
    values = {
        "ATE": both,
        # mean is that of the ratio, deviations are its influence function
        "ATT": on_treated + on_treated.mean() * (1 - w / treated),
        "ATU": on_untreated + on_untreated.mean() * (1 - (1 - w) / (1 - treated)),
    }
    weights = {"w=1": (w / propensity)[w == 1], "w=0": ((1 - w) / (1 - propensity))[w == 0]}
    return AIPWEffects(
        {
            name: Estimate(**{**asdict(estimate), "method": f"AIPW, {folds} folds, seed {seed}: {estimate.method}"})
            for name, part in values.items()
            for estimate in [mean_estimate(part, labels, level)]
        },
        propensity,
        extreme,
        extreme_at,
        {name: float(part.sum() ** 2 / (part**2).sum()) for name, part in weights.items()},
        int((~kept).sum()),
        auc,
    )


def _numbered(clusters: ArrayLike, n: int) -> np.ndarray:
    """Clusters as numbers from 0, in order of first occurrence: sorting a million texts takes long."""
    labels = as_labels(clusters)
    codes = pd.factorize(labels)[0] if labels.ndim == 1 else labels
    return codes if labels.shape == (n,) and codes.min(initial=0) >= 0 else cluster_codes(clusters, n)[0]


def _models(propensity_model: Any, outcome_model: Any) -> tuple[Any, Any]:
    """The models, with defaults for those that are not given."""
    from sklearn.linear_model import LogisticRegression, RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if propensity_model is None:
        propensity_model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    if outcome_model is None:
        outcome_model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13)))
    return propensity_model, outcome_model


def _area_under_curve(w: np.ndarray, propensity: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(w, propensity))


def _cross_fit(
    w: np.ndarray,
    rewards: np.ndarray,
    features: np.ndarray,
    codes: np.ndarray,
    folds: int,
    seed: int,
    propensity_model: Any,
    outcome_model: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Propensity and expected reward with and without the attribute, of each row by models that have not seen its fold."""
    from sklearn.base import clone
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise ValueError(f"folds must be at least 2, got {folds}")
    for value in (True, False):
        units = len(pd.unique(codes[w == value]))
        if units < folds:
            raise ValueError(
                f"{units} independent rows have w = {int(value)}, fewer than the {folds} folds: there is too little to compare"
            )
    if codes.max() + 1 < len(w):
        fold = _folds_of_clusters(w, codes, folds, seed)
        split = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(folds)]
    else:
        split = list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, w))
    propensity, with_it, without = np.empty((3, len(w)))
    for fitted, held_out in split:
        for value, predicted in ((True, with_it), (False, without)):
            rows = fitted[w[fitted] == value]
            if rows.size < 2:
                raise ValueError(f"a fold leaves {rows.size} rows with w = {int(value)} to fit on; use fewer folds")
            predicted[held_out] = clone(outcome_model).fit(features[rows], rewards[rows]).predict(features[held_out])
        classifier = clone(propensity_model).fit(features[fitted], w[fitted])
        propensity[held_out] = classifier.predict_proba(features[held_out])[:, 1]
    return propensity, with_it, without


def _folds_of_clusters(w: np.ndarray, codes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """
    Fold `(N,)` of each row, the same for all rows of a cluster, with about as many rows of both groups in each.

    Clusters are dealt out in order of their rows with the attribute, and of those without; equal ones in random order.
    """
    with_it, without = (np.bincount(codes, mask, minlength=codes.max() + 1) for mask in (w, ~w))
    order = np.lexsort((np.random.default_rng(seed).random(len(without)), -without, -with_it))
    # There and back again: the first of each round has the most rows
    turns = np.concatenate([np.arange(folds), np.arange(folds)[::-1]])
    fold = np.empty(len(order), dtype=np.int64)
    fold[order] = np.resize(turns, len(order))
    return fold[codes]
