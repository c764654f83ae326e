"""Rewards and lengths as arrays, checked."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...data.checks import shorten


def as_rewards(rewards: ArrayLike) -> np.ndarray:
    """Rewards `(N,)` in float64, all finite; else a `ValueError` that names the first that is not."""
    return as_finite(rewards, "rewards", "Score these responses again, or remove them.")


def as_lengths(lengths: ArrayLike) -> np.ndarray:
    """Lengths `(N,)` in float64, all finite and at least 0; else a `ValueError` that names the first that is not."""
    array = as_finite(lengths, "lengths", "trl_ext.scoring.calibrated.response_lengths measures them.")
    bad = np.flatnonzero(array < 0)
    if bad.size:
        raise ValueError(
            f"`lengths` has {bad.size} values below 0; first: row {bad[0]}, value {array[bad[0]]:g}. A length is at least 0: "
            "give the lengths themselves, not their logarithms or differences."
        )
    return array


def as_finite(values: ArrayLike, name: str, fix: str = "") -> np.ndarray:
    """Values `(N,)` in float64, all finite; else an error that names the first that is not, and the fix."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"`{name}` must be numbers of shape (N,), got {shorten(values)}") from error
    if array.ndim != 1:
        raise ValueError(f"`{name}` must have shape (N,), got {array.shape}")
    bad = np.flatnonzero(~np.isfinite(array))
    if bad.size:
        raise ValueError(
            f"`{name}` has {bad.size} values that are not finite; first: row {bad[0]}, value {array[bad[0]]}. {fix}".rstrip()
        )
    return array


def check_numbers(values: Sequence[Any], name: str) -> tuple[float, ...]:
    """Finite numbers as a tuple of `float`."""
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a list of numbers, got {shorten(values)}")
    for position, value in enumerate(values):
        is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
        if not is_number or not math.isfinite(value):
            raise ValueError(f"{name} must hold finite numbers; entry {position} is {shorten(value)}")
    return tuple(map(float, values))
