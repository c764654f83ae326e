"""Confidence intervals of how large errors are, which noise makes larger than they are."""

from collections.abc import Callable

import numpy as np


_STEPS = 60  # of each search: to a factor of 1e-12 of where it began
_GOLDEN = (np.sqrt(5) - 1) / 2


def size_interval(
    errors: np.ndarray,
    draws: np.ndarray,
    size: Callable[[np.ndarray], np.ndarray],
    quantiles: tuple[float, float],
) -> tuple[float, float]:
    """
    Interval of the size of true errors by inverting a test: sizes for which that of the errors found is not extreme.

    True errors are taken to be those found times a factor, so that only their size is unknown. Each draw says with which
    factor its noise would have given the size found; where the noise alone is larger, 0 comes nearest. With independent
    noise of equal variance and the root mean square this is the interval of the noncentral chi-squared distribution.

    Args:
        errors (`np.ndarray` of shape `(M,)`): Errors found.
        draws (`np.ndarray` of shape `(B, M)`): Draws of them, which differ from them by noise; `nan` for none.
        size (`Callable`): A norm over the last axis, in any multiple.
        quantiles (`tuple[float, float]`): Of the two ends.

    Returns:
        `tuple[float, float]`: Lower and upper end, at least 0.
    """
    value, noise = float(size(errors)), draws - errors
    if not value > 0:
        return (value, value) if np.isfinite(draws).all() else (np.nan, np.nan)

    def drawn_size(factors: np.ndarray) -> np.ndarray:
        return size(factors[:, None] * errors + noise)

    # by the triangle inequality the factor sought is below this one, and so is the one with the least size
    top = 2 * size(noise) / value + 1
    low, high = np.zeros(len(draws)), top
    for _ in range(_STEPS):  # the least size, by golden sections: a norm is convex
        width = _GOLDEN * (high - low)
        rises = drawn_size(high - width) < drawn_size(low + width)
        low, high = np.where(rises, low, high - width), np.where(rises, low + width, high)
    least = (low + high) / 2
    reached = drawn_size(least) <= value
    low, high = least, top
    for _ in range(_STEPS):  # above it, the size rises
        middle = (low + high) / 2
        below = drawn_size(middle) <= value
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    factors = np.where(np.isnan(top), np.nan, np.where(reached, low, 0.0))
    ends = np.quantile(factors, quantiles) * value
    return float(ends[0]), float(ends[1])
