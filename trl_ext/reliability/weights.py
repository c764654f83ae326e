"""How much each training pair counts, in a few figures."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike


QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class WeightStatistics:
    r"""
    Weights of a set of pairs, without unit: 1 is a pair of plain Bradley–Terry. These figures describe the whole set, not
    a sample of it, so they have no standard error.

    Args:
        n (`int`): Number of pairs.
        mean (`float`): Mean weight.
        sd (`float`): Standard deviation of the weights (divided by `n`).
        min (`float`): Smallest weight.
        quantiles (`dict[str, float]`): Quantiles of the weights, keyed by their level: `"0.05"`, `"0.25"`, `"0.5"`,
            `"0.75"`, `"0.95"`.
        max (`float`): Largest weight.
        share_zero (`float`): Share of pairs in [0, 1] that carry no information.
        share_below_half (`float`, *optional*): Share of pairs in [0, 1] whose P(correct) is below one half; `None`
            where P(correct) is not known.
        flipped (`int`): Number of pairs that are believed with chosen and rejected exchanged.
        effective_sample_size (`float`): \( (\sum w)^2 / \sum w^2 \), Kish's number of equally weighted pairs; 0 if all
            weights are 0.
        normalization_factor (`float`): What the weights were divided by.
        constant_reliability (`float`, *optional*): The reliability that every pair was given instead of its own.
    """

    n: int
    mean: float
    sd: float
    min: float
    quantiles: dict[str, float]
    max: float
    share_zero: float
    share_below_half: float | None
    flipped: int
    effective_sample_size: float
    normalization_factor: float
    constant_reliability: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return asdict(self)


def weight_statistics(
    weights: ArrayLike,
    *,
    reliability: ArrayLike | None = None,
    flipped: ArrayLike | None = None,
    normalization_factor: float = 1.0,
    constant_reliability: float | None = None,
) -> WeightStatistics:
    """
    Describe the weights of a set of pairs.

    Args:
        weights (`ArrayLike`):
            Weights `(N,)`, finite and at least 0, after any normalisation.
        reliability (`ArrayLike`, *optional*):
            P(correct) `(N,)` in [0, 1].
        flipped (`ArrayLike`, *optional*):
            Which pairs are believed with chosen and rejected exchanged: bool `(N,)`.
        normalization_factor (`float`, *optional*, defaults to `1.0`):
            What the weights were divided by; recorded.
        constant_reliability (`float`, *optional*):
            The reliability that every pair was given instead of its own; recorded.

    Returns:
        [`WeightStatistics`]: The figures.

    Raises:
        ValueError: If there is no pair, shapes differ, or a weight is negative or not finite.

    References:
        - Survey Sampling, Kish, 1965: the effective sample size.

    Example:
        ```python
        >>> from trl_ext.reliability import weight_statistics
        >>> statistics = weight_statistics([0.0, 1.0, 1.0, 2.0], reliability=[0.4, 0.7, 0.7, 0.9])
        >>> statistics.mean, statistics.share_zero, statistics.share_below_half
        (1.0, 0.25, 0.25)
        >>> round(statistics.effective_sample_size, 3)
        2.667
        ```
    """
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim != 1 or weights.size == 0:
        raise ValueError(f"`weights` must have shape (N,) with N >= 1, got {weights.shape}")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if bad.size:
        raise ValueError(
            f"`weights` has {bad.size} values that are negative or not finite; first: row {bad[0]}, "
            f"value {weights[bad[0]]:g}"
        )
    for name, values in (("reliability", reliability), ("flipped", flipped)):
        if values is not None and np.shape(values) != weights.shape:
            raise ValueError(f"`{name}` must have shape (N,) = {weights.shape} like `weights`, got {np.shape(values)}")
    # relative to the largest, so that no square overflows
    largest = weights.max()
    relative = weights / largest if largest > 0 else weights
    return WeightStatistics(
        n=weights.size,
        mean=float(weights.mean()),
        sd=float(weights.std()),
        min=float(weights.min()),
        quantiles={str(level): float(np.quantile(weights, level)) for level in QUANTILES},
        max=float(largest),
        share_zero=float((weights == 0).mean()),
        share_below_half=None if reliability is None else float((np.asarray(reliability) < 0.5).mean()),
        flipped=0 if flipped is None else int(np.sum(flipped)),
        effective_sample_size=float(relative.sum() ** 2 / (relative**2).sum()) if largest > 0 else 0.0,
        normalization_factor=float(normalization_factor),
        constant_reliability=None if constant_reliability is None else float(constant_reliability),
    )
