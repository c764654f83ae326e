"""Do rewrites change what they should leave alone, and does that depend on the direction or on how often they are made?"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ...evaluation.statistics import Estimate, adjust_p_values, mean_estimate
from ..chains.steps import step_names
from ..estimators.effects import estimate_to_dict
from .features import DISTANCE


TESTS = ("asymmetry", "asymmetry_w_1", "asymmetry_w_0", "repetition")
# What rewriting for an attribute is meant to change
ON_TARGET: Mapping[str, tuple[str, ...]] = {
    "length": ("characters", "words", "sentences", "type_token_ratio"),
    "sentiment": ("sentiment",),
    "helpfulness": ("politeness",),
    "complexity": ("complexity", "readability"),
    "formatting": ("headers", "lists", "bold", "code_blocks", "punctuation_rate"),
    "typos": ("unknown_share",),
    "confidence": ("confidence",),
}


@dataclass(frozen=True)
class FeatureDrift:
    r"""
    How a feature changes by rewriting. With f_k its value in the text of step k:

    | field | mean of | over | if it is not 0 |
    |---|---|---|---|
    | `to_1`, `to_0` | f_after - f_before of rewrites into the attribute, out of it | all rows | off-target edits |
    | `asymmetry` | (f_2 - f_1)·(+1 if w else -1) | all rows | bias of the ATE |
    | `asymmetry_w_1` | f_2 - f_1 | w = 1 | bias of the ATT |
    | `asymmetry_w_0` | f_1 - f_2 | w = 0 | bias of the ATU |
    | `repetition` | f_2 - f_1 | all rows | one rewrite does not wash the feature out: the second goes on |
    | `washed_w_1`, `washed_w_0` | f_2 - f_0 | w = 1, w = 0 | bias of single-rewrite effects, not of RATE's |

    The bias of an effect is the asymmetry times what the reward pays for the feature. `asymmetry` and `repetition` are
    apart: a rewriter that repairs most typos whatever it was asked for has no asymmetry where both groups have as many
    typos, and biases the ATT and the ATU all the same.

    Args:
        feature (`str`): Name, see [`measure_features`].
        on_target (`bool`): Whether the attribute is meant to change it: then it is not tested.
        sd (`float`): Standard deviation over all texts, in the feature's unit.
        means (`dict[str, dict[str, float]]`): Mean by step and by `w_1`, `w_0`.
        to_1, to_0, asymmetry, asymmetry_w_1, asymmetry_w_0, repetition, washed_w_1, washed_w_0 ([`Estimate`], *optional*):
            As above, in the feature's unit, with t intervals; `None` without rows or without a second rewrite.
        p_values (`dict[str, float]`): By test, after Holm's correction for all tests of all off-target features.
        flags (`tuple[str, ...]`): Tests that are significant, and whose mean is `min_drift` standard deviations or more.
        missing (`int`): Rows without the feature in one of their texts; they are in none of the above.
    """

    feature: str
    on_target: bool
    sd: float
    means: dict[str, dict[str, float]]
    to_1: Estimate | None
    to_0: Estimate | None
    asymmetry: Estimate | None
    asymmetry_w_1: Estimate | None
    asymmetry_w_0: Estimate | None
    repetition: Estimate | None
    washed_w_1: Estimate | None
    washed_w_0: Estimate | None
    p_values: dict[str, float]
    flags: tuple[str, ...]
    missing: int

    def standardised(self, test: str) -> float:
        """A mean in standard deviations of the feature; 0 if the feature does not vary, `nan` if the mean is missing."""
        estimate = getattr(self, test)
        if estimate is None:
            return float("nan")
        return estimate.value / self.sd if self.sd > 0 else 0.0

    @property
    def worst(self) -> float:
        """Largest flagged mean in standard deviations, without its sign; 0 without flags."""
        return max((abs(self.standardised(test)) for test in self.flags), default=0.0)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        estimates = ("to_1", "to_0", *TESTS, "washed_w_1", "washed_w_0")
        shown: dict[str, Any] = {
            name: getattr(self, name) for name in ("feature", "on_target", "sd", "means", "p_values", "missing")
        }
        shown["flags"] = list(self.flags)
        for name in estimates:
            estimate = getattr(self, name)
            shown[name] = None
            if estimate is not None:
                shown[name] = estimate_to_dict(estimate) | {"standardised": self.standardised(name)}
        return shown


def measure_drift(
    tables: Sequence[pd.DataFrame],
    w: np.ndarray,
    *,
    clusters: np.ndarray | None = None,
    on_target: Collection[str] = (),
    min_drift: float = 0.1,
    level: float = 0.95,
) -> tuple[FeatureDrift, ...]:
    """
    Drift of all features.

    Args:
        tables (`Sequence[pandas.DataFrame]`): Features of the N texts of each step, the originals first; two or more.
        w (`np.ndarray` of shape `(N,)`, bool): Whether the original has the attribute.
        clusters (`np.ndarray` of shape `(N,)`, *optional*): Label of what rows belong together.
        on_target (`Collection[str]`, *optional*): Features that are not tested.
        min_drift (`float`, *optional*, defaults to `0.1`): Smallest mean that is flagged, in standard deviations.
        level (`float`, *optional*, defaults to `0.95`): Level of the intervals; 1 - level is that of the tests.

    Returns:
        `tuple[FeatureDrift, ...]`: In the order of the columns.
    """
    columns = tables[0].columns
    measured = [
        _means_of(name, np.stack([t[name].to_numpy(np.float64) for t in tables], axis=1), w, clusters, level)
        for name in columns
    ]
    free = {name: name not in on_target and name != DISTANCE for name in columns}
    tests = [
        (row, test)
        for row, name in enumerate(columns)
        for test in TESTS
        if free[name] and measured[row]["estimates"][test] is not None
    ]
    raw = [_p_value(measured[row]["estimates"][test], measured[row]["degrees"][test]) for row, test in tests]
    adjusted = dict(zip(tests, adjust_p_values(raw) if raw else [], strict=True))
    result = []
    for row, name in enumerate(columns):
        parts = measured[row]
        p_values = {test: float(adjusted[row, test]) for test in TESTS if (row, test) in adjusted}
        drift = FeatureDrift(
            feature=name,
            on_target=name in on_target,
            sd=parts["sd"],
            means=parts["means"],
            **parts["estimates"],
            p_values=p_values,
            flags=(),
            missing=parts["missing"],
        )
        flags = tuple(
            test for test, p in p_values.items() if p < 1 - level and abs(drift.standardised(test)) >= min_drift
        )
        result.append(FeatureDrift(**{**drift.__dict__, "flags": flags}))
    return tuple(result)


def _means_of(
    name: str, values: np.ndarray, w: np.ndarray, clusters: np.ndarray | None, level: float
) -> dict[str, Any]:
    """Means of a feature's changes; `values` is `(N, K + 1)`."""
    there = np.isfinite(values).all(axis=1)
    missing = int((~there).sum())
    values, w = values[there], w[there]
    clusters = None if clusters is None else clusters[there]
    two = values.shape[1] > 2
    first = values[:, 1] - values[:, 0]
    second = values[:, 2] - values[:, 1] if two else np.full(len(values), np.nan)
    everyone = np.ones(len(values), dtype=bool)
    changes = {
        "to_1": (np.where(w, second, first), everyone if two else ~w),
        "to_0": (np.where(w, first, second), everyone if two else w),
        "asymmetry": (np.where(w, second, -second), everyone),
        "asymmetry_w_1": (second, w),
        "asymmetry_w_0": (-second, ~w),
        "repetition": (second, everyone),
        "washed_w_1": (first + second, w),
        "washed_w_0": (first + second, ~w),
    }
    estimates: dict[str, Estimate | None] = {}
    degrees = {}
    for what, (change, rows) in changes.items():
        picked = change[rows]
        if not picked.size or not np.isfinite(picked).all():
            estimates[what] = None
            continue
        groups = None if clusters is None else clusters[rows]
        estimates[what] = mean_estimate(picked, groups, level)
        degrees[what] = (picked.size if groups is None else pd.Series(groups).nunique()) - 1
    means = {
        step: {side: float(column[rows].mean()) for side, rows in (("w_1", w), ("w_0", ~w)) if rows.any()}
        for step, column in zip(step_names(values.shape[1]), values.T, strict=True)
    }
    sd = float(values.std()) if values.size else 0.0
    return {"estimates": estimates, "degrees": degrees, "means": means, "sd": sd, "missing": missing}


def _p_value(estimate: Estimate, degrees: int) -> float:
    """Of the t test of no drift; 1 where the data can't tell."""
    if degrees < 1 or estimate.value == 0:
        return 1.0
    with np.errstate(divide="ignore"):
        return float(2 * stats.t.sf(np.abs(np.divide(estimate.value, estimate.se)), degrees))
