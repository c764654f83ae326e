"""What a reward model pays for attributes of a response, such as its length, politeness or truthfulness."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ..statistics import CORRECTIONS, Estimate, adjust_p_values, as_finite, check_level, cluster_codes


logger = logging.getLogger(__name__)

ATTRIBUTES = (
    *("authoritative", "agree_human_explicit", "agree_human_implicit", "grammatically_sound", "well_written"),
    *("entertaining", "truthful", "higher_reading_age", "empathetic", "funny", "better_supported", "polite"),
    *("matches_human_style", "optimistic", "structured", "informative", "engaging", "friendly", "motivating"),
    *("concise", "persuasive", "rigorous", "logically_sound", "relevant", "longer"),
)
CODES = {"A": 1.0, "C": 0.0, "B": -1.0}
OTHER_CODES = ("error", "B")

# Directions of the features are orthonormal below, so that this is relative to 1
_UNIDENTIFIED = 1e-8


@dataclass(frozen=True)
class AttributeBias:
    """
    Regression of the reward difference of two responses on which of them has more of every attribute.

    Args:
        coefficients (`dict[str, Estimate]`):
            Reward gained by the response that has more of the attribute, the others equal, in reward units. `nan` for
            attributes that the data can't separate (see `constant` and `collinear`).
        coefficients_per_sd (`dict[str, Estimate]`):
            The same divided by the standard deviation (`ddof=0`) of the reward differences: comparable between models
            whose rewards differ in scale.
        p_values (`dict[str, float]`):
            Two-sided t test of the coefficient being 0.
        adjusted_p_values (`dict[str, float]`):
            After the correction for testing this many attributes.
        significant (`tuple[str, ...]`):
            Attributes whose adjusted p-value is at most 1 − level.
        correction (`str`):
            `"holm"` (family-wise error) or `"fdr_bh"` (false discovery rate).
        intercept ([`Estimate`]):
            Reward difference A − B of responses that are equal in all attributes: what the order pays.
        constant (`tuple[str, ...]`):
            Attributes with the same code in all rows.
        collinear (`tuple[str, ...]`):
            Other attributes that are a linear combination of further ones.
        undetermined_error (`tuple[str, ...]`):
            Attributes (perhaps `"intercept"`) that a single row, or cluster, decides: their `se` is `nan`.
        other_codes (`dict[str, int]`):
            Number of codes that are not A, B or C and were taken for B, by attribute.
        difference_sd (`float`):
            The standard deviation divided by.
        r_squared (`float`):
            Share of the variance of the differences that the attributes explain.
        n_rows (`int`):
            Number of pairs.
        n_clusters (`int`):
            Number of clusters; `n_rows` when none were given.
    """

    coefficients: dict[str, Estimate]
    coefficients_per_sd: dict[str, Estimate]
    p_values: dict[str, float]
    adjusted_p_values: dict[str, float]
    significant: tuple[str, ...]
    correction: str
    intercept: Estimate
    constant: tuple[str, ...]
    collinear: tuple[str, ...]
    undetermined_error: tuple[str, ...]
    other_codes: dict[str, int]
    difference_sd: float
    r_squared: float
    n_rows: int
    n_clusters: int

    def to_dict(self) -> dict[str, Any]:
        """One level of names: `<attribute>`, `<attribute>_per_sd`, `<attribute>_p_value`, and so on."""
        result: dict[str, Any] = {}
        for name in self.coefficients:
            result[name] = self.coefficients[name].to_dict()
            result[f"{name}_per_sd"] = self.coefficients_per_sd[name].to_dict()
            result[f"{name}_p_value"] = self.p_values[name]
            result[f"{name}_adjusted_p_value"] = self.adjusted_p_values[name]
        result["intercept"] = self.intercept.to_dict()
        for field in ("significant", "constant", "collinear", "undetermined_error"):
            result[field] = list(getattr(self, field))
        for field in ("correction", "other_codes", "difference_sd", "r_squared", "n_rows", "n_clusters"):
            result[field] = getattr(self, field)
        return result


def encode_attributes(
    attributes: Mapping[str, ArrayLike], columns: Sequence[str] = ATTRIBUTES, other: str = "error"
) -> tuple[np.ndarray, dict[str, int]]:
    """
    Codes of who has more of an attribute as numbers: A +1, C (neither) 0, B −1.

    Args:
        attributes (`Mapping[str, array_like]` or `pandas.DataFrame`):
            Codes of shape `(N,)` for every column; other keys are ignored.
        columns (sequence of `str`, *optional*):
            Attributes. By default the 25 of Sharma et al.
        other (`str`, *optional*, defaults to `"error"`):
            What happens to other codes: `"error"`, or `"B"`, which takes them for B, as the RAPL code does, and counts
            them.

    Returns:
        `tuple[numpy.ndarray, dict[str, int]]`: numbers of shape `(N, K)`, and how many codes were taken for B.

    Raises:
        ValueError: a column is missing, has another length, or a code that is not allowed.
    """
    if other not in OTHER_CODES:
        raise ValueError(f"other must be one of {', '.join(OTHER_CODES)}, got {other!r}")
    missing = [column for column in columns if column not in attributes]
    if missing:
        raise ValueError(f"attributes lacks the columns {missing}; it needs a code A, B or C for each of {columns}")
    if not columns or len(set(columns)) < len(columns):
        raise ValueError(f"columns must name at least one attribute, each once, got {list(columns)}")
    numbers, counts = [], {}
    for column in columns:
        codes = np.asarray(attributes[column], dtype=object)
        if codes.ndim != 1:
            raise ValueError(f"attribute '{column}' must have shape (N,), got {codes.shape}")
        if numbers and codes.size != numbers[0].size:
            raise ValueError(f"attribute '{column}' has {codes.size} rows, '{columns[0]}' has {numbers[0].size}")
        unknown = np.flatnonzero([not isinstance(code, str) or code not in CODES for code in codes])
        if unknown.size and other == "error":
            row = unknown[0]
            raise ValueError(
                f"attribute '{column}' has {unknown.size} codes other than A, B and C; first: row {row}, value "
                f"{codes[row]!r}. Correct them, or take them for B, as the original program does (other='B')."
            )
        if unknown.size:
            counts[column] = int(unknown.size)
        numbers.append(np.array([CODES.get(code, -1.0) if isinstance(code, str) else -1.0 for code in codes]))
    if counts:
        logger.warning("%d codes other than A, B and C were taken for B: %s", sum(counts.values()), counts)
    return np.stack(numbers, axis=1), counts


def rewards_of_a_and_b(
    rewards_chosen: ArrayLike, rewards_rejected: ArrayLike, chosen_choice: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """
    Rewards of A and of B from those of the chosen and the rejected response.

    Args:
        rewards_chosen (`array_like` of shape `(N,)`):
            Rewards of the chosen responses.
        rewards_rejected (`array_like` of shape `(N,)`):
            Rewards of the rejected responses.
        chosen_choice (`array_like` of shape `(N,)`):
            `"A"` where A was chosen, `"B"` where B was.

    Returns:
        `tuple[numpy.ndarray, numpy.ndarray]`: both of shape `(N,)`.
    """
    chosen, rejected = as_finite(rewards_chosen, "rewards_chosen"), as_finite(rewards_rejected, "rewards_rejected")
    choice = np.asarray(chosen_choice, dtype=object)
    if not chosen.shape == rejected.shape == choice.shape:
        raise ValueError(
            f"rewards_chosen, rewards_rejected and chosen_choice must have one value per row, got {chosen.shape}, "
            f"{rejected.shape} and {choice.shape}"
        )
    bad = np.flatnonzero([value not in ("A", "B") for value in choice])
    if bad.size:
        raise ValueError(
            f"chosen_choice has {bad.size} values other than A and B; first: row {bad[0]}, value {choice[bad[0]]!r}"
        )
    is_a = choice == "A"
    return np.where(is_a, chosen, rejected), np.where(is_a, rejected, chosen)


def attribute_bias(
    attributes: Mapping[str, ArrayLike],
    rewards_a: ArrayLike,
    rewards_b: ArrayLike,
    *,
    columns: Sequence[str] = ATTRIBUTES,
    clusters: ArrayLike | None = None,
    other: str = "error",
    correction: str = "holm",
    level: float = 0.95,
) -> AttributeBias:
    r"""
    What a reward model pays for attributes: \( r(A) - r(B) \) regressed, with intercept, on attributes that are +1 where
    A has more of it, −1 where B has, and 0 where neither.

    Standard errors are HC3, or cluster-robust (CR1, t with G−1 degrees of freedom) with `clusters`. Those per standard
    deviation are from the influence functions of both the coefficient and the deviation. A coefficient that a single row
    or cluster decides has no standard error: the residual there is 0, whatever the truth.

    References:
        - Towards Understanding Sycophancy in Language Models (Sharma et al.), section 4.1: the 25 attributes,
          https://arxiv.org/abs/2310.13548
        - Cameron and Miller, A Practitioner's Guide to Cluster-Robust Inference, 2015.
        - Holm, A Simple Sequentially Rejective Multiple Test Procedure, 1979; Benjamini and Hochberg, 1995.

    Args:
        attributes (`Mapping[str, array_like]` or `pandas.DataFrame`):
            Codes A, B or C (neither) of shape `(N,)` for every attribute.
        rewards_a (`array_like` of shape `(N,)`):
            Rewards of the responses A; [`rewards_of_a_and_b`] makes both of chosen and rejected.
        rewards_b (`array_like` of shape `(N,)`):
            Rewards of the responses B.
        columns (sequence of `str`, *optional*):
            Attributes. By default the 25 of Sharma et al.
        clusters (`array_like` of shape `(N,)`, *optional*):
            Prompt of every row, where prompts repeat.
        other (`str`, *optional*, defaults to `"error"`):
            What happens to codes other than A, B and C: `"error"`, or `"B"` (as the RAPL code takes them, counted).
        correction (`str`, *optional*, defaults to `"holm"`):
            Correction for testing many attributes: `"holm"` or `"fdr_bh"`.
        level (`float`, *optional*, defaults to `0.95`):
            Confidence level of the intervals (each by itself), and 1 − the level of the tests.

    Returns:
        [`AttributeBias`]

    Raises:
        ValueError: codes, rewards or clusters are not as they must be, or no attribute can be estimated.

    Example:
        ```python
        >>> codes = {"longer": ["A", "B", "A", "C", "B", "A"], "polite": ["A", "A", "B", "B", "C", "C"]}
        >>> bias = attribute_bias(
        ...     codes, [3.0, 1.0, 2.0, 0.0, 0.0, 2.5], [0.0, 2.0, 0.5, 0.5, 2.0, 0.5], columns=["longer", "polite"]
        ... )
        >>> {name: round(estimate.value, 2) for name, estimate in bias.coefficients.items()}
        {'longer': 2.02, 'polite': 0.75}
        ```
    """
    check_level(level)
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, got {correction!r}")
    features, other_codes = encode_attributes(attributes, columns, other)
    a, b = as_finite(rewards_a, "rewards_a"), as_finite(rewards_b, "rewards_b")
    if not len(features) == a.size == b.size:
        raise ValueError(f"there are {len(features)} rows of attributes, {a.size} rewards of A and {b.size} of B")
    difference = a - b
    n = difference.size
    names = ("intercept", *columns)
    design = np.column_stack([np.ones(n), features])
    codes, units = cluster_codes(np.arange(n) if clusters is None else clusters, n)

    # design = q @ diag(scale) @ directions, the part of the design that is there
    q, scale, directions = np.linalg.svd(design, full_matrices=False)
    rank = int((scale > scale[0] * max(design.shape) * np.finfo(np.float64).eps).sum())
    q, scale, kept = q[:, :rank], scale[:rank], directions[:rank]
    # A coefficient is determined if its axis lies in the kept directions
    identified = np.abs((kept**2).sum(axis=0) - 1) < _UNIDENTIFIED
    if not identified[1:].any():
        raise ValueError(f"{n} rows with {rank} independent columns determine none of the {len(columns)} coefficients")
    is_constant = np.ptp(features, axis=0) == 0
    constant = tuple(name for name, same in zip(columns, is_constant, strict=True) if same)
    collinear = tuple(
        name for name, same, known in zip(columns, is_constant, identified[1:], strict=True) if not (same or known)
    )
    if constant or collinear:
        logger.warning("no coefficient for constant %s and collinear %s attributes", constant, collinear)

    solve = kept.T / scale  # (K, rank): from coordinates in q to coefficients; unique for those that are determined
    params = solve @ (q.T @ difference)
    fitted = q @ (q.T @ difference)
    fragile = _decided_by_one_unit(q, codes, units, solve) & identified
    undetermined = tuple(name for name, one in zip(names, fragile, strict=True) if one)
    degrees = (n - rank) if clusters is None else (units - 1)
    leverage = (q**2).sum(axis=1)
    residuals = difference - fitted
    if clusters is None:
        # HC3; a row of leverage 1 has residual 0 and belongs to coefficients that get no error
        residuals = np.divide(residuals, 1 - leverage, out=np.zeros(n), where=leverage < 1 - _UNIDENTIFIED)
        correction_factor, what = 1.0, "OLS, HC3 heteroscedasticity-robust t interval"
    else:
        correction_factor = units / (units - 1) * (n - 1) / (n - rank) if units > 1 and n > rank else np.nan
        what = f"OLS, CR1 cluster-robust t interval ({units} clusters)"
    influence = (solve @ q.T) * residuals * np.sqrt(correction_factor)  # (K, N)

    sd = float(difference.std())
    rounding = 8 * np.finfo(np.float64).eps * max(np.abs(a).max(), np.abs(b).max())
    sd = sd if sd > rounding else 0.0
    centred = difference - difference.mean()
    # d(b / s) = db / s - b ds² / (2 s³)
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = influence / sd - np.outer(params, (centred**2 - sd**2) / (2 * n * sd**3))
        per_sd = params / sd

    def estimate(k: int, value: float, contributions: np.ndarray, what: str) -> Estimate:
        if not identified[k]:
            reason = "constant" if names[k] in constant else "collinear"
            return Estimate(np.nan, np.nan, np.nan, np.nan, n, f"not determined: {reason}")
        se = np.sqrt(np.sum(np.bincount(codes, weights=contributions, minlength=units) ** 2))
        if fragile[k] or degrees < 1:
            se, what = np.nan, f"{what}, decided by a single {'row' if clusters is None else 'cluster'}"
        half = se * stats.t.ppf((1 + level) / 2, degrees) if degrees > 0 else np.nan
        return Estimate(
            float(value), float(se), float(value - half), float(value + half), n, f"{what} ({level:g} level)"
        )

    coefficients = {name: estimate(k, params[k], influence[k], what) for k, name in enumerate(names)}
    intercept = coefficients.pop("intercept")
    scale_free = {
        name: estimate(k, per_sd[k], scaled[k], f"{what}, deviation re-estimated")
        for k, name in enumerate(names[1:], start=1)
    }
    p_values, adjusted = _tests(coefficients, degrees, correction)
    return AttributeBias(
        coefficients=coefficients,
        coefficients_per_sd=scale_free,
        p_values=p_values,
        adjusted_p_values=adjusted,
        significant=tuple(name for name, p in adjusted.items() if p <= 1 - level),
        correction=correction,
        intercept=intercept,
        constant=constant,
        collinear=collinear,
        undetermined_error=undetermined,
        other_codes=other_codes,
        difference_sd=sd,
        r_squared=float(1 - np.mean((difference - fitted) ** 2) / sd**2) if sd else float("nan"),
        n_rows=n,
        n_clusters=units,
    )


def _decided_by_one_unit(q: np.ndarray, codes: np.ndarray, units: int, solve: np.ndarray) -> np.ndarray:
    """Coefficients (K,) that the rows without one unit don't determine; `q` (N, R) is an orthonormal basis of columns."""
    if units == len(q):
        alone = q[(q**2).sum(axis=1) > 1 - _UNIDENTIFIED]
    else:
        grams = np.zeros((units, q.shape[1], q.shape[1]))
        np.add.at(grams, codes, q[:, :, None] * q[:, None, :])
        values, vectors = np.linalg.eigh(grams)
        # eigenvalue 1: no other unit has anything in this direction
        alone = vectors.transpose(0, 2, 1)[values > 1 - _UNIDENTIFIED]
    touched = np.abs(alone @ solve.T) > _UNIDENTIFIED * np.abs(solve).max()
    return touched.any(axis=0)


def _tests(
    coefficients: Mapping[str, Estimate], degrees: int, correction: str
) -> tuple[dict[str, float], dict[str, float]]:
    """p-values of the coefficients, and corrected ones; `nan` where there is no standard error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.array([np.divide(e.value, e.se) for e in coefficients.values()])
    p_values = 2 * stats.t.sf(np.abs(t), max(degrees, 1))
    adjusted = np.full_like(p_values, np.nan)
    known = np.isfinite(p_values)
    if known.any():
        adjusted[known] = adjust_p_values(p_values[known], correction)
    return dict(zip(coefficients, p_values.tolist(), strict=True)), dict(
        zip(coefficients, adjusted.tolist(), strict=True)
    )
