"""RATE where some rewrites do not change the attribute: the effect divided by the share that did (Wald's estimator)."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ...evaluation.statistics import Estimate, mean_estimate, ratio_estimate
from ..chains.reward_chains import RewardChains
from ..estimators.effect_covariance import ESTIMANDS
from ..estimators.estimands import effect_rows, paired_effects
from ..plain_json import plain


logger = logging.getLogger(__name__)

UNKNOWN = ("error", "drop")


@dataclass(frozen=True)
class ComplianceCorrectedEffects(Mapping[str, Estimate | None]):
    """
    Effects of an attribute, corrected for rewrites that failed to change it: `ATE`, `ATT` and `ATU`, in reward units.
    `None` where there are no such rows.

    Args:
        estimates (`dict[str, Estimate | None]`):
            Corrected effects, with Fieller's interval. It is (−inf, inf) where compliance may be 0: then the data do not
            determine the effect.
        uncorrected (`dict[str, Estimate | None]`):
            Means of the same rows without the correction.
        compliance (`dict[str, Estimate | None]`):
            What is divided by: mean change of the attribute from the text that should lack it to the one that should
            have it, in [−1, 1].
        unknown (`int`):
            Rows whose attribute is unknown in one of the two texts. They are in none of the figures.
    """

    estimates: dict[str, Estimate | None]
    uncorrected: dict[str, Estimate | None]
    compliance: dict[str, Estimate | None]
    unknown: int

    def __getitem__(self, name: str) -> Estimate | None:
        return self.estimates[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.estimates)

    def __len__(self) -> int:
        return len(self.estimates)

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return plain(asdict(self))


def compliance_corrected_effects(
    table: Any, measured: Any, *, unknown: str = "error", level: float = 0.95
) -> ComplianceCorrectedEffects:
    r"""
    RATE, corrected for rewrites that do not change the attribute.

    With \( w_{1i}, w_{2i} \) the attribute as it is found in rewrite and rewritten rewrite, compliance of a row is
    \( c_i = w_{2i} - w_{1i} \) where the original has the attribute, and \( w_{1i} - w_{2i} \) where it has not: 1 if both
    rewrites did what they should. The corrected effect is \( \bar\delta / \bar c \). If a fifth of the rewrites fail at
    random, \( \bar c = .8^2 = .64 \), and RATE finds 64 % of the effect.

    It is the effect in texts that can be rewritten: if the effect there differs from that in the others, it is not the
    effect in all. It supposes that failed rewrites change nothing else than others do. Rewards and attribute must not
    share errors: a classifier that is the reward model itself will not do. Wrong classifications of both kinds, at random,
    make compliance look smaller and the corrected effect too large.

    References:
        - Wald, The Fitting of Straight Lines if Both Variables are Subject to Error, 1940.
        - Imbens and Angrist, Identification and Estimation of Local Average Treatment Effects, 1994.
        - Fieller, Some Problems in Interval Estimation, 1954 (interval of a ratio).

    Args:
        table ([`RewardChains`] or table):
            Columns `w, original, rewrite, rewritten_rewrite[, cluster]`, see [`RewardChains.of_table`].
        measured (`array_like` of shape `(N, 2)`, or two of shape `(N,)`):
            Attribute of rewrite and of rewritten rewrite, as a classifier finds it: `True`/`False`, 0/1, or a probability
            in [0, 1]; `None` or NaN where it can't say. Of shape `(N, K + 1)`, it has those of all texts, the original
            first, as [`observe_attribute`] returns them.
        unknown (`str`, *optional*, defaults to `"error"`):
            What happens to rows whose attribute is unknown: `"error"`, or `"drop"`, which leaves them out and counts them.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level.

    Returns:
        [`ComplianceCorrectedEffects`]

    Raises:
        ValueError: The table or `measured` is not as it must be, or values are unknown; the first such row is named.

    Example:
        ```python
        >>> import numpy as np
        >>> from trl_ext.rate import compliance_corrected_effects
        >>> rng = np.random.default_rng(0)
        >>> flipped = rng.random(400) < 0.8  # a fifth of the rewrites is still as the original was
        >>> chains = {
        ...     "w": np.ones(400),
        ...     "original": np.zeros(400),
        ...     "rewrite": np.where(flipped, -1.0, 0.0) + rng.normal(0, 0.1, 400),
        ...     "rewritten_rewrite": rng.normal(0, 0.1, 400),
        ... }
        >>> corrected = compliance_corrected_effects(chains, np.stack([~flipped, np.ones(400)], axis=1))
        >>> round(corrected.uncorrected["ATT"].value, 2), round(corrected.compliance["ATT"].value, 2)
        (0.75, 0.75)
        >>> round(corrected["ATT"].value, 2), corrected["ATU"]
        (0.99, None)

        ```
    """
    chains = RewardChains.of_table(table)
    if unknown not in UNKNOWN:
        raise ValueError(f"unknown must be one of {', '.join(map(repr, UNKNOWN))}, got {unknown!r}")
    effects = paired_effects(chains)
    attribute = _as_measured(measured, chains)
    known = np.isfinite(attribute).all(axis=1)
    lost = int((~known).sum())
    if lost and unknown == "error":
        row = int(np.flatnonzero(~known)[0])
        raise ValueError(
            f"measured has {lost} rows where the attribute of rewrite or rewritten rewrite is unknown; first: row "
            f"{row}{chains._name(row)}. Leave such rows out with unknown='drop': they are counted."
        )
    if lost == len(chains):
        raise ValueError(f"measured is unknown in all {lost} rows")
    if lost:
        logger.warning("%d of %d rows are left out: their attribute after rewriting is unknown", lost, len(chains))
    changes = chains.sign * (attribute[:, 1] - attribute[:, 0])
    codes = None if chains.clusters is None else pd.factorize(chains.clusters)[0]
    parts: dict[str, dict[str, Estimate | None]] = {"corrected": {}, "uncorrected": {}, "compliance": {}}
    for name in ESTIMANDS:
        rows = effect_rows(chains, name) & known
        if not rows.any():
            for part in parts.values():
                part[name] = None
            continue
        labels = None if codes is None else codes[rows]
        ratio = ratio_estimate(effects[rows], changes[rows], labels, level)
        # Divided by a compliance of 0 it is no number
        parts["corrected"][name] = replace(ratio, value=ratio.value if np.isfinite(ratio.value) else np.nan)
        parts["uncorrected"][name] = mean_estimate(effects[rows], labels, level)
        compliance = parts["compliance"][name] = mean_estimate(changes[rows], labels, level)
        if not compliance.ci_low > 0:
            logger.warning(
                "%s: compliance is %.3g [%.3g, %.3g], not above 0 beyond doubt: the corrected effect is not determined",
                *(name, compliance.value, compliance.ci_low, compliance.ci_high),
            )
    return ComplianceCorrectedEffects(parts["corrected"], parts["uncorrected"], parts["compliance"], lost)


def _as_measured(measured: Any, chains: RewardChains) -> np.ndarray:
    """Attribute of rewrite and rewritten rewrite, `(N, 2)`, NaN where unknown."""
    if isinstance(measured, tuple) and len(measured) == 2 and np.ndim(measured[0]) == 1 == np.ndim(measured[1]):
        if len(measured[0]) != len(measured[1]):
            raise ValueError(f"measured has {len(measured[0])} rewrites and {len(measured[1])} rewritten rewrites")
        measured = np.stack([np.asarray(part, dtype=object) for part in measured], axis=1)
    array = measured if isinstance(measured, np.ndarray) else np.asarray(measured, dtype=object)
    n, texts = len(chains), chains.steps + 1
    if texts >= 3 and array.shape == (n, texts):
        array = array[:, 1:3]
    if array.shape != (n, 2):
        raise ValueError(
            f"measured must have shape ({n}, 2), the attribute of rewrite and rewritten rewrite, or ({n}, {texts}), that of "
            f"all texts; got {array.shape}"
        )
    return _as_probabilities(array, "measured")


def _as_probabilities(array: ArrayLike, name: str) -> np.ndarray:
    """Numbers in [0, 1] of the same shape, NaN where unknown."""
    try:
        numbers = np.asarray(array, dtype=np.float64)  # None becomes NaN
    except (TypeError, ValueError):
        bad = next(
            (tuple(map(int, at)), value)
            for at, value in np.ndenumerate(np.asarray(array, dtype=object))
            if not (value is None or isinstance(value, bool | int | float | np.generic))
        )
        raise ValueError(
            f"{name} must be true, false, a number in [0, 1] or None; row {bad[0][0]} has {bad[1]!r}"
        ) from None
    with np.errstate(invalid="ignore"):
        outside = np.argwhere((numbers < 0) | (numbers > 1))
    if len(outside):
        row = outside[0]
        raise ValueError(
            f"{name} has {len(outside)} values outside [0, 1]; first: row {row[0]}, value {numbers[tuple(row)]:g}. 1 is: "
            "has the attribute, 0: has not."
        )
    return numbers
